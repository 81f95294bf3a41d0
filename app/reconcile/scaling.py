"""Scaling: which observed Workers stay, which are drained, and which are let go.

Only Workers observed idle are let go. When busy ones must go too, Workers are marked draining, so that the mothership
gives them nothing new, and whichever is idle first is let go. More are marked than must go, since nobody knows whose
run ends first: a saturated pool shrinks as fast as its runs end, not when a chosen one does. What is marked and turns
out to be needed, because others went or the pool grows, is called back: nothing is remembered from call to call.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from app.reconcile.pool_view import PoolWorker

MARKED_FOR_EACH: Final = 2
MARKED_BESIDE: Final = 10
"""Busy Workers marked for each that must go, and beside them: all of a small pool, a part of a large one.

Marking all of a thousand for the sake of one would be a thousand writes, and as many to take them back.
"""


@dataclass(frozen=True, slots=True)
class Plan:
    """What becomes of the live Workers: `staying` serve, `draining` finish their run, the rest are let go.

    Some of `draining` are called back once enough others are gone.
    """

    staying: list[PoolWorker]
    draining: list[PoolWorker]
    missing: int


def plan(live: Sequence[PoolWorker], pool_ulid: str, size: int, cycled: int = 0) -> Plan:
    """Return what becomes of the live Workers of a pool that wants `size` of them.

    Workers registered under an earlier ULID of the pool can't serve any more, those up to the number `cycled` are to
    be replaced: neither count.
    """
    current = [worker for worker in live if _is_current(worker, pool_ulid, cycled)]
    former = [worker for worker in live if not _is_current(worker, pool_ulid, cycled)]
    surplus = max(len(current) - size, 0)
    ordered = sorted(current, key=_departure_order) if surplus else current
    # Idle Workers come first, so that when a busy one must go, no idle one is left behind it.
    must_go = len(busy_of(ordered[:surplus]))
    kept = ordered[surplus - must_go :]
    marked = must_go * MARKED_FOR_EACH + MARKED_BESIDE if must_go else 0
    return Plan(
        staying=kept[marked:],
        draining=kept[:marked] + busy_of(former),
        missing=max(size - len(current), 0),
    )


def busy_of(workers: Iterable[PoolWorker]) -> list[PoolWorker]:
    """Return the Workers with a run in flight."""
    return [worker for worker in workers if worker.busy]


def _is_current(worker: PoolWorker, pool_ulid: str, cycled: int) -> bool:
    return worker.pool_ulid in (pool_ulid, None) and (not cycled or worker.sequence > cycled)


def _departure_order(worker: PoolWorker) -> tuple[bool, bool, bool, bool, int]:
    """Sort key: who goes first.

    Idle ones before busy ones, and busy ones that drain already before those that don't, so that repeated calls
    choose the same. Then unregistered ones (they cost nobody anything), kept Pods last (they would go with
    their Worker), and among equals the youngest.
    """
    return (
        worker.busy,
        worker.busy and not worker.draining,
        worker.registered,
        worker.keeps_pods,
        -worker.sequence,
    )
