"""The MQTT messages of protocol version 1 as types, and their one way in and out of bytes.

`parse` is the edge: bytes become a typed message or a `MessageError` whose `kind` is fit for a counter
label. Unknown fields are ignored, so that either side can be newer (design, section 7).
Times and ids come from the caller: nothing here reads a clock.
"""

import types
import typing
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any, ClassVar

import orjson

from protocol import MAX_PAYLOAD_BYTES
from protocol.runs import Outcome, Reason, Rejection
from protocol.schema import first_violation


class MessageError(ValueError):
    """A payload that is not a message of this protocol.

    `kind` is one of `oversized`, `not_json`, `unknown_type`, `invalid`; the text never repeats the payload,
    which may hold sealed material.
    """

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind = kind
        self.detail = detail


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """What every message has: the UID of the WorkerPool object it belongs to."""

    type: ClassVar[str]
    pool_uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerMessage(Message):
    """A message about one Worker, named by its object's UID: a ULID can come back, a UID can't."""

    worker_uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class AttemptMessage(WorkerMessage):
    """A message about one attempt of a run on one Worker."""

    run: str
    stage: str
    sequence: int
    assignment: int


# Worker -> mothership


@dataclass(frozen=True, slots=True, kw_only=True)
class Register(WorkerMessage):
    """A Worker is there and takes runs; repeated until `registered`."""

    type: ClassVar[str] = "register"
    metadata: Mapping[str, str] = field(default_factory=dict)
    controller_version: str
    protocol: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunAccepted(AttemptMessage):
    """The claim is stored in Worker.status."""

    type: ClassVar[str] = "run_accepted"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunRejected(AttemptMessage):
    """The attempt will not be run here.

    `outcome_reason` is the word that the run is to fail with, where `reason` is `invalid`: ConfigError if not given.
    """

    type: ClassVar[str] = "run_rejected"
    reason: Rejection
    message: str = ""
    outcome_reason: Reason | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPod(AttemptMessage):
    """The one Pod that may claim the start; the first report for a sequence wins."""

    type: ClassVar[str] = "run_pod"
    pod_uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStarted(AttemptMessage):
    """The worker container runs."""

    type: ClassVar[str] = "run_started"
    pod_uid: str


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFinished(AttemptMessage):
    """The verdict is stored in Worker.status; repeated until `run_released`."""

    type: ClassVar[str] = "run_finished"
    pod_uid: str | None
    outcome: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerState(WorkerMessage):
    """What the Worker says of its own draining."""

    type: ClassVar[str] = "worker_state"
    draining: bool
    drained: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Unregister(WorkerMessage):
    """The Worker object goes away."""

    type: ClassVar[str] = "unregister"


@dataclass(frozen=True, slots=True, kw_only=True)
class Online(Message):
    """Pool level: a replica of the operator has connected."""

    type: ClassVar[str] = "online"
    replica: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Offline(Message):
    """Pool level: the connection's last will."""

    type: ClassVar[str] = "offline"
    replica: str


@dataclass(frozen=True, slots=True, kw_only=True)
class InventoryWorker:
    """One Worker of an inventory; run, sequence, phase and pod_uid are None while it is idle.

    `draining` and `drained` are those of `worker_state`, None when the operator doesn't say.
    """

    worker: str
    worker_uid: str
    assignment: int
    run: str | None = None
    sequence: int | None = None
    phase: str | None = None
    pod_uid: str | None = None
    draining: bool | None = None
    drained: bool | None = None


INVENTORY_PART_WORKERS = 200
"""Workers in one part of an inventory, so that a part stays below `MAX_PAYLOAD_BYTES`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory(Message):
    """Pool level: all Workers that the operator holds, in `parts` messages numbered from 1."""

    type: ClassVar[str] = "inventory"
    replica: str
    part: int
    parts: int
    workers: tuple[InventoryWorker, ...]


# Mothership -> worker


@dataclass(frozen=True, slots=True, kw_only=True)
class Registered(WorkerMessage):
    """The mothership knows the Worker; `run` and `sequence` are the attempt it believes is there."""

    type: ClassVar[str] = "registered"
    drained: bool
    assignment: int
    run: str | None = None
    sequence: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RunScheduled(AttemptMessage):
    """An attempt for this Worker; repeated until it is answered.

    `runner_image` is empty when the run names none: then the pool's default image is meant, the Ansible one when
    `tool` is "ansible". `tool` is the mothership's word for what the run works with, empty when it says nothing.
    `payload` is a compact JWE for the pool's key: see `protocol.sealing`.
    """

    type: ClassVar[str] = "run_scheduled"
    runner_image: str = ""
    tool: str = ""
    launcher_image: str
    payload: str = field(repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class RunCanceled(WorkerMessage):
    """The attempt is closed and was never granted: no Pod is wanted any more.

    A Worker that doesn't hold it may still have its Secret, which is named by `stage`, too.
    """

    type: ClassVar[str] = "run_canceled"
    run: str
    sequence: int
    stage: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunReleased(WorkerMessage):
    """The attempt is closed and what is to be known of it is stored: the Worker may go IDLE."""

    type: ClassVar[str] = "run_released"
    run: str
    sequence: int
    stage: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Drain(WorkerMessage):
    """Take no new runs (true), or take them again (false)."""

    type: ClassVar[str] = "drain"
    drained: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Unregistered(WorkerMessage):
    """The mothership has forgotten the Worker."""

    type: ClassVar[str] = "unregistered"


@dataclass(frozen=True, slots=True, kw_only=True)
class InventoryRequested(Message):
    """Pool level: send an `inventory`."""

    type: ClassVar[str] = "inventory_requested"


@dataclass(frozen=True, slots=True, kw_only=True)
class Cycle(Message):
    """Pool level: replace every Worker that exists now by a new one once it is idle.

    `cycle` is the ULID of the request; repeated until no worker registered before the request is left. A request
    is carried out once: one with an id at or below the newest that was carried out changes nothing.
    """

    type: ClassVar[str] = "cycle"
    cycle: str


FROM_WORKER: tuple[type[Message], ...] = (
    Register,
    RunAccepted,
    RunRejected,
    RunPod,
    RunStarted,
    RunFinished,
    WorkerState,
    Unregister,
    Online,
    Offline,
    Inventory,
)
FROM_MOTHERSHIP: tuple[type[Message], ...] = (
    Registered,
    RunScheduled,
    RunCanceled,
    RunReleased,
    Drain,
    Unregistered,
    InventoryRequested,
    Cycle,
)
_T = typing.TypeVar("_T")
_BY_TYPE = {kind.type: kind for kind in FROM_WORKER + FROM_MOTHERSHIP}


@dataclass(frozen=True, slots=True)
class Received:
    """A parsed message with its envelope: `id` is the sender's ULID, `time` RFC 3339."""

    message: Message
    id: str
    time: str


def encode(message: Message, *, id: str, time: str) -> bytes:  # noqa: A002 - the envelope's own word
    """Return the UTF-8 JSON payload of `message` with the envelope fields `id` (ULID) and `time` (RFC 3339)."""
    return orjson.dumps({"type": message.type, "id": id, "time": time, **_to_json(message)})


def parse(payload: bytes) -> Received:
    """Return the message in `payload`; raise `MessageError` for anything else."""
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise MessageError("oversized", f"{len(payload)} bytes, the limit is {MAX_PAYLOAD_BYTES}")
    try:
        data = orjson.loads(payload)
    except orjson.JSONDecodeError as error:
        raise MessageError("not_json", f"line {error.lineno} column {error.colno}") from None
    if not isinstance(data, dict):
        raise MessageError("not_json", "not a JSON object")
    kind = _BY_TYPE.get(data["type"]) if isinstance(data.get("type"), str) else None
    if kind is None:
        raise MessageError("unknown_type", "field type names no message of this protocol version")
    violation = first_violation(kind.type, data)
    if violation:
        raise MessageError("invalid", f"{kind.type}: {violation}")
    return Received(_from_json(kind, data), data["id"], data["time"])


@cache
def json_name(python_name: str) -> str:
    """Return the JSON name of a field: camelCase, with UID kept in capitals as Kubernetes writes it."""
    first, *rest = python_name.split("_")
    return first + "".join("UID" if word == "uid" else word.capitalize() for word in rest)


def _to_json(value: Any) -> dict[str, Any]:  # noqa: ANN401 - any message dataclass
    return {json_name(item.name): _plain(getattr(value, item.name)) for item in fields(value)}


def _plain(value: Any) -> Any:  # noqa: ANN401 - JSON values
    if isinstance(value, Outcome):
        return value.to_json()
    if isinstance(value, InventoryWorker):
        return _to_json(value)
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    if isinstance(value, Mapping):
        return dict(value)
    return value


def _hints(kind: type) -> dict[str, Any]:
    found = typing.get_type_hints(kind)
    return {name: hint for name, hint in found.items() if typing.get_origin(hint) is not ClassVar}


def _from_json(kind: type[_T], data: Mapping[str, Any]) -> _T:
    values = {}
    for name, hint in _HINTS[kind].items():
        key = json_name(name)
        if key in data:
            values[name] = _typed(hint, data[key])
        elif isinstance(hint, types.UnionType):
            values[name] = None
    return kind(**values)


def _typed(hint: Any, value: Any) -> Any:  # noqa: ANN401 - JSON values
    if hint is Outcome:
        return Outcome.from_json(value)
    if hint is Rejection:
        return Rejection(value)
    if hint == Reason | None:
        return None if value is None else Reason(value)
    if hint == tuple[InventoryWorker, ...]:
        return tuple(_from_json(InventoryWorker, item) for item in value)
    return value


_HINTS: dict[type, dict[str, Any]] = {
    kind: _hints(kind) for kind in (*FROM_WORKER, *FROM_MOTHERSHIP, InventoryWorker)
}
