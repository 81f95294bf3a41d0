"""When the mothership's word ends an attempt: `run_released` and `run_canceled`; pure.

Both are repeated by their sender until the Worker's state shows them, so that dropping one is never a loss.
"""

from app import vocabulary as words
from app.agent.pod_state import PodView
from app.agent.worker_state import WorkerView
from protocol.messages import RunCanceled, RunReleased
from protocol.runs import Phase


def releases(worker: WorkerView, message: RunReleased) -> bool:
    """Return whether the Worker may go idle: only from Finished, and only for the attempt it holds."""
    run = worker.run
    return run is not None and run.key == (message.run, message.sequence) and run.phase is Phase.FINISHED


def cancels(worker: WorkerView, message: RunCanceled) -> bool:
    """Return whether the attempt ends as canceled: only before its worker container ran."""
    run = worker.run
    early = run is not None and run.phase in (Phase.SCHEDULED, Phase.STARTING)
    return run is not None and early and run.key == (message.run, message.sequence)


def holds_nothing_of(worker: WorkerView, message: RunCanceled | RunReleased) -> bool:
    """Return whether the Worker positively doesn't hold the attempt: a run that can't be read may be it."""
    if not worker.understood:
        return False
    return worker.run is None or worker.run.key != (message.run, message.sequence)


def attempt_is_over(worker: WorkerView, pod: PodView) -> bool:
    """Return whether the attempt that `pod` serves is positively over, as far as this Worker's status tells.

    The assignment number rises in the same patch that records a run. So a status whose number has reached the
    Pod's, and whose run is another one, was written after that attempt's release.
    """
    if not worker.understood or pod.assignment < 0:
        return False
    if worker.run is not None and worker.run.key == pod.key:
        return worker.run.phase is Phase.FINISHED
    return pod.assignment <= worker.assignment


def guards_nothing(worker: WorkerView, pod: PodView) -> bool:
    """Return whether the verdict finalizer may come off a Pod."""
    return pod.guarded and attempt_is_over(worker, pod)


def state_word(*, busy: bool, drained: bool) -> str:
    """Return ``status.state``, which is derived from the rest."""
    if busy:
        return words.STATE_BUSY
    return words.STATE_DRAINED if drained else words.STATE_IDLE
