"""The conditions of a Worker, derived from the status that a patch leaves behind; pure.

They travel in the patch that changes what they are derived from: what holds together is written together, and
conditions cost no call of their own. A merge patch replaces a list whole, so the whole list is built anew from the
observed one. A thousand idle Workers go through every sync of their pool, so messages are short: only that of a run
that failed may be as long as an Event's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from app import vocabulary as words
from app.agent.decisions.worker_events import report
from app.agent.worker_state import WorkerView
from protocol.runs import Outcome, Result

Json = dict[str, Any]

_READY = {
    words.REGISTRATION_PENDING: (words.WORKER_PENDING_REASON, "Waits for the mothership"),
    words.REGISTRATION_DEREGISTERING: (words.WORKER_DEREGISTERING_REASON, "Leaves the mothership"),
    words.REGISTRATION_GONE: (words.WORKER_GONE_REASON, "Has left the mothership"),
}


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition, without the time of its last transition."""

    type: str
    status: str
    reason: str
    message: str


def with_conditions(
    worker: WorkerView, patch: Json, now: str, rejected: tuple[str, Outcome] | None = None
) -> Json:
    """Return a status patch with the conditions that hold once it is applied; `now` is RFC 3339.

    `rejected` is a run that ends without having been the Worker's, and how it ends. The patch comes back as it is when they hold already, or when the Worker's run is one this version can't read.
    """
    if not worker.understood:
        return patch
    status = patch.get("status") or {}
    holding = _holding(worker, status, rejected)
    conditions = _merged(worker.conditions, holding, now)
    if conditions == list(worker.conditions):
        return patch
    return {**patch, "status": {**status, "conditions": conditions}}


def ready_is_stale(worker: WorkerView) -> bool:
    """Return whether Ready says the wrong thing of a Worker that no patch is due for.

    Only the pool's own wish (``spec.draining``) changes without a patch of ours, and only on a Worker without a run:
    one that is on its way in or out has its patch coming.
    """
    idle = worker.registration == words.REGISTRATION_REGISTERED and not worker.in_flight
    told = next((each for each in worker.conditions if each.get("type") == words.READY_CONDITION), None)
    if told is None or not idle or worker.deleting:
        return False
    return told.get("status") != _ready(worker, {}).status


def _holding(worker: WorkerView, status: Json, rejected: tuple[str, Outcome] | None) -> list[Condition]:
    ready = _ready(worker, status)
    last_run = _of_verdict(*rejected) if rejected is not None else _last_run(worker, status)
    return [ready] if last_run is None else [ready, last_run]


def _ready(worker: WorkerView, status: Json) -> Condition:
    registration = status.get("registration", worker.registration)
    if registration in _READY:
        return Condition(words.READY_CONDITION, words.CONDITION_FALSE, *_READY[registration])
    busy = bool(status["run"]) if "run" in status else worker.in_flight
    leaving = status.get("drained", worker.drained) or worker.draining or worker.deleting
    if leaving and not busy:
        return Condition(
            words.READY_CONDITION,
            words.CONDITION_FALSE,
            words.WORKER_DRAINED_REASON,
            "Takes no more runs",
        )
    return Condition(
        words.READY_CONDITION, words.CONDITION_TRUE, words.WORKER_REGISTERED_REASON, "Takes runs"
    )


def _last_run(worker: WorkerView, status: Json) -> Condition | None:
    """Return the condition of a verdict that the patch records, None when it records none."""
    outcome = (status.get("run") or {}).get("outcome")
    if outcome is None or worker.run is None:
        return None
    return _of_verdict(worker.run.run, Outcome.from_json(outcome))


def _of_verdict(run: str, verdict: Outcome) -> Condition:
    good = verdict.result is Result.SUCCEEDED
    return Condition(
        words.LAST_RUN_CONDITION,
        words.CONDITION_TRUE if good else words.CONDITION_FALSE,
        verdict.reason.value,
        report(run, verdict),
    )


def _merged(observed: Sequence[Mapping[str, Any]], holding: Sequence[Condition], now: str) -> list[Json]:
    """Return the observed list with what holds now in its place; conditions of others stay as they are."""
    merged = {str(each.get("type")): dict(each) for each in observed}
    for each in holding:
        former = merged.get(each.type, {})
        same = former.get("status") == each.status
        merged[each.type] = {
            "type": each.type,
            "status": each.status,
            "reason": each.reason,
            "message": each.message,
            "lastTransitionTime": (former.get("lastTransitionTime") if same else None) or now,
        }
    return list(merged.values())
