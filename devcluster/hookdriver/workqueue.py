"""A work queue of keys: each is worked on by one worker at a time, however often it is asked for.

The semantics are those of client-go: a key added while it is being worked on runs once more afterwards; delayed
additions of one key melt into the earliest; failures back off exponentially per key, limited over all keys.
"""

import heapq
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)

BASE_DELAY = 0.005
MAX_DELAY = 1000.0
MOST_DOUBLINGS = 30
RETRIES_PER_SECOND = 10.0
RETRY_BURST = 100


class TokenBucket:
    """Tells how long to wait so that a rate is kept; the clock is passed in."""

    def __init__(self, rate: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._burst, self._clock = rate, float(burst), clock
        self._tokens, self._updated = float(burst), clock()
        self._lock = threading.Lock()

    def reserve(self) -> float:
        """Take one token, even from the future; return the seconds until it is due."""
        with self._lock:
            self._refill()
            self._tokens -= 1
            return max(0.0, -self._tokens / self._rate)

    def take(self) -> bool:
        """Take one token if there is one."""
        with self._lock:
            self._refill()
            there = self._tokens >= 1
            self._tokens -= 1 if there else 0
            return there

    def _refill(self) -> None:
        now = self._clock()
        self._tokens = min(self._burst, self._tokens + (now - self._updated) * self._rate)
        self._updated = now


class Backoff(Generic[K]):
    """How long to wait before a failed key is tried again."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._failures: dict[K, int] = {}
        self._bucket = TokenBucket(RETRIES_PER_SECOND, RETRY_BURST, clock)

    def next(self, key: K) -> float:
        """Count a failure of the key and return the seconds to wait."""
        failures = self._failures.get(key, 0)
        self._failures[key] = failures + 1
        exponential = min(MAX_DELAY, BASE_DELAY * 2.0 ** min(failures, MOST_DOUBLINGS))
        return max(exponential, self._bucket.reserve())

    def forget(self, key: K) -> None:
        """Start anew for the key."""
        self._failures.pop(key, None)


class WorkQueue(Generic[K]):
    """The queue; `close` ends all that wait on it."""

    def __init__(self, name: str) -> None:
        self._backoff: Backoff[K] = Backoff()
        self._lock = threading.Lock()
        self._ready = threading.Condition(self._lock)
        self._delayed = threading.Condition(self._lock)
        self._queue: deque[K] = deque()
        self._dirty: set[K] = set()
        self._processing: set[K] = set()
        self._waiting: dict[K, float] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._order = 0
        self._closed = False
        threading.Thread(target=self._deliver_delayed, name=f"{name}-delays", daemon=True).start()

    def add(self, key: K) -> None:
        """Ask for the key to be worked on."""
        with self._lock:
            self._add(key)

    def add_after(self, key: K, seconds: float) -> None:
        """Ask for the key after some time; the earliest of several such wishes counts."""
        with self._lock:
            due = time.monotonic() + seconds
            if seconds <= 0:
                self._add(key)
            elif not self._closed and due < self._waiting.get(key, float("inf")):
                self._waiting[key] = due
                self._order += 1
                heapq.heappush(self._heap, (due, self._order, key))
                self._delayed.notify()

    def retry(self, key: K) -> None:
        """Ask for a failed key again, later each time."""
        with self._lock:
            delay = self._backoff.next(key)
        self.add_after(key, delay)

    def forget(self, key: K) -> None:
        """Say that the key did well."""
        with self._lock:
            self._backoff.forget(key)

    def get(self) -> K | None:
        """Wait for a key; None when the queue was closed."""
        with self._lock:
            while not self._queue and not self._closed:
                self._ready.wait()
            if self._closed:
                return None
            key = self._queue.popleft()
            self._dirty.discard(key)
            self._processing.add(key)
            return key

    def done(self, key: K) -> None:
        """Say that the work on the key ended."""
        with self._lock:
            self._processing.discard(key)
            if key in self._dirty:
                self._queue.append(key)
                self._ready.notify()

    def close(self) -> None:
        """Let everybody go."""
        with self._lock:
            self._closed = True
            self._ready.notify_all()
            self._delayed.notify_all()

    def _add(self, key: K) -> None:
        if self._closed or key in self._dirty:
            return
        self._dirty.add(key)
        if key not in self._processing:
            self._queue.append(key)
            self._ready.notify()

    def _deliver_delayed(self) -> None:
        with self._lock:
            while not self._closed:
                now = time.monotonic()
                while self._heap and self._heap[0][0] <= now:
                    due, _, key = heapq.heappop(self._heap)
                    # An earlier wish may have replaced this one.
                    if self._waiting.get(key) == due:
                        del self._waiting[key]
                        self._add(key)
                self._delayed.wait(self._heap[0][0] - now if self._heap else None)
