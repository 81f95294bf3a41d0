"""Whether a scheduled run is claimed for its Worker; pure. Fence 1 of the design lives here.

The mothership numbers the assignments of each Worker; a number that was answered before is never claimed again,
however the message came back.
"""

from dataclasses import dataclass

from app import vocabulary as words
from app.agent.pool_state import PoolView
from app.agent.worker_state import WorkerView
from protocol.messages import RunScheduled
from protocol.runs import Rejection

DEFAULT_REGISTRY = "docker.io"
"""Host of an image reference that names none."""


@dataclass(frozen=True, slots=True)
class Claim:
    """Record the run on the Worker."""


@dataclass(frozen=True, slots=True)
class AnswerAgain:
    """The run is recorded already: say so again, from what is known."""


@dataclass(frozen=True, slots=True)
class Reject:
    """The run will not be run here. `record` says whether its assignment number is to be stored first."""

    reason: Rejection
    message: str
    record: bool = True


Decision = Claim | AnswerAgain | Reject


def decide(worker: WorkerView, scheduled: RunScheduled, pool: PoolView) -> Decision:
    """Return what becomes of `scheduled`, which names this very Worker object."""
    if worker.run is not None and worker.run.key == (scheduled.run, scheduled.sequence):
        return AnswerAgain()
    if scheduled.assignment <= worker.assignment:
        number = scheduled.assignment
        return Reject(Rejection.BUSY, f"assignment {number} of this worker was answered before", record=False)
    if worker.in_flight:
        return Reject(Rejection.BUSY, "another run is on this worker", record=worker.understood)
    if _leaving(worker):
        return Reject(Rejection.DRAINING, "this worker takes no new runs")
    if not image_allowed(scheduled.runner_image, pool.allowed_hosts):
        host = image_host(scheduled.runner_image)
        text = f"runner images from {host} are not in the pool's allowedRunnerImageHosts"
        return Reject(Rejection.IMAGE_NOT_ALLOWED, text)
    return Claim()


def image_host(image: str) -> str:
    """Return the registry host of an image reference, as container runtimes read it."""
    first, slash, _ = image.partition("/")
    if not slash or not ("." in first or ":" in first or first == "localhost"):
        return DEFAULT_REGISTRY
    host = first.lower()
    return DEFAULT_REGISTRY if host == f"index.{DEFAULT_REGISTRY}" else host


def image_allowed(image: str, hosts: tuple[str, ...]) -> bool:
    """Return whether the pool admits an image; a pool that lists no host admits all."""
    return not hosts or image_host(image) in {host.lower() for host in hosts}


def _leaving(worker: WorkerView) -> bool:
    gone = worker.registration in (words.REGISTRATION_DEREGISTERING, words.REGISTRATION_GONE)
    return worker.deleting or not worker.managed or worker.draining or worker.drained or gone
