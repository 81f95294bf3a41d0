"""Which messages are due for a Worker, and when to look again; pure.

The outbox is not stored: it is worked out from Worker status and from what this session has already sent, so a
restart or a lost session loses nothing. Within one connection MQTT delivers what was handed over; what needs an
answer is repeated until the answer shows in the status.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypedDict

from app import vocabulary as words
from app.agent.worker_state import Attempt, WorkerView
from protocol import PROTOCOL_VERSION
from protocol.messages import (
    Register,
    RunAccepted,
    RunFinished,
    RunPod,
    RunStarted,
    Unregister,
    WorkerMessage,
    WorkerState,
)
from protocol.runs import Phase

ONCE: tuple[float, ...] = ()
POD_REPEATS = (1.0, 2.0, 5.0)
"""Seconds between repeats of `run_pod`: `init` waits for it."""

FINISH_REPEATS = (1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
"""Seconds between repeats of `run_finished` until `run_released`."""

REGISTER_REPEATS = (2.0, 4.0, 8.0, 15.0, 30.0, 60.0)
"""Seconds between repeats of `register`, before jitter."""

UNREGISTER_REPEATS = (2.0, 5.0, 10.0)
"""Seconds between repeats of `unregister`."""


class _AttemptFields(TypedDict):
    worker_uid: str
    pool_uid: str
    run: str
    stage: str
    sequence: int
    assignment: int


@dataclass(frozen=True, slots=True)
class Sent:
    """How often a message went out on this connection, and when it did last (monotonic seconds)."""

    times: int
    last: float


@dataclass(frozen=True, slots=True)
class Standing:
    """What the engine knows beside the Worker: who it is for the mothership, and what may be said."""

    pool_uid: str
    controller_version: str
    metadata: Mapping[str, str]
    admitted: bool
    secret_gone: bool
    announced_drain: tuple[bool, bool] | None = (False, False)


@dataclass(frozen=True, slots=True)
class Item:
    """One message that holds for the Worker now. `key` names it among what was sent."""

    key: str
    message: WorkerMessage
    repeats: tuple[float, ...] = ONCE


@dataclass(frozen=True, slots=True)
class Due:
    """What to publish now, and after how many seconds to look again (None: at the next change)."""

    items: tuple[Item, ...]
    next_in: float | None


def due(
    worker: WorkerView,
    standing: Standing,
    sent: Mapping[str, Sent],
    now: float,
    jitter: float = 0.0,
) -> Due:
    """Return the messages that are due; `jitter` (0..1) stretches the repeats by up to a half."""
    ready, waits = [], []
    for item in (*_attempt_items(worker, standing), *_standing_items(worker, standing)):
        left = _left(item, sent.get(item.key), now, jitter)
        if left is None:
            continue
        if left > 0:
            waits.append(left)
            continue
        ready.append(item)
        if item.repeats:
            waits.append(
                _pause(item, 0, jitter)
                if item.key not in sent
                else _pause(item, sent[item.key].times, jitter)
            )
    return Due(tuple(ready), min(waits, default=None))


def accepted(worker: WorkerView, run: Attempt, pool_uid: str) -> Item:
    """Return the answer to a scheduled run that is recorded."""
    return Item(f"accepted:{run.run}:{run.sequence}", RunAccepted(**_attempt_fields(worker, run, pool_uid)))


def drain_state(worker: WorkerView) -> tuple[bool, bool]:
    """Return what the Worker says of its draining: (it takes nothing new, the mothership wants it so)."""
    return worker.draining or worker.deleting, worker.drained


def still_meant(sent: Mapping[str, Sent], worker: WorkerView) -> dict[str, Sent]:
    """Return what is worth remembering of `sent`: nothing of attempts that the Worker doesn't hold any more.

    A draining state is remembered only while it holds: going back and forth must be said again.
    """
    suffix = f":{worker.run.run}:{worker.run.sequence}" if worker.run else None
    draining, drained = drain_state(worker)
    standing = {"register", "unregister", f"state:{draining}:{drained}"}
    return {
        key: value
        for key, value in sent.items()
        if key in standing or (suffix is not None and key.endswith(suffix))
    }


def _left(item: Item, sent: Sent | None, now: float, jitter: float) -> float | None:
    if sent is None:
        return 0.0
    if not item.repeats:
        return None
    return max(sent.last + _pause(item, sent.times - 1, jitter) - now, 0.0)


def _pause(item: Item, times: int, jitter: float) -> float:
    return item.repeats[min(times, len(item.repeats) - 1)] * (1 + jitter / 2)


def _attempt_items(worker: WorkerView, standing: Standing) -> list[Item]:
    run = worker.run
    if run is None:
        return []
    common = _attempt_fields(worker, run, standing.pool_uid)
    suffix = f"{run.run}:{run.sequence}"
    if run.phase is Phase.FINISHED:
        # Fence 4: nothing is said of the end before the run's Secret is gone.
        if run.outcome is None or not standing.secret_gone:
            return []
        finished = RunFinished(**common, pod_uid=run.pod_uid, outcome=run.outcome)
        return [Item(f"finished:{suffix}", finished, FINISH_REPEATS)]
    items = [accepted(worker, run, standing.pool_uid)]
    if run.phase is Phase.STARTING and run.pod_uid is not None:
        items.append(Item(f"pod:{suffix}", RunPod(**common, pod_uid=run.pod_uid), POD_REPEATS))
    if run.phase is Phase.RUNNING and run.pod_uid is not None:
        items.append(Item(f"started:{suffix}", RunStarted(**common, pod_uid=run.pod_uid)))
    return items


def _standing_items(worker: WorkerView, standing: Standing) -> list[Item]:
    if worker.registration == words.REGISTRATION_PENDING and standing.admitted and not worker.deleting:
        return [Item("register", _register(worker, standing), REGISTER_REPEATS)]
    if worker.registration == words.REGISTRATION_DEREGISTERING:
        message = Unregister(worker_uid=worker.uid, pool_uid=standing.pool_uid)
        return [Item("unregister", message, UNREGISTER_REPEATS)]
    drain = drain_state(worker)
    if worker.registration != words.REGISTRATION_REGISTERED or drain == standing.announced_drain:
        return []
    state = WorkerState(
        worker_uid=worker.uid, pool_uid=standing.pool_uid, draining=drain[0], drained=drain[1]
    )
    return [Item(f"state:{drain[0]}:{drain[1]}", state)]


def _register(worker: WorkerView, standing: Standing) -> Register:
    return Register(
        worker_uid=worker.uid,
        pool_uid=standing.pool_uid,
        metadata={**standing.metadata, "k8s-namespace": worker.namespace, "k8s-name": worker.name},
        controller_version=standing.controller_version,
        protocol=PROTOCOL_VERSION,
    )


def _attempt_fields(worker: WorkerView, run: Attempt, pool_uid: str) -> _AttemptFields:
    return {
        "worker_uid": worker.uid,
        "pool_uid": pool_uid,
        "run": run.run,
        "stage": run.stage,
        "sequence": run.sequence,
        "assignment": run.assignment,
    }
