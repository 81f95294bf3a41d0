"""What the Worker hook sees: one Worker and the run in its status, and the run Pods observed for it.

The view may be old, and the status is the agent's. What can't be read is None or `readable=False`, and the
policies treat that as *not known to be over*.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from app.contract.fields import JsonObject
from app.vocabulary import (
    ASSIGNMENT_LABEL,
    PHASE_FINISHED,
    PHASE_RUNNING,
    PHASE_SCHEDULED,
    PHASE_STARTING,
    POOL_LABEL,
    POOL_NAME_ANNOTATION,
    RUN_LABEL,
    SEQUENCE_LABEL,
    ULID_LABEL,
)

_PHASES = (PHASE_SCHEDULED, PHASE_STARTING, PHASE_RUNNING, PHASE_FINISHED)
_TERMINAL_PHASES = ("Succeeded", "Failed")
_NUMBER = re.compile(r"[0-9]{1,18}")


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try of one run on one Worker."""

    run_id: str
    sequence: int
    assignment: int


@dataclass(frozen=True, slots=True)
class RunView:
    """The run recorded in a Worker's status. Texts that only a new Pod needs are empty when absent."""

    attempt: Attempt
    stage: str
    phase: str
    pod_uid: str | None
    has_outcome: bool
    runner_image: str
    launcher_image: str
    secret_name: str
    secret_uid: str
    settings: str


@dataclass(frozen=True, slots=True)
class WorkerView:
    """A Worker as its hook needs it. `readable` is False when there is a status or run that makes no sense."""

    name: str
    namespace: str
    ulid: str
    pool_ulid: str
    pool_name: str
    registration: str | None
    assignment: int | None
    kept_pods: frozenset[str]
    run: RunView | None
    readable: bool


@dataclass(frozen=True, slots=True)
class PodView:
    """A run Pod observed for the Worker. `attempt` is None when its labels don't name one."""

    name: str
    uid: str
    attempt: Attempt | None
    terminal: bool


def view_worker(parent: JsonObject) -> WorkerView:
    """Read a Worker; never fails."""
    metadata = parent["metadata"]
    labels = _mapping(metadata.get("labels"))
    raw_status = parent.get("status")
    status = _mapping(raw_status)
    raw_run = status.get("run")
    run = _view_run(_mapping(raw_run))
    kept_pods = status.get("keptPods") or []
    return WorkerView(
        name=metadata["name"],
        namespace=metadata["namespace"],
        ulid=_text(labels.get(ULID_LABEL)),
        pool_ulid=_text(labels.get(POOL_LABEL)),
        pool_name=_text(_mapping(metadata.get("annotations")).get(POOL_NAME_ANNOTATION)),
        registration=_text(status.get("registration")) or None,
        assignment=_count(status.get("assignment")),
        kept_pods=frozenset(name for name in kept_pods if isinstance(name, str))
        if isinstance(kept_pods, list)
        else frozenset(),
        run=run,
        readable=(raw_status is None or isinstance(raw_status, dict))
        and isinstance(kept_pods, list)
        and (run is not None or raw_run is None),
    )


def view_pod(observed: JsonObject) -> PodView:
    """Read a run Pod; never fails."""
    metadata = observed["metadata"]
    return PodView(
        name=metadata["name"],
        uid=_text(metadata.get("uid")),
        attempt=_attempt_of_labels(_mapping(metadata.get("labels"))),
        terminal=_mapping(observed.get("status")).get("phase") in _TERMINAL_PHASES,
    )


def _view_run(run: JsonObject) -> RunView | None:
    attempt = _attempt(_text(run.get("id")), _count(run.get("sequence")), _count(run.get("assignment")))
    if attempt is None or run.get("phase") not in _PHASES:
        return None
    return RunView(
        attempt=attempt,
        stage=_text(run.get("stage")),
        phase=run["phase"],
        pod_uid=_text(run.get("podUID")) or None,
        has_outcome=bool(_mapping(run.get("outcome"))),
        runner_image=_text(run.get("runnerImage")),
        launcher_image=_text(run.get("launcherImage")),
        secret_name=_text(run.get("secretName")),
        secret_uid=_text(run.get("secretUID")),
        settings=_text(run.get("settings")),
    )


def _attempt_of_labels(labels: JsonObject) -> Attempt | None:
    return _attempt(
        _text(labels.get(RUN_LABEL)),
        _number(labels.get(SEQUENCE_LABEL)),
        _number(labels.get(ASSIGNMENT_LABEL)),
    )


def _attempt(run_id: str, sequence: int | None, assignment: int | None) -> Attempt | None:
    if not run_id or sequence is None or assignment is None:
        return None
    return Attempt(run_id, sequence, assignment)


def _mapping(value: object) -> JsonObject:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _number(label: object) -> int | None:
    return int(label) if isinstance(label, str) and _NUMBER.fullmatch(label) else None
