"""Messages that came for a Worker and wait for their effect; they carry the way to acknowledge them.

Filled by connection threads with bytes only, emptied by the thread that works on the Worker. A message stays until
its effect is stored, also when the broker was told in between: the broker's patience is shorter than an outage.
"""

import threading
from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, field

from app.agent.runtime import Key

LIMIT = 64
"""Messages kept for one Worker; the oldest go first: every one of them is repeated by its sender."""


@dataclass(frozen=True, slots=True, eq=False)
class Letter:
    """A received message, unread: the pool object it came for, the Worker its topic names, when it came (monotonic)."""

    payload: bytes = field(repr=False)
    pool_uid: str
    pool_name: str
    worker_ulid: str
    acknowledge: Callable[[], None] = field(repr=False)
    received: float = 0.0


class Inbox:
    """Letters by Worker. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._letters: dict[Key, deque[Letter]] = {}

    def put(self, key: Key, letter: Letter) -> None:
        """Add a letter; when there are too many, the oldest is acknowledged and dropped."""
        with self._lock:
            letters = self._letters.setdefault(key, deque())
            dropped = letters.popleft() if len(letters) >= LIMIT else None
            letters.append(letter)
        if dropped is not None:
            dropped.acknowledge()

    def first(self, key: Key, passed: Collection[Letter] = ()) -> Letter | None:
        """Return the oldest letter, of those that are not `passed` over, without taking it."""
        with self._lock:
            return next((each for each in self._letters.get(key, ()) if each not in passed), None)

    def done(self, key: Key, letter: Letter) -> None:
        """Take a letter out and acknowledge it: its effect is stored, or it has none."""
        with self._lock:
            letters = self._letters.get(key)
            if letters and letter in letters:
                letters.remove(letter)
            if not letters:
                self._letters.pop(key, None)
        letter.acknowledge()

    def oldest(self, now: float) -> float:
        """Return for how many seconds the oldest letter has waited for its effect; `now` is monotonic."""
        with self._lock:
            return max(
                (now - letters[0].received for letters in self._letters.values() if letters), default=0.0
            )

    def drop(self, key: Key) -> None:
        """Forget a Worker's letters, unacknowledged: another replica gets them from the broker."""
        with self._lock:
            self._letters.pop(key, None)

    def __len__(self) -> int:
        """Return for how many Workers letters wait."""
        return len(self._letters)
