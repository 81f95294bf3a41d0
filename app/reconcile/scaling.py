"""Scaling: which observed Workers stay, which are drained, and which are let go.

Only Workers observed idle are let go. Busy ones that must go too are marked draining, so that the mothership
gives them nothing new, and are let go once idle: a saturated pool still shrinks, and a growing one takes the
mark back, because nothing is remembered from call to call.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from app.reconcile.pool_view import PoolWorker


@dataclass(frozen=True, slots=True)
class Plan:
    """What becomes of the live Workers: `staying` serve, `draining` finish their run, the rest are let go."""

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
    return Plan(
        staying=ordered[surplus:],
        draining=busy_of(ordered[:surplus]) + busy_of(former),
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
