"""What the pool hook sees: the WorkerPool and its Workers, read from the objects Metacontroller sent.

The pool's spec is the user's and is checked (a wrong type is a 400). Its status is our own earlier answer, and a
Worker's status is the agent's: neither may break the hook, so what can't be read there is taken for the careful
choice, which is *busy* for a Worker.
"""

from __future__ import annotations

from dataclasses import dataclass

from app.contract.fields import JsonObject, optional_count_at, optional_object_at
from app.cycle_mark import read_mark
from app.vocabulary import (
    CONNECTION_ANNOTATION,
    CYCLE_ANNOTATION,
    DEFAULT_POOL_SIZE,
    MAX_POOL_SIZE,
    POOL_LABEL,
    REGISTRATION_GONE,
    REGISTRATION_PENDING,
    STATE_BUSY,
    ULID_LABEL,
)

_UNREGISTERED = (REGISTRATION_PENDING, REGISTRATION_GONE)


@dataclass(frozen=True, slots=True)
class PoolView:
    """A WorkerPool as its hook needs it. `ulid` is None while the agent hasn't labelled the pool.

    `cycled` is the highest number of the Workers that a cycle wants replaced, 0 when there was none.
    """

    name: str
    namespace: str
    uid: str
    created_at: str
    ulid: str | None
    last_ulid: str | None
    size: int
    closed: int
    cycled: int
    auto_registered: bool
    connection: str | None
    conditions: list[JsonObject]


@dataclass(frozen=True, slots=True)
class PoolWorker:
    """A Worker as the pool's policies need it.

    `busy` covers a run in flight, from the claim until the mothership released it, and any status that can't be
    read. `pool_ulid` is the pool it was registered with, which a changed ULID leaves behind.
    """

    observed: JsonObject
    name: str
    sequence: int
    pool_ulid: str | None
    terminating: bool
    draining: bool
    busy: bool
    registered: bool
    keeps_pods: bool


def view_pool(parent: JsonObject) -> PoolView:
    """Read a WorkerPool; raise HookRequestError when its spec has a field of a wrong type."""
    metadata = parent["metadata"]
    labels = metadata.get("labels") or {}
    annotations = metadata.get("annotations") or {}
    spec = optional_object_at(parent, "spec", "parent.spec")
    status = _mapping(parent.get("status"))
    conditions = status.get("conditions")
    mark = read_mark(_text(annotations.get(CYCLE_ANNOTATION)))
    return PoolView(
        name=metadata["name"],
        namespace=metadata["namespace"],
        uid=metadata["uid"],
        created_at=_text(metadata.get("creationTimestamp")) or "",
        ulid=_text(labels.get(ULID_LABEL)),
        last_ulid=_text(status.get("poolULID")),
        size=min(
            optional_count_at(spec, "poolSize", "parent.spec.poolSize", DEFAULT_POOL_SIZE), MAX_POOL_SIZE
        ),
        closed=_sequence(status.get("sequence")),
        cycled=mark.sequence if mark else 0,
        auto_registered=not spec.get("token") and not spec.get("privateKey"),
        connection=_text(annotations.get(CONNECTION_ANNOTATION)),
        conditions=[item for item in conditions if isinstance(item, dict)]
        if isinstance(conditions, list)
        else [],
    )


def view_worker(observed: JsonObject) -> PoolWorker:
    """Read a Worker; never fails."""
    metadata = observed["metadata"]
    labels = metadata.get("labels")
    spec = _mapping(observed.get("spec"))
    status = observed.get("status")
    readable = status is None or isinstance(status, dict)
    status = _mapping(status)
    return PoolWorker(
        observed=observed,
        name=metadata["name"],
        sequence=_sequence(spec.get("sequence")),
        pool_ulid=_text(labels.get(POOL_LABEL)) if isinstance(labels, dict) else None,
        terminating=metadata.get("deletionTimestamp") is not None,
        draining=spec.get("draining") is True,
        busy=not readable or status.get("run") is not None or status.get("state") == STATE_BUSY,
        registered=(status.get("registration") or REGISTRATION_PENDING) not in _UNREGISTERED,
        keeps_pods=bool(status.get("keptPods")),
    )


def _mapping(value: object) -> JsonObject:
    return value if isinstance(value, dict) else {}


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None


def _sequence(value: object) -> int:
    """Return a sequence number; what isn't one counts as 0, which is below every number in use."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else 0
