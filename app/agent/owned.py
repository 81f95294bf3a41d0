"""The agent's work on pools and Workers, as far as they are this replica's."""

import contextlib
from collections.abc import Callable
from typing import Protocol

from app.agent.guard import Guard, LostPoolError
from app.agent.inbox import Inbox
from app.agent.runtime import Cache, Key
from app.agent.worker_state import parse_worker


class PoolWork(Protocol):
    """What works on pools."""

    def reconcile(self, key: Key) -> float | None:
        """Bring one pool forward."""

    def release(self) -> None:
        """End the sessions of pools that are another replica's now."""


class WorkerWork(Protocol):
    """What works on Workers."""

    def reconcile(self, key: Key) -> float | None:
        """Bring one Worker forward."""

    def forget(self, key: Key) -> None:
        """Drop what is remembered of a Worker."""


class OwnedWork:
    """Passes keys on to those who work on them, and lets go of what belongs to another replica."""

    def __init__(
        self,
        guard: Guard,
        workers: Cache,
        inbox: Inbox,
        pool_work: Callable[[], PoolWork],
        worker_work: Callable[[], WorkerWork],
    ) -> None:
        self._guard, self._workers, self._inbox = guard, workers, inbox
        self._pool_work, self._worker_work = pool_work, worker_work

    def on_pool(self, key: Key) -> float | None:
        """Work on a pool; return after how many seconds to look again."""
        with self._guard.working_on(key):
            try:
                return self._pool_work().reconcile(key)
            except LostPoolError:
                self._pool_work().release()
                return None

    def on_worker(self, key: Key) -> float | None:
        """Work on a Worker; return after how many seconds to look again."""
        pool = self._pool_of(key)
        if self._guard.owns(pool):
            with self._guard.working_on(pool), contextlib.suppress(LostPoolError):
                return self._worker_work().reconcile(key)
        # It is another replica's: when it comes back, what was known of it counts no more.
        self._worker_work().forget(key)
        self._inbox.drop(key)
        return None

    def _pool_of(self, worker: Key) -> Key:
        found = self._workers.get(*worker)
        named = parse_worker(found).pool_name if found is not None else ""
        # Of a Worker that doesn't exist, its name tells.
        return worker[0], named or worker[1].rpartition("-")[0]
