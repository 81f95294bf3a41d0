"""Which topics a broker doesn't let us publish to; pure.

With MQTT 5 a broker can say so in its confirmation. AWS IoT, and every broker that speaks 3.1.1, can only close the
connection (facts/mqtt.md, row 17), which looks like any other broken connection. So what was unconfirmed when a
connection ended right after a publish becomes suspect, and on the next one each suspect goes alone: one that is
confirmed was innocent, one that ends the connection again is refused and left alone for a while.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

MOST_SUSPECTS = 1000
"""Suspects kept; those beyond are sent as if nothing had happened, and become suspect again."""

_NOBODY: Mapping[str, "Refusal"] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Refusal:
    """A topic that was refused so many `times`; not sent to before `until` (monotonic)."""

    times: int
    until: float


@dataclass(frozen=True, slots=True)
class Patience:
    """Seconds: what counts as right after a publish, and for how long a refused topic is left alone."""

    instant: float = 2.0
    first: float = 60.0
    most: float = 3600.0


@dataclass(frozen=True, slots=True)
class Sent:
    """A publish that wasn't confirmed yet: where to, and when (monotonic)."""

    topic: str
    at: float


@dataclass(frozen=True, slots=True)
class Blame:
    """What is held against topics."""

    patience: Patience = Patience()
    suspects: frozenset[str] = frozenset()
    refusals: Mapping[str, Refusal] = field(default_factory=lambda: _NOBODY)

    def held(self, topic: str, now: float) -> bool:
        """Return whether nothing may be sent to `topic` now."""
        refusal = self.refusals.get(topic)
        return refusal is not None and now < refusal.until

    def doubtful(self, topic: str) -> bool:
        """Return whether a publish to `topic` must go alone, so that its end tells of it and nothing else."""
        return topic in self.suspects or topic in self.refusals

    def next_release(self, topics: Collection[str], now: float) -> float | None:
        """Return in how many seconds the first of the held `topics` may be tried again, None: none is held."""
        waits = [
            self.refusals[each].until - now
            for each in topics
            if each in self.refusals and self.refusals[each].until > now
        ]
        return min(waits, default=None)

    def confirmed(self, topic: str) -> "Blame":
        """Return what is left when a publish to `topic` was confirmed: nothing against it."""
        if not self.doubtful(topic):
            return self
        refusals = {key: value for key, value in self.refusals.items() if key != topic}
        return replace(self, suspects=self.suspects - {topic}, refusals=refusals)

    def refused(self, topic: str, now: float) -> "Blame":
        """Return what holds once the broker has refused `topic`, by word or by deed."""
        former = self.refusals.get(topic)
        times = (former.times if former else 0) + 1
        pause = min(self.patience.first * 2.0 ** min(times - 1, 20), self.patience.most)
        refusals = {**self.refusals, topic: Refusal(times, now + pause)}
        return replace(self, suspects=self.suspects - {topic}, refusals=refusals)

    def ended(self, unconfirmed: Collection[Sent], now: float) -> tuple["Blame", str]:
        """Return what follows from a connection that the broker closed, and the topic that is to blame, if one is."""
        fresh = {each.topic for each in unconfirmed if now - each.at <= self.patience.instant}
        if len(fresh) == 1 and len({each.topic for each in unconfirmed}) == 1:
            (topic,) = fresh
            if self.doubtful(topic):
                return self.refused(topic, now), topic
        suspects = self.suspects | fresh
        return replace(self, suspects=suspects if len(suspects) <= MOST_SUSPECTS else self.suspects), ""
