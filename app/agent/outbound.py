"""What waits to be published on one connection: bounded, without duplicates, and what was sent but not confirmed.

Filled by the threads that work on Workers and pools, emptied by the connection's thread, which alone asks for `next`.
It is never stored: after a reconnect everything in it is worked out again from Worker status (facts/mqtt.md, row 2).
"""

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from app.agent.decisions.blame import Blame, Sent
from app.agent.decisions.pacing import Bucket


@dataclass(frozen=True, slots=True)
class Parcel:
    """A message and where it goes."""

    topic: str
    payload: bytes


class Outbound:
    """The queue and the window. `offer`, `clear` and the counts may be used from any thread."""

    def __init__(self, limit: int, window: int, rate: float, blame: Blame, now: float) -> None:
        self._limit, self._most, self._window, self._rate = limit, window, window, rate
        self._lock = threading.Lock()
        self._waiting: OrderedDict[object, Parcel] = OrderedDict()
        self._sent: dict[int, Sent] = {}
        self._bucket = Bucket.full(rate, now)
        self.blame = blame

    def __len__(self) -> int:
        """Return how many messages wait."""
        return len(self._waiting)

    @property
    def in_flight(self) -> int:
        """How many were sent and not confirmed."""
        return len(self._sent)

    def done(self, now: float) -> bool:
        """Return whether nothing waits that could still go out or be confirmed soon."""
        with self._lock:
            left = [each for each in self._waiting.values() if not self.blame.held(each.topic, now)]
        return not left and not self._sent

    def offer(self, key: object, parcel: Parcel) -> bool:
        """Add a message, in the place of an unsent older one of its key; return False when there are too many."""
        with self._lock:
            if key not in self._waiting and len(self._waiting) >= self._limit:
                return False
            self._waiting[key] = parcel
        return True

    def clear(self, now: float) -> None:
        """Begin a new connection: nothing waits, nothing is under way, and the window is ours again."""
        with self._lock:
            self._waiting.clear()
        self._sent.clear()
        self._window, self._bucket = self._most, Bucket.full(self._rate, now)

    def narrow(self, window: int) -> None:
        """Keep to a window that the broker asked for, if it is smaller than ours."""
        self._window = max(min(self._most, window), 1)

    def send(self, now: float, hand_over: Callable[[Parcel], int]) -> float | None:
        """Send what may go now; return after how many seconds more may (None: when something changes)."""
        while len(self._sent) < self._window:
            self._bucket = self._bucket.refilled(now)
            key, wait = self._choose(now)
            if key is None:
                return wait
            if (pause := self._bucket.wait()) > 0:
                return pause
            with self._lock:
                parcel = self._waiting.pop(key)
            self._bucket = self._bucket.taken()
            self._sent[hand_over(parcel)] = Sent(parcel.topic, now)
        return None

    def confirmed(self, mid: int) -> str:
        """Take a confirmed message out of the window; return its topic, empty if it isn't known."""
        sent = self._sent.pop(mid, None)
        return sent.topic if sent else ""

    def unconfirmed(self) -> list[Sent]:
        """Return what is under way."""
        return list(self._sent.values())

    def oldest_unconfirmed(self, now: float) -> float:
        """Return for how many seconds the oldest publish has waited for its confirmation."""
        return max((now - each.at for each in self._sent.values()), default=0.0)

    def _choose(self, now: float) -> tuple[object | None, float | None]:
        """Return the key of the next message, or after how many seconds to look again."""
        if any(self.blame.doubtful(each.topic) for each in self._sent.values()):
            return None, None
        with self._lock:
            for key, parcel in self._waiting.items():
                if self.blame.held(parcel.topic, now):
                    continue
                alone = self.blame.doubtful(parcel.topic)
                return (None, None) if alone and self._sent else (key, None)
            topics = {each.topic for each in self._waiting.values()} if self.blame.refusals else set()
        return None, self.blame.next_release(topics, now)
