"""Giving queued runs to idle workers, in one transaction for many."""

import sqlalchemy as sa
import structlog

from mothership.decisions.attempts import assign
from mothership.decisions.schedule import pair
from mothership.decisions.states import Case
from mothership.sealer import Sealer
from mothership.storage import pools, runs, workers
from mothership.storage.runs import Sealed
from mothership.storage.workers import WorkerKey

_log = structlog.get_logger(component="scheduler")

BATCH = 200
"""Assignments in one transaction: sealing takes the time, and the first workers should not wait for the last."""


def assign_queued(conn: sa.Connection, sealer: Sealer, now: float) -> int:
    """Assign what can be assigned now, up to `BATCH` runs of each pool; return how many."""
    waiting = runs.queued(conn, BATCH, now)
    if not waiting:
        return 0
    free = workers.idle(conn, {run.pool for run in waiting}, now)
    pairs = pair(waiting, free)[:BATCH]
    records = runs.load_runs(conn, [run.id for run, _ in pairs])
    keys = {pool.id: pool.public_key for pool in pools.list_pools(conn)} if pairs else {}
    assigned: list[tuple[Case, Sealed]] = []
    for run, worker in pairs:
        case = assign(
            records[run.id],
            pool_uid=worker.pool_uid,
            worker=worker.worker,
            worker_uid=worker.worker_uid,
            assignment=worker.assignment + 1,
            now=now,
        )
        _log.info("run assigned", run=run.id, sequence=case.attempt.sequence, worker=worker.worker)
        assigned.append((case, sealer.seal(case.attempt, keys[run.pool])))
    runs.add_attempts(conn, assigned, now)
    workers.count_assignments(
        conn,
        (
            (WorkerKey(worker.pool, worker.worker, worker.worker_uid), worker.assignment + 1)
            for _, worker in pairs
        ),
    )
    return len(pairs)
