"""Carrying out a cycle: leaves the mark on the pool that makes the hook replace its Workers.

Nothing is deleted here: which Workers exist is the hook's to say. The mothership repeats its request until the old
Workers are gone, so that a mark which could not be written now is written at the next repeat.
"""

import structlog

from app import vocabulary as words
from app.agent.pool_state import PoolView
from app.agent.runtime import Cluster
from app.agent.worker_state import parse_worker
from app.cluster.resources import WORKERPOOLS, WORKERS
from app.cycle_mark import CycleMark, is_news, next_mark, read_mark

_log = structlog.get_logger(__name__)


def carry_out(cluster: Cluster, pool: PoolView, request: str) -> None:
    """Mark the pool for the cycle `request` (a ULID) unless it or a later one is marked already.

    Pool and Workers are read from the API server itself: a Worker that a cache doesn't show yet would be left out for
    good. Raises ApiError; a Conflict means that the pool has changed since it was read.
    """
    if not is_news(request, read_mark(pool.cycle)):
        return
    found = cluster.api.get(WORKERPOOLS, pool.namespace, pool.name)
    metadata = found["metadata"]
    if metadata["uid"] != pool.uid or "deletionTimestamp" in metadata:
        return
    former = read_mark((metadata.get("annotations") or {}).get(words.CYCLE_ANNOTATION))
    workers = cluster.api.list(WORKERS, pool.namespace, f"{words.OWNER_LABEL}={pool.uid}").items
    sequences = [parse_worker(worker).sequence for worker in workers]
    mark = next_mark(request, former, sequences)
    if mark is not None:
        _write(cluster, pool, metadata["resourceVersion"], mark, len(sequences))


def _write(cluster: Cluster, pool: PoolView, version: str, mark: CycleMark, number: int) -> None:
    metadata = {
        "uid": pool.uid,
        "resourceVersion": version,
        "annotations": {words.CYCLE_ANNOTATION: mark.text()},
    }
    patched = cluster.api.merge_patch(WORKERPOOLS, pool.namespace, pool.name, {"metadata": metadata})
    cluster.pools.remember(patched)
    _log.info("pool_cycles", request=mark.id, sequence=mark.sequence, workers=number)
    text = f"The mothership wants the {number} workers of now replaced: idle ones go, busy ones finish their run first"
    cluster.events.emit(pool.reference, words.EVENT_NORMAL, words.CYCLE_EVENT, text)
