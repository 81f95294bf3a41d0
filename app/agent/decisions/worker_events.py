"""What is told of a Worker: type, reason and text of each Event about it, and the report on a run's end; pure.

The report on a verdict is made here alone, for the Event and for the condition LastRunSucceeded alike; the Outcome
it is made from goes to the mothership. The type of an Event comes from the table in ``app.reasons``.
"""

from app import vocabulary as words
from app.agent.worker_state import Attempt, WorkerView
from app.reasons import EVENTS
from protocol.runs import Outcome, Result

REPORT_BYTES = 1024
"""Longest report in UTF-8: the limit of the API for an Event's message, so that both places have the same text."""

EventText = tuple[str, str, str]
"""Type, reason and text of an Event, in the order that a recorder takes them."""


def report(run: str, outcome: Outcome) -> str:
    """Return the report on a verdict, for example ``Run 01H... failed: OOMKilled: container worker ...``."""
    text = f"Run {run} {outcome.result.value}: {outcome.reason.value}"
    text = f"{text}: {outcome.message}" if outcome.message else text
    encoded = text.encode("utf-8", "replace")
    if len(encoded) <= REPORT_BYTES:
        return encoded.decode()
    return encoded[: REPORT_BYTES - 3].decode("utf-8", "ignore") + "..."


def run_ended(run: str, outcome: Outcome) -> EventText:
    """Return the Event about a verdict."""
    bad = outcome.result in (Result.FAILED, Result.LOST)
    return _event(words.RUN_FAILED_EVENT if bad else words.RUN_FINISHED_EVENT, report(run, outcome))


def run_started(run: Attempt, node: str) -> EventText:
    """Return the Event about a worker container that runs."""
    where = f" on node {node}" if node else ""
    return _event(words.RUN_STARTED_EVENT, f"Run {run.run} started{where} (Pod {run.pod_name})")


def run_released(run: Attempt) -> EventText:
    """Return the Event about a result that the mothership has stored."""
    return _event(words.RUN_RELEASED_EVENT, f"Run {run.run} released: the mothership has stored its result")


def pod_refused(said: str) -> EventText:
    """Return the Event about a run Pod that the API server doesn't admit; `said` has the server's text."""
    return _event(words.POD_REFUSED_EVENT, said)


def drain_changed(worker: WorkerView, *, drained: bool) -> EventText:
    """Return the Event about the mothership's wish that the Worker takes no more runs, or takes them again."""
    if not drained:
        return _event(words.WORKER_UNDRAINED_EVENT, "The worker takes runs again")
    rest = f"; run {worker.run.run} goes on to its end" if worker.run else ""
    return _event(words.WORKER_DRAINING_EVENT, f"The worker takes no more runs{rest}")


def deregistration_unconfirmed() -> EventText:
    """Return the Event about a Worker that goes away although the mothership couldn't be told."""
    text = "The mothership could not be told in time that this worker goes away"
    return _event(words.DEREGISTRATION_UNCONFIRMED_EVENT, text)


def verdict_unreported(run: Attempt) -> EventText:
    """Return the Event about a verdict that nobody took before its Worker or pool went away."""
    text = f"The verdict on run {run.run} could not be reported to the mothership in time"
    return _event(words.DEREGISTRATION_UNCONFIRMED_EVENT, text)


def _event(reason: str, text: str) -> EventText:
    kind, _ = EVENTS[words.WORKER_KIND, reason]
    return kind, reason, text
