"""Who gets which run: the oldest run of a pool goes to its newest available worker."""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

FIRST_WAIT, LONGEST_WAIT = 2.0, 60.0
"""Seconds that a run waits in the queue after its first failed attempt, and at most: each time twice as long."""


def wait_after(failures: int) -> float:
    """Return the seconds that a run waits after its `failures`-th attempt that failed without a start (1 is the first)."""
    return min(FIRST_WAIT * 2.0 ** min(failures - 1, 10), LONGEST_WAIT)


@dataclass(frozen=True, slots=True)
class IdleWorker:
    """A registered worker that is free; `assignment` is the highest number it was ever given."""

    pool: str
    pool_uid: str
    worker: str
    worker_uid: str
    assignment: int
    registered_at: float


@dataclass(frozen=True, slots=True)
class QueuedRun:
    """A run that waits; `id` is a ULID, so it sorts by age."""

    id: str
    pool: str


def pair(runs: Iterable[QueuedRun], workers: Iterable[IdleWorker]) -> list[tuple[QueuedRun, IdleWorker]]:
    """Return runs with the workers they go to; a worker is used once, a run without a free worker waits.

    Newest workers first: scaling down drops idle workers of old, and a young one is the likeliest to be alive.
    """
    free: dict[str, list[IdleWorker]] = defaultdict(list)
    for worker in sorted(workers, key=lambda item: (item.registered_at, item.worker)):
        free[worker.pool].append(worker)
    return [(run, free[run.pool].pop()) for run in sorted(runs, key=lambda item: item.id) if free[run.pool]]
