"""Whether a scheduled run is claimed for its Worker; pure. Fence 1 of the design lives here.

The mothership numbers the assignments of each Worker; a number that was answered before is never claimed again,
however the message came back.
"""

from dataclasses import dataclass

from app import vocabulary as words
from app.agent.decisions import images
from app.agent.pool_state import PoolView
from app.agent.worker_state import WorkerView
from protocol.messages import RunRejected, RunScheduled
from protocol.runs import Phase, Reason, Rejection

REJECTION_LIMIT = 4096
"""Characters of a rejection's text, as the protocol bounds them: the API's own words can be longer."""


@dataclass(frozen=True, slots=True)
class Claim:
    """Record the run on the Worker, with the image that it gets."""

    runner_image: str


@dataclass(frozen=True, slots=True)
class AnswerAgain:
    """The run is recorded already: say so again, from what is known.

    `over` says that it has its verdict. Whoever tried to claim it, too, may have made its Secret once more since then,
    and the message comes back to just that one: what it made goes (tests/model found the way there).
    """

    over: bool = False


@dataclass(frozen=True, slots=True)
class Reject:
    """The run will not be run here.

    `record` says whether its assignment number is to be stored first, `outcome_reason` what a run fails with that no
    other worker could take either.
    """

    reason: Rejection
    message: str
    record: bool = True
    outcome_reason: Reason | None = None

    @property
    def verdict(self) -> Reason | None:
        """What the mothership fails the run with, None when it gives the run to another worker."""
        if self.reason is Rejection.IMAGE_NOT_ALLOWED:
            return Reason.IMAGE_NOT_ALLOWED
        if self.reason is Rejection.INVALID:
            return self.outcome_reason or Reason.CONFIG_ERROR
        return None


Decision = Claim | AnswerAgain | Reject


def decide(worker: WorkerView, scheduled: RunScheduled, pool: PoolView) -> Decision:
    """Return what becomes of `scheduled`, which names this very Worker object."""
    if worker.run is not None and worker.run.key == (scheduled.run, scheduled.sequence):
        return AnswerAgain(over=worker.run.phase is Phase.FINISHED)
    if scheduled.assignment <= worker.assignment:
        number = scheduled.assignment
        return Reject(Rejection.BUSY, f"assignment {number} of this worker was answered before", record=False)
    if worker.in_flight:
        return Reject(Rejection.BUSY, "another run is on this worker", record=worker.understood)
    if _leaving(worker):
        return Reject(Rejection.DRAINING, "this worker takes no new runs")
    image = images.runner_image(scheduled.runner_image, scheduled.tool, pool.pod)
    return _judge_image(image, scheduled, pool) or Claim(image)


def rejected(scheduled: RunScheduled, decision: Reject) -> RunRejected:
    """Return the answer to a run that this Worker won't run."""
    return RunRejected(
        worker_uid=scheduled.worker_uid,
        pool_uid=scheduled.pool_uid,
        run=scheduled.run,
        stage=scheduled.stage,
        sequence=scheduled.sequence,
        assignment=scheduled.assignment,
        reason=decision.reason,
        message=decision.message[:REJECTION_LIMIT],
        outcome_reason=decision.outcome_reason,
    )


def _judge_image(image: str, scheduled: RunScheduled, pool: PoolView) -> Reject | None:
    """Return why a run can't have its image, None when it can."""
    source = "" if scheduled.runner_image else ", the pool's default image,"
    try:
        found = images.parse_image(image)
    except images.ImageError as error:
        text = f"the runner image{source} can't be used: {error}"
        return Reject(Rejection.INVALID, text, outcome_reason=Reason.INVALID_IMAGE)
    if images.allowed(found, pool.allowed_hosts):
        return None
    text = f"the runner image {image}{source} comes from {found.host}, which spec.allowedRunnerImageHosts doesn't list"
    return Reject(Rejection.IMAGE_NOT_ALLOWED, text)


def _leaving(worker: WorkerView) -> bool:
    gone = worker.registration in (words.REGISTRATION_DEREGISTERING, words.REGISTRATION_GONE)
    return worker.deleting or not worker.managed or worker.draining or worker.drained or gone
