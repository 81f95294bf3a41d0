"""Lets Metacontroller gather changes of a large pool: a repeated pool sync is held for a moment before it is answered.

Every change of every Worker asks for a sync of its pool, and each sync carries all the pool's Workers. Metacontroller
never syncs one parent twice at once, so what changes while an answer is held is asked for once. A first sync after a
quiet time is answered at once, and so is every sync of a small pool; hooks of Workers are never held.

The figures behind it, with a pool of 1,000 and 5 runs a second, are in docs/decisions/0003-held-pool-syncs.md.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final

SECONDS_PER_WORKER: Final = 0.0005
"""How far apart two answers for one pool are, for each Worker of it: 0.5 s for 1,000 Workers."""

MOST_SECONDS: Final = 1.0
"""No pool waits longer: it is the delay that scaling a pool can see."""

_REMEMBERED_POOLS: Final = 10_000
"""Pools whose last answer is remembered; the oldest is forgotten, which only means that it isn't held once."""


class Pacer:
    """Holds calls so that two answers for one key are apart; at most `holders` threads wait here at a time."""

    def __init__(
        self,
        holders: int,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._clock, self._sleep = clock, sleep
        self._places = threading.Semaphore(max(holders, 0))
        self._lock = threading.Lock()
        self._answered: OrderedDict[str, float] = OrderedDict()

    def hold(self, key: str, workers: int) -> float:
        """Wait until the key's next answer is due; return the seconds waited. Never waits when all places are taken."""
        pause = min(MOST_SECONDS, SECONDS_PER_WORKER * workers)
        with self._lock:
            last = self._answered.get(key)
        left = 0.0 if last is None else last + pause - self._clock()
        if left > 0 and self._places.acquire(blocking=False):
            try:
                self._sleep(left)
            finally:
                self._places.release()
        with self._lock:
            self._answered[key] = self._clock()
            self._answered.move_to_end(key)
            while len(self._answered) > _REMEMBERED_POOLS:
                self._answered.popitem(last=False)
        return max(left, 0.0)
