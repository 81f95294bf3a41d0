"""The transitions of an attempt: assignment, the worker's answers, the verdict, stop (design, section 6).

Every function takes a `Case` and returns one. The attempt is closed in the same value, and so in the same
transaction, in which the run moves on: that is what the start claim relies on.
"""

from dataclasses import dataclass, replace

from mothership.decisions.schedule import wait_after
from mothership.decisions.states import (
    STAGE,
    Attempt,
    AttemptState,
    Case,
    Notice,
    Rules,
    Run,
    RunState,
    enter,
)
from protocol.runs import Outcome, Reason, Rejection, Result

REPEATING_FAILURES = frozenset(
    {
        Reason.IMAGE_PULL,
        Reason.INVALID_IMAGE,
        Reason.CONFIG_ERROR,
        Reason.IMAGE_NOT_ALLOWED,
        Reason.POLICY_DENIED,
        Reason.UNSCHEDULABLE,
    }
)
"""Failures before the start that lie in the run or the pool's settings: queueing again would only repeat them."""

LIKELY_TO_REPEAT = frozenset({Reason.OOM_KILLED, Reason.INIT_FAILED, Reason.DEADLINE_EXCEEDED})
"""Failures before the start that may be bad luck once; twice in a row they lie in the run or the pool's settings."""

HEARSAY = frozenset({Reason.NODE_LOST, Reason.EVICTED, Reason.POD_DELETED})
"""Ends of the Pod object: without an exit code of its containers they don't prove that these ended."""


SILENCE = Outcome(Result.LOST, Reason.LEASE_LOST, "the launcher stopped renewing the run's lease")
"""The end of a granted attempt that neither worker nor launcher said a word about."""


def assign(run: Run, *, pool_uid: str, worker: str, worker_uid: str, assignment: int, now: float) -> Case:
    """Give a queued run to a worker, as a new attempt; the first message is due at once."""
    moved = enter(run, "ready", STAGE)
    attempt = Attempt(
        run=run.id,
        sequence=moved.position,
        stage=STAGE,
        pool=run.pool,
        pool_uid=pool_uid,
        worker=worker,
        worker_uid=worker_uid,
        assignment=assignment,
        state=AttemptState.ASSIGNED,
        assigned_at=now,
        due_at=now,
    )
    run = replace(moved, state=RunState.ASSIGNED, sequence=attempt.sequence)
    return Case(run, attempt, ("ready", STAGE))


def accept(case: Case, now: float) -> Case:
    """Note that the worker has stored the attempt; for a closed one it is reminded that nothing is wanted any more."""
    if case.attempt.is_closed:
        return remind(case, now)
    if case.attempt.state is not AttemptState.ASSIGNED:
        return case
    attempt = replace(case.attempt, state=AttemptState.ACCEPTED, accepted_at=now, due_at=None, tries=0)
    return replace(case, run=replace(case.run, state=RunState.ACCEPTED), attempt=attempt)


def bind_pod(case: Case, pod_uid: str, now: float) -> Case:
    """Note the Pod that may claim, as the worker names it: the first name stays, and is an acceptance too."""
    if not case.attempt.is_closed and case.attempt.pod_uid is None:
        case = replace(case, attempt=replace(case.attempt, pod_uid=pod_uid))
    return accept(case, now)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A worker's refusal of an attempt, in its own words; `outcome_reason` is what it would have the run fail with."""

    rejection: Rejection
    message: str = ""
    outcome_reason: Reason | None = None

    @property
    def final(self) -> Reason | None:
        """What the run fails with when every worker of the pool would refuse it; None when another may take it."""
        if self.rejection is Rejection.IMAGE_NOT_ALLOWED:
            return Reason.IMAGE_NOT_ALLOWED
        if self.rejection is Rejection.INVALID:
            return self.outcome_reason if self.outcome_reason in REPEATING_FAILURES else Reason.CONFIG_ERROR
        return None


def reject(case: Case, refusal: Refusal, now: float, rules: Rules) -> Case:
    """Take the attempt from a worker that will not run it; after a grant this is late news and changes nothing."""
    if case.attempt.is_closed:
        return told(case)
    if case.attempt.granted:
        return case
    text = refusal.message or f"rejected by worker {case.attempt.worker}: {refusal.rejection.value}"
    if refusal.final is not None:
        return _conclude(case, Outcome(Result.FAILED, refusal.final, text), None, now)
    return queue_again(case, Outcome(Result.CANCELED, Reason.REFUSED, text), None, now, rules, counted=False)


def finish(case: Case, pod_uid: str | None, outcome: Outcome, now: float, rules: Rules) -> Case:
    """Take the worker's verdict; whoever reports a closed attempt is released, however old it is."""
    attempt = case.attempt
    if attempt.is_closed:
        return release(_explained(case, pod_uid, outcome), now)
    if not attempt.granted:
        return _finish_unstarted(case, outcome, now, rules)
    if attempt.worker_outcome is None:
        case = replace(case, attempt=replace(attempt, worker_outcome=outcome))
    # A vanished Pod object, or word of another Pod, doesn't prove that the granted container ended: on a partitioned
    # node it may work on. Then the lease or the launcher's own report decides.
    proved = _proves_end(outcome) and pod_uid == attempt.pod_uid
    if proved or attempt.report is not None or lease_is_over(attempt, now, rules):
        return _conclude(case, judge(case.attempt), Notice.RELEASED, now)
    return case


def _explained(case: Case, pod_uid: str | None, outcome: Outcome) -> Case:
    """Put the worker's words in the place of a silence that the run was called lost for.

    The run stays lost: that end is for ever. But whoever asks why hears the cause, as on the Worker.
    """
    attempt = case.attempt
    bad = outcome.result in (Result.FAILED, Result.LOST)
    if attempt.outcome != SILENCE or not case.is_current or not bad or pod_uid != attempt.pod_uid:
        return case
    told = replace(outcome, result=Result.LOST)
    return replace(
        case,
        run=replace(case.run, outcome=told),
        attempt=replace(attempt, worker_outcome=outcome, outcome=told),
    )


def _proves_end(outcome: Outcome) -> bool:
    if outcome.result is Result.LOST:
        return False
    # After a failed init container the worker container never starts.
    if "worker" in outcome.exit_codes or outcome.exit_codes.get("init", 0) != 0:
        return True
    # A launcher-grpc that ended alone may have let the executor begin before.
    return outcome.reason not in HEARSAY and "launcher-grpc" not in outcome.exit_codes


def _finish_unstarted(case: Case, outcome: Outcome, now: float, rules: Rules) -> Case:
    # `succeeded` without a grant happens when this database came back from a backup: the work was done, so it is
    # never done again.
    repeats = outcome.result is Result.FAILED and outcome.reason in REPEATING_FAILURES
    if outcome.result is Result.SUCCEEDED or repeats:
        return _conclude(case, outcome, Notice.RELEASED, now)
    if _came_twice(case.run, outcome):
        return _give_up(case, outcome, Notice.RELEASED, case.run.requeues + 1, now)
    return queue_again(case, outcome, Notice.RELEASED, now, rules, counted=True)


def _came_twice(run: Run, outcome: Outcome) -> bool:
    if outcome.result is not Result.FAILED or outcome.reason is not run.failed_with:
        return False
    # An init container that failed without an exit code was cut off by something else.
    own = outcome.reason is not Reason.INIT_FAILED or any(outcome.exit_codes.values())
    return outcome.reason in LIKELY_TO_REPEAT and own


def report(case: Case, outcome: Outcome, now: float) -> Case:
    """Take the launcher's own word: the first is kept; it decides when the worker's word alone could not."""
    if case.attempt.report is not None or not case.attempt.granted:
        return case
    case = replace(case, attempt=replace(case.attempt, report=outcome))
    if not case.attempt.is_closed and case.attempt.worker_outcome is not None:
        return _conclude(case, judge(case.attempt), Notice.RELEASED, now)
    return case


def judge(attempt: Attempt) -> Outcome:
    """Weigh the words of worker and launcher on a granted attempt; without any, the lease ran out."""
    worker, launcher = attempt.worker_outcome, attempt.report
    if worker is None and launcher is None:
        return SILENCE
    if worker is None or launcher is None:
        return worker or launcher or judge(attempt)
    if worker.result is Result.LOST:
        return launcher
    # The launcher knows of a stop and of failures that leave exit code 0; the worker of kills and evictions.
    knows_better = launcher.result is Result.STOPPED or worker.result is Result.SUCCEEDED
    if knows_better and launcher.result is not worker.result:
        return replace(launcher, exit_codes=worker.exit_codes or launcher.exit_codes)
    return worker


def stop(case: Case, now: float) -> Case:
    """End the run on request: cancelled while no Pod was granted, asked to stop through the lease afterwards."""
    if case.run.state.is_final or case.attempt.is_closed:
        return case
    if case.attempt.granted:
        return replace(case, run=replace(case.run, stop_requested=True))
    outcome = Outcome(Result.CANCELED, Reason.CANCELED, "canceled before it started")
    return _conclude(case, outcome, Notice.CANCELED, now)


def cancel_queued(run: Run) -> tuple[Run, tuple[str, ...]]:
    """Cancel a run that no worker holds; return it and what its history gains."""
    if run.state is not RunState.QUEUED:
        return run, ()
    outcome = Outcome(Result.CANCELED, Reason.CANCELED, "canceled before it started")
    moved = enter(run, RunState.CANCELED.value)
    return replace(moved, state=RunState.CANCELED, outcome=outcome), (RunState.CANCELED.value,)


def worker_gone(case: Case, now: float, rules: Rules) -> Case:
    """Part with a worker that is no more: what never started is queued again, the rest is for its lease."""
    if case.attempt.is_closed:
        return told(case)
    if case.attempt.granted:
        return case
    outcome = Outcome(Result.CANCELED, Reason.CANCELED, f"worker {case.attempt.worker} is gone")
    return queue_again(case, outcome, None, now, rules, counted=False)


def queue_again(
    case: Case, outcome: Outcome, notice: Notice | None, now: float, rules: Rules, *, counted: bool
) -> Case:
    """Close an attempt that never started and queue its run; a new sequence comes with the next assignment.

    Only ends that may lie in the run are counted against the limit, and make the run wait before the next attempt: a
    busy, draining or silent worker says nothing about the run, and an operator that is away for an hour must not fail it.
    """
    requeues = case.run.requeues + counted
    if requeues > rules.requeue_limit:
        return _give_up(case, outcome, notice, requeues, now)
    run = replace(enter(case.run, RunState.QUEUED.value), state=RunState.QUEUED, requeues=requeues)
    if counted:
        run = replace(run, failed_with=outcome.reason, not_before=now + wait_after(requeues))
    history = (*case.history, RunState.QUEUED.value)
    return Case(run, _closed(case.attempt, outcome, notice, now), history)


def _give_up(case: Case, outcome: Outcome, notice: Notice | None, attempts: int, now: float) -> Case:
    """Fail the run with its last attempt's end: the cause first, in the words that the Worker has for it."""
    text = f"{outcome.message or outcome.reason} (given up after {attempts} attempts)"
    return _conclude(case, Outcome(Result.FAILED, outcome.reason, text, outcome.exit_codes), notice, now)


def conclude_lease(case: Case, now: float) -> Case:
    """Close a granted attempt whose lease is over, with what is known of it."""
    return _conclude(case, judge(case.attempt), Notice.RELEASED if case.attempt.worker_outcome else None, now)


def lease_is_over(attempt: Attempt, now: float, rules: Rules) -> bool:
    """Whether the launcher must have stopped by itself, grace included."""
    renewed = attempt.renewed_at if attempt.renewed_at is not None else attempt.assigned_at
    return now > renewed + rules.lost_after + rules.lost_grace


def remind(case: Case, now: float) -> Case:
    """Say again that a closed attempt is canceled, which its worker evidently holds, unless it started."""
    if case.attempt.granted:
        return case
    return replace(case, attempt=replace(case.attempt, notice=Notice.CANCELED, due_at=now, tries=0))


def told(case: Case) -> Case:
    """Note that the worker's state shows that it knows of the close."""
    if case.attempt.notice is None:
        return case
    return replace(case, attempt=replace(case.attempt, notice=None, due_at=None, tries=0))


def release(case: Case, now: float) -> Case:
    """Say `run_released` at once: the worker still waits for it."""
    return replace(case, attempt=replace(case.attempt, notice=Notice.RELEASED, due_at=now, tries=0))


def _conclude(case: Case, outcome: Outcome, notice: Notice | None, now: float) -> Case:
    state = RunState(outcome.result.value)
    run = replace(enter(case.run, state.value), state=state, outcome=outcome)
    return Case(run, _closed(case.attempt, outcome, notice, now), (*case.history, state.value))


def _closed(attempt: Attempt, outcome: Outcome, notice: Notice | None, now: float) -> Attempt:
    return replace(
        attempt,
        state=AttemptState.CLOSED,
        outcome=outcome,
        closed_at=now,
        notice=notice,
        due_at=now if notice else None,
        tries=0,
    )
