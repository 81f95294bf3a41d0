"""Which Event a happening becomes: a new one, a higher count of one that is there, or none. Pure: no I/O, no clock.

The rules are those of client-go's recorder (``tools/record/events_cache.go``), so that ``kubectl describe`` reads as for
any controller: what repeats word for word is counted on one Event; what differs in its message only is combined into
one Event from the tenth message on; and each object has a budget. Used by ``EventRecorder`` from its one thread.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Final, Generic, TypeVar

from app.cluster.objects import KubernetesObject

SIMILAR_SECONDS: Final = 600.0
"""How long after the last one another Event of the same object, type and reason counts as similar."""

SIMILAR_LIMIT: Final = 10
"""From this many different messages on, similar Events are combined; nine have Events of their own."""

COMBINED: Final = "(combined from similar events): "
"""Begins the message of a combined Event, which ends with the newest message."""

BURST: Final = 25
"""Events that one object may have at once, for each type, as with client-go: a Warning never waits behind Normals."""

REFILL_SECONDS: Final = 5.0
"""How often an object may have one more. client-go's five minutes suit objects that are always unhealthy; a Worker has
four Events for each run, and back-to-back runs of 20 s are to get all of them written."""

MESSAGE_BYTES: Final = 1024
"""The API refuses longer messages."""

_REMEMBERED: Final = 4096

_Value = TypeVar("_Value")


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that happened to the object of ``reference`` (its ``involvedObject``) at ``time``, Unix seconds."""

    reference: KubernetesObject
    type: str
    reason: str
    message: str
    time: float


@dataclass(slots=True)
class EventRecord:
    """One Event as it should be on the server; ``written`` says whether it has been, and is the caller's to set."""

    name: str
    reference: KubernetesObject
    type: str
    reason: str
    message: str
    combined: bool
    count: int
    first: float
    last: float
    written: bool = False


@dataclass(slots=True)
class _Similar:
    messages: set[int] = field(default_factory=set)
    """Hashes of the messages, which can be long."""

    last: float = 0.0


@dataclass(slots=True)
class _Budget:
    tokens: float
    since: float


class Correlator:
    """Remembers what was recorded lately, the 4,096 most recent of each kind."""

    def __init__(self) -> None:
        self._records: _Recent[EventRecord] = _Recent()
        self._similar: _Recent[_Similar] = _Recent()
        self._budgets: _Recent[_Budget] = _Recent()
        self._last_name = 0

    def correlate(self, happening: Happening) -> EventRecord | None:
        """Return the Event to write for ``happening``, its count raised; None when its object's budget is spent.

        A happening over budget is counted all the same and shows in the count once one is within budget again.
        """
        group = (happening.reference["uid"], happening.type, happening.reason)
        combined = self._is_one_too_many(group, happening)
        message = bounded(COMBINED + happening.message if combined else happening.message)
        key = group if combined else (*group, message)
        record = self._records.get(key)
        if record is None:
            record = EventRecord(
                name=self._name(happening),
                reference=happening.reference,
                type=happening.type,
                reason=happening.reason,
                message=message,
                combined=combined,
                count=0,
                first=happening.time,
                last=happening.time,
            )
            self._records.put(key, record)
        record.count += 1
        record.last = happening.time
        record.message = message
        return record if self._affords(happening) else None

    def _is_one_too_many(self, group: Hashable, happening: Happening) -> bool:
        similar = self._similar.get(group)
        if similar is None or happening.time - similar.last > SIMILAR_SECONDS:
            similar = _Similar()
            self._similar.put(group, similar)
        similar.last = happening.time
        message = hash(happening.message)
        if message not in similar.messages and len(similar.messages) >= SIMILAR_LIMIT - 1:
            return True
        similar.messages.add(message)
        return False

    def _affords(self, happening: Happening) -> bool:
        key = (happening.reference["uid"], happening.type)
        budget = self._budgets.get(key)
        if budget is None:
            budget = _Budget(BURST, happening.time)
            self._budgets.put(key, budget)
        gained = max(0.0, happening.time - budget.since) / REFILL_SECONDS
        budget.tokens = min(float(BURST), budget.tokens + gained)
        budget.since = happening.time
        if budget.tokens < 1:
            return False
        budget.tokens -= 1
        return True

    def _name(self, happening: Happening) -> str:
        # As client-go names them. Rising, so that an API that sorts by name shows Events of one second in their order.
        self._last_name = max(self._last_name + 1, int(happening.time * 1e9))
        return f"{happening.reference['name'][:230]}.{self._last_name:x}"


def bounded(message: str) -> str:
    """Return ``message``, cut to what the API takes, never within a character."""
    encoded = message.encode("utf-8", "replace")
    if len(encoded) <= MESSAGE_BYTES:
        return encoded.decode()
    return encoded[: MESSAGE_BYTES - 3].decode("utf-8", "ignore") + "..."


class _Recent(Generic[_Value]):
    """The most recently used values by their keys."""

    def __init__(self) -> None:
        self._values: OrderedDict[Hashable, _Value] = OrderedDict()

    def get(self, key: Hashable) -> _Value | None:
        """Return the value, which is now the most recent."""
        value = self._values.get(key)
        if value is not None:
            self._values.move_to_end(key)
        return value

    def put(self, key: Hashable, value: _Value) -> None:
        """Keep a value, and drop the one that was used longest ago when there are too many."""
        self._values[key] = value
        self._values.move_to_end(key)
        if len(self._values) > _REMEMBERED:
            self._values.popitem(last=False)
