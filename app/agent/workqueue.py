"""A keyed work queue: one key is never worked on twice at a time, and asked for twice it is worked on once.

Threads take keys; a key that is added while it is being worked on comes again afterwards; a key can be added for
later, and the earliest time wins. Failures come back with an exponential pause.
"""

import heapq
import threading
import time
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

import structlog

K = TypeVar("K", bound=Hashable)

FIRST_PAUSE = 0.05
MOST_PAUSE = 30.0
_log = structlog.get_logger(__name__)


class WorkQueue(Generic[K]):
    """Calls `work(key)` on a few threads. `work` returns after how many seconds to look at the key again, or None.

    An error of the `expected` kinds is logged as one line; any other one with its traceback. Both are tried again.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[K], float | None],
        threads: int,
        expected: tuple[type[Exception], ...] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._name, self._work, self._clock = name, work, clock
        self._expected = expected
        self._changed = threading.Condition()
        self._due: dict[K, float] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._serial = 0
        self._working: dict[K, float] = {}
        self._failures: dict[K, int] = {}
        self._closed = False
        self._threads = [
            threading.Thread(target=self._run, name=f"{name}-{number}", daemon=True)
            for number in range(threads)
        ]

    def start(self) -> None:
        """Start the threads."""
        for thread in self._threads:
            thread.start()

    def stop(self, deadline: float) -> bool:
        """Take no further key, and wait for those under way; return whether they ended in time."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        end = time.monotonic() + deadline
        for thread in self._threads:
            thread.join(max(end - time.monotonic(), 0.0))
        return not any(thread.is_alive() for thread in self._threads)

    def add(self, key: K, after: float = 0.0) -> None:
        """Ask for a key, now or `after` some seconds; an earlier time replaces a later one."""
        when = self._clock() + after
        with self._changed:
            if self._due.get(key, float("inf")) <= when:
                return
            self._due[key] = when
            self._serial += 1
            heapq.heappush(self._heap, (when, self._serial, key))
            self._changed.notify()

    @property
    def alive(self) -> bool:
        """Whether every thread lives."""
        return all(thread.is_alive() for thread in self._threads)

    def lag(self) -> float:
        """Return for how many seconds the oldest due key has waited, or the longest work has taken."""
        now = self._clock()
        with self._changed:
            waiting = [now - when for when in self._due.values()]
            working = [now - since for since in self._working.values()]
        return max((*waiting, *working, 0.0))

    def __len__(self) -> int:
        """Return how many keys are due or asked for later."""
        return len(self._due)

    def _run(self) -> None:
        while (key := self._take()) is not None:
            pause = self._attempt(key[0])
            with self._changed:
                del self._working[key[0]]
                if key[0] in self._due:
                    self._changed.notify()
            if pause is not None:
                self.add(key[0], pause)

    def _attempt(self, key: K) -> float | None:
        try:
            pause = self._work(key)
        except Exception as error:  # noqa: BLE001 - a queue without threads is an operator that does nothing
            failures = self._failures[key] = self._failures.get(key, 0) + 1
            pause = max(
                min(MOST_PAUSE, FIRST_PAUSE * 2.0 ** min(failures, 12)),
                getattr(error, "retry_after", None) or 0.0,
            )
            trace = None if isinstance(error, self._expected) else error
            _log.warning(
                "reconcile_failed",
                queue=self._name,
                key=str(key),
                failures=failures,
                error=str(error),
                exc_info=trace,
            )
            return pause
        self._failures.pop(key, None)
        return pause

    def _take(self) -> tuple[K] | None:
        with self._changed:
            while not self._closed:
                key, wait = self._next()
                if key is not None:
                    return key
                self._changed.wait(wait)
        return None

    def _next(self) -> tuple[tuple[K] | None, float | None]:
        """Return the next key to work on, or how long until one is due. Keys being worked on stay where they are."""
        now = self._clock()
        held = []
        try:
            while self._heap:
                when, serial, key = self._heap[0]
                if self._due.get(key) != when:
                    heapq.heappop(self._heap)
                elif when > now:
                    return None, when - now
                else:
                    heapq.heappop(self._heap)
                    if key in self._working:
                        held.append((when, serial, key))
                        continue
                    del self._due[key]
                    self._working[key] = now
                    return (key,), None
            return None, None
        finally:
            for entry in held:
                heapq.heappush(self._heap, entry)
