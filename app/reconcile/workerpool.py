"""The WorkerPool hooks: which Workers a pool should have, and what its status says.

Called by ``app.web`` for every sync and finalize of the CompositeController. Metacontroller replaces the pool's
whole status with the answer, so everything in it is worked out again from the request each time.
"""

from __future__ import annotations

from app.children.worker import kept_worker, new_worker
from app.contract.fields import JsonObject
from app.contract.requests import CompositeRequest
from app.contract.responses import CompositeResponse
from app.reconcile.conditions import pool_conditions
from app.reconcile.identity import high_water_mark, next_sequences, worker_ulid
from app.reconcile.pool_view import PoolView, PoolWorker, view_pool, view_worker
from app.reconcile.scaling import busy_of, plan
from app.vocabulary import NOT_USED_LABEL


def sync_pool(request: CompositeRequest) -> CompositeResponse:
    """Answer a sync: the Workers that should exist, and the pool's status."""
    pool = view_pool(request.parent)
    workers = [view_worker(child) for child in request.children]
    children = _unchanged(pool, workers) if pool.ulid is None else _desired(pool, pool.ulid, workers)
    return CompositeResponse(status=_status(pool, workers), children=children)


def finalize_pool(request: CompositeRequest) -> CompositeResponse:
    """Answer the call for a deleted pool: idle Workers go, busy ones finish first, then the pool goes too."""
    pool = view_pool(request.parent)
    workers = [view_worker(child) for child in request.children]
    draining = [_kept(pool, worker, draining=True) for worker in _by_sequence(busy_of(_live(workers)))]
    return CompositeResponse(status=_status(pool, workers), children=draining, finalized=not workers)


def _unchanged(pool: PoolView, workers: list[PoolWorker]) -> list[JsonObject]:
    """Return all live Workers as they are: a missing label is no reason to create or to delete."""
    return [_kept(pool, worker, draining=worker.draining) for worker in _by_sequence(_live(workers))]


def _desired(pool: PoolView, pool_ulid: str, workers: list[PoolWorker]) -> list[JsonObject]:
    chosen = plan(_live(workers), pool_ulid, pool.size, pool.cycled)
    staying = [_kept(pool, worker, draining=False) for worker in _by_sequence(chosen.staying)]
    draining = [_kept(pool, worker, draining=True) for worker in _by_sequence(chosen.draining)]
    created = [
        new_worker(
            namespace=pool.namespace,
            pool_name=pool.name,
            pool_ulid=pool_ulid,
            worker_ulid=worker_ulid(pool.uid, sequence),
            sequence=sequence,
        )
        for sequence in next_sequences(_closed(pool), _sequences(workers), chosen.missing)
    ]
    return staying + draining + created


def _status(pool: PoolView, workers: list[PoolWorker]) -> JsonObject:
    pool_ulid = pool.ulid or pool.last_ulid
    status: JsonObject = {
        "desiredPoolSize": pool.size,
        # Selects no Pod at all, so that HPA never finds the Pods of two pools ambiguous.
        "selector": f"{NOT_USED_LABEL}={pool_ulid or pool.uid}",
        "autoRegistered": pool.auto_registered,
        "sequence": high_water_mark(_closed(pool), _sequences(workers)),
        "conditions": pool_conditions(pool),
    }
    if pool_ulid is not None:
        status["poolULID"] = pool_ulid
        status["actualPoolSize"] = len(_live(workers))
    return status


def _kept(pool: PoolView, worker: PoolWorker, *, draining: bool) -> JsonObject:
    return kept_worker(
        namespace=pool.namespace, pool_name=pool.name, observed=worker.observed, draining=draining
    )


def _live(workers: list[PoolWorker]) -> list[PoolWorker]:
    """Return the Workers that aren't being deleted."""
    return [worker for worker in workers if not worker.terminating]


def _closed(pool: PoolView) -> int:
    """Return H before this observation: a cycle closes every number up to its own, seen or not.

    A Worker that this view lacks is no reason to make another one: with such a number it is to be replaced.
    """
    return max(pool.closed, pool.cycled)


def _sequences(workers: list[PoolWorker]) -> set[int]:
    return {worker.sequence for worker in workers}


def _by_sequence(workers: list[PoolWorker]) -> list[PoolWorker]:
    """Sort for people and for recorded answers; Metacontroller doesn't care."""
    return sorted(workers, key=lambda worker: (worker.sequence, worker.name))
