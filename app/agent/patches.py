"""The merge patches of Worker.status, one builder for each transition; pure.

Everything that must hold together is in one patch, and every patch carries the resourceVersion it was decided on:
a stale decision is a conflict without effect. The conditions are added where patches are written
(``app.agent.status``), derived from what a patch leaves behind.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from app import vocabulary as words
from app.agent.decisions.released import state_word
from app.agent.worker_state import Attempt, WorkerView
from protocol.messages import RunScheduled
from protocol.runs import Outcome, Phase

Patch = dict[str, Any]


@dataclass(frozen=True, slots=True)
class ClaimFacts:
    """What was made for a claim before it is recorded."""

    secret_name: str
    secret_uid: str
    settings: str
    scheduled_at: str


def claimed(worker: WorkerView, scheduled: RunScheduled, facts: ClaimFacts) -> Patch:
    """Record a scheduled run: the Worker is busy, and its assignment number is spent."""
    return _patch(
        worker,
        {
            "state": words.STATE_BUSY,
            "currentRunID": scheduled.run,
            "assignment": scheduled.assignment,
            "run": {
                "id": scheduled.run,
                "stage": scheduled.stage,
                "sequence": scheduled.sequence,
                "assignment": scheduled.assignment,
                "phase": Phase.SCHEDULED.value,
                "runnerImage": scheduled.runner_image,
                "launcherImage": scheduled.launcher_image,
                "secretName": facts.secret_name,
                "secretUID": facts.secret_uid,
                "settings": facts.settings,
                "scheduledAt": facts.scheduled_at,
            },
        },
    )


def answered(worker: WorkerView, assignment: int) -> Patch:
    """Record that an assignment was answered without a claim."""
    return _patch(worker, {"assignment": max(assignment, worker.assignment)})


def advanced(worker: WorkerView, run: Attempt, phase: Phase, pod_uid: str) -> Patch:
    """Record a later phase. The first Pod UID wins: it is the only one that may start."""
    return _patch(worker, {"run": {"phase": phase.value, "podUID": run.pod_uid or pod_uid}})


def awaited(worker: WorkerView, awaited_at: str) -> Patch:
    """Record that the run still has no Pod: the change makes Metacontroller ask the hooks at once."""
    return _patch(worker, {"run": {"podAwaitedAt": awaited_at}})


def finished(
    worker: WorkerView, run: Attempt, outcome: Outcome, pod_uid: str | None, kept: Sequence[str]
) -> Patch:
    """Record the verdict, together with the Pods that are kept from now on."""
    change: Patch = {"phase": Phase.FINISHED.value, "outcome": outcome.to_json()}
    if run.pod_uid or pod_uid:
        change["podUID"] = run.pod_uid or pod_uid
    return _patch(worker, {"run": change, "keptPods": list(kept)})


def released(worker: WorkerView) -> Patch:
    """Record that the mothership has the result: the Worker is free."""
    state = state_word(busy=False, drained=worker.drained)
    return _patch(worker, {"run": None, "currentRunID": "", "state": state})


def kept_pods(worker: WorkerView, kept: Sequence[str]) -> Patch:
    """Record which finished Pods are still kept."""
    return _patch(worker, {"keptPods": list(kept)})


def registered(worker: WorkerView, *, drained: bool) -> Patch:
    """Record that the mothership knows the Worker."""
    return _patch(
        worker,
        {
            "registration": words.REGISTRATION_REGISTERED,
            "registered": True,
            "drained": drained,
            "state": state_word(busy=worker.in_flight, drained=drained),
        },
    )


def unknown_again(worker: WorkerView) -> Patch:
    """Record that the mothership doesn't know the Worker any more: it is registered afresh."""
    return _patch(worker, {"registration": words.REGISTRATION_PENDING, "registered": False})


def drained(worker: WorkerView, *, drained: bool) -> Patch:
    """Record the mothership's wish that the Worker takes no new runs, or takes them again."""
    return _patch(worker, {"drained": drained, "state": state_word(busy=worker.in_flight, drained=drained)})


def deregistering(worker: WorkerView) -> Patch:
    """Record that the Worker takes no more runs and the mothership is being told."""
    return _patch(worker, {"registration": words.REGISTRATION_DEREGISTERING, "registered": False})


def gone(worker: WorkerView) -> Patch:
    """Record that the finalize hook may let the Worker go."""
    return _patch(worker, {"registration": words.REGISTRATION_GONE, "registered": False})


def told(worker: WorkerView) -> Patch:
    """Record nothing but the conditions that hold, which every patch of a status carries."""
    return _patch(worker, {})


def _patch(worker: WorkerView, status: Patch) -> Patch:
    return {"metadata": {"resourceVersion": worker.resource_version}, "status": status}
