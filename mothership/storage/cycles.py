"""Cycles: which workers a request wants replaced, and which operators are still to be told of it.

A request marks the workers that are registered when it comes, and the mark stays with their rows: a worker that was
forgotten and comes back is still to be replaced. A pool object is told again and again until no registered worker
with a mark is left.
"""

from dataclasses import dataclass

import sqlalchemy as sa
from ulid import ULID

from mothership.decisions.backoff import delay
from mothership.storage.tables import connections, workers
from mothership.storage.workers import WorkerKey


@dataclass(frozen=True, slots=True)
class DueCycle:
    """A pool object whose operator has to be told of the request `cycle`."""

    pool: str
    pool_uid: str
    cycle: str


def want_cycle(conn: sa.Connection, pool: str, fresh: str, now: float) -> tuple[str, int]:
    """Have all registered workers of a pool replaced; return the request's ULID and how many they are.

    The ULID is `fresh` unless that doesn't sort behind the requests before it, as after a clock was set back:
    operators carry out only what is newer than the last one.
    """
    latest = conn.execute(sa.select(sa.func.max(workers.c.cycle)).where(workers.c.pool == pool)).scalar()
    request = (
        fresh if latest is None or fresh > latest else str(ULID.from_int(int(ULID.from_str(latest)) + 1))
    )
    marked = (
        sa.update(workers).where(workers.c.pool == pool, workers.c.registered.is_(True)).values(cycle=request)
    )
    number = conn.execute(marked).rowcount
    conn.execute(
        sa.update(connections).where(connections.c.pool == pool).values(cycle_due_at=now, cycle_tries=0)
    )
    return request, number


def remind(conn: sa.Connection, pool: str, pool_uid: str, now: float) -> None:
    """Tell a pool object's operator soon, if there is anything to tell: it has just come back."""
    conn.execute(
        sa.update(connections)
        .where(connections.c.pool == pool, connections.c.pool_uid == pool_uid)
        .values(cycle_due_at=now, cycle_tries=0)
    )


def remind_of(conn: sa.Connection, key: WorkerKey, pool_uid: str, now: float) -> None:
    """Tell the operator soon if this worker, which has just registered, was to be replaced before."""
    row = conn.execute(
        sa.select(workers.c.cycle).where(
            workers.c.pool == key.pool,
            workers.c.worker == key.worker,
            workers.c.worker_uid == key.worker_uid,
        )
    ).scalar()
    if row is not None:
        remind(conn, key.pool, pool_uid, now)


def take_due_cycles(conn: sa.Connection, now: float) -> list[DueCycle]:
    """Return whom to tell of a cycle now, and put the next repeat off; a cycle without workers left is over."""
    due = sa.select(connections.c.pool, connections.c.pool_uid, connections.c.cycle_tries).where(
        connections.c.cycle_due_at <= now, connections.c.online.is_(True)
    )
    found = []
    for pool, pool_uid, tries in list(conn.execute(due)):
        request = _request_of(conn, pool, pool_uid)
        following = None if request is None else now + delay(tries + 1)
        conn.execute(
            sa.update(connections)
            .where(connections.c.pool == pool, connections.c.pool_uid == pool_uid)
            .values(cycle_due_at=following, cycle_tries=tries + 1)
        )
        if request is not None:
            found.append(DueCycle(pool, pool_uid, request))
    return found


def _request_of(conn: sa.Connection, pool: str, pool_uid: str) -> str | None:
    """Return the newest request that a registered worker of the pool object is still to be replaced by."""
    newest = sa.select(sa.func.max(workers.c.cycle)).where(
        workers.c.pool == pool, workers.c.pool_uid == pool_uid, workers.c.registered.is_(True)
    )
    request: str | None = conn.execute(newest).scalar()
    return request
