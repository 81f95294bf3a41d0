"""Workers: registration, availability, drain, and who is free."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from mothership.decisions.backoff import delay
from mothership.decisions.schedule import IdleWorker
from mothership.storage.tables import attempts, connections, workers


@dataclass(frozen=True, slots=True)
class WorkerKey:
    """A worker is one Worker object: its ULID can come back, its UID can't."""

    pool: str
    worker: str
    worker_uid: str


@dataclass(frozen=True, slots=True)
class Worker:
    """What the rules need to know of a worker."""

    key: WorkerKey
    pool_uid: str
    registered: bool
    available: bool
    drained: bool
    shown_drained: bool
    assignment: int
    seen_at: float


def _is(key: WorkerKey) -> sa.ColumnElement[bool]:
    return sa.and_(
        workers.c.pool == key.pool,
        workers.c.worker == key.worker,
        workers.c.worker_uid == key.worker_uid,
    )


_COLUMNS = (
    workers.c.pool,
    workers.c.worker,
    workers.c.worker_uid,
    workers.c.pool_uid,
    workers.c.registered,
    workers.c.available,
    workers.c.drained,
    workers.c.shown_drained,
    workers.c.assignment,
    workers.c.seen_at,
)


def _worker(row: sa.Row[*tuple[Any, ...]]) -> Worker:
    return Worker(
        WorkerKey(row.pool, row.worker, row.worker_uid),
        row.pool_uid,
        row.registered,
        row.available,
        row.drained,
        row.shown_drained,
        row.assignment,
        row.seen_at,
    )


def register(
    conn: sa.Connection,
    key: WorkerKey,
    *,
    pool_uid: str,
    metadata: Mapping[str, str],
    version: str,
    now: float,
) -> Worker:
    """Store a registration; one that comes again keeps its assignment numbers, its drain by users and its age.

    Its own draining starts anew: who registers wants runs, and says so again by `worker_state` if it doesn't.
    """
    known = find(conn, key)
    values: dict[str, Any] = {
        "pool_uid": pool_uid,
        "metadata": dict(metadata),
        "controller_version": version,
        "registered": True,
        "available": True,
        "seen_at": now,
        "draining": False,
    }
    if known is None or not known.registered:
        values["registered_at"] = now
    if known is None:
        new = values | {"pool": key.pool, "worker": key.worker, "worker_uid": key.worker_uid}
        conn.execute(sa.insert(workers).values(new))
        return Worker(key, pool_uid, True, True, False, False, 0, now)
    conn.execute(sa.update(workers).where(_is(key)).values(values))
    return known


def find(conn: sa.Connection, key: WorkerKey) -> Worker | None:
    """Return a worker, forgotten or not."""
    row = conn.execute(sa.select(*_COLUMNS).where(_is(key))).first()
    return _worker(row) if row else None


def namesakes(conn: sa.Connection, key: WorkerKey, pool_uid: str) -> list[WorkerKey]:
    """Return registered workers of the same pool object and ULID with another UID."""
    found = sa.select(workers.c.worker_uid).where(
        workers.c.pool == key.pool,
        workers.c.worker == key.worker,
        workers.c.worker_uid != key.worker_uid,
        workers.c.pool_uid == pool_uid,
        workers.c.registered.is_(True),
    )
    return [WorkerKey(key.pool, key.worker, uid) for uid in conn.execute(found).scalars()]


def touch(conn: sa.Connection, key: WorkerKey, now: float) -> None:
    """Note that the worker was heard."""
    conn.execute(sa.update(workers).where(_is(key)).values(seen_at=now, available=True))


def forget(conn: sa.Connection, key: WorkerKey) -> None:
    """Give the worker nothing more; its row stays for its assignment numbers."""
    gone = {"registered": False, "available": False, "drain_due_at": None}
    conn.execute(sa.update(workers).where(_is(key)).values(gone))


def hold(conn: sa.Connection, key: WorkerKey, until: float) -> None:
    """Give the worker nothing until then: it has just said that it can't take anything."""
    conn.execute(sa.update(workers).where(_is(key)).values(hold_until=until))


def set_available(conn: sa.Connection, pool: str, pool_uid: str, *, available: bool) -> None:
    """Set whether the workers of a pool object can be reached."""
    conn.execute(
        sa.update(workers)
        .where(workers.c.pool == pool, workers.c.pool_uid == pool_uid, workers.c.registered.is_(True))
        .values(available=available)
    )


def set_draining(conn: sa.Connection, key: WorkerKey) -> None:
    """Note a refusal because of draining; `worker_state` takes it back."""
    conn.execute(sa.update(workers).where(_is(key)).values(draining=True))


def show_state(conn: sa.Connection, key: WorkerKey, *, draining: bool, drained: bool) -> None:
    """Note what the worker says of itself; a drain that it shows needs no repeating."""
    conn.execute(
        sa.update(workers)
        .where(_is(key))
        .values(
            draining=draining,
            shown_drained=drained,
            drain_due_at=sa.case((workers.c.drained.is_(drained), None), else_=workers.c.drain_due_at),
        )
    )


def want_drained(conn: sa.Connection, worker: str, now: float, *, drained: bool) -> int:
    """Drain (or not) every registered worker of this ULID; return how many there are."""
    statement = (
        sa.update(workers)
        .where(workers.c.worker == worker.upper(), workers.c.registered.is_(True))
        .values(drained=drained, drain_due_at=now, drain_tries=0)
    )
    return conn.execute(statement).rowcount


def take_due_drains(conn: sa.Connection, now: float, limit: int) -> list[Worker]:
    """Return workers to tell of their drain now, and put the next repeat off."""
    due = sa.select(*_COLUMNS, workers.c.drain_tries).where(workers.c.drain_due_at <= now).limit(limit)
    rows = list(conn.execute(due))
    for row in rows:
        tries = row.drain_tries + 1
        conn.execute(
            sa.update(workers)
            .where(_is(_worker(row).key))
            .values(drain_due_at=now + delay(tries), drain_tries=tries)
        )
    return [_worker(row) for row in rows]


def idle(conn: sa.Connection, pools: Collection[str], now: float) -> list[IdleWorker]:
    """Return the registered workers of these pools that can take a run."""
    taken = (
        sa.select(attempts.c.run)
        .where(
            attempts.c.worker_uid == workers.c.worker_uid,
            attempts.c.pool == workers.c.pool,
            attempts.c.occupies.is_(True),
        )
        .exists()
    )
    statement = sa.select(
        workers.c.pool,
        workers.c.pool_uid,
        workers.c.worker,
        workers.c.worker_uid,
        workers.c.assignment,
        workers.c.registered_at,
    ).where(
        workers.c.registered.is_(True),
        workers.c.available.is_(True),
        workers.c.drained.is_(False),
        workers.c.draining.is_(False),
        workers.c.hold_until <= now,
        workers.c.pool.in_(pools),
        sa.not_(taken),
    )
    return [IdleWorker(*row) for row in conn.execute(statement)]


def count_assignments(conn: sa.Connection, given: Iterable[tuple[WorkerKey, int]]) -> None:
    """Store the highest assignment number of each worker; numbers only grow."""
    rows = [{"p": key.pool, "w": key.worker, "u": key.worker_uid, "number": number} for key, number in given]
    if not rows:
        return
    number = sa.bindparam("number", type_=sa.Integer)
    statement = (
        sa.update(workers)
        .where(
            workers.c.pool == sa.bindparam("p"),
            workers.c.worker == sa.bindparam("w"),
            workers.c.worker_uid == sa.bindparam("u"),
        )
        .values(assignment=sa.func.max(workers.c.assignment, number))
    )
    conn.execute(statement, rows)


def registered_of(conn: sa.Connection, pool: str, pool_uid: str) -> list[Worker]:
    """Return the registered workers of a pool object."""
    statement = sa.select(*_COLUMNS).where(
        workers.c.pool == pool, workers.c.pool_uid == pool_uid, workers.c.registered.is_(True)
    )
    return [_worker(row) for row in conn.execute(statement)]


def long_offline(conn: sa.Connection, before: float, limit: int) -> list[Worker]:
    """Return registered workers whose operator went offline before then."""
    statement = (
        sa.select(*_COLUMNS)
        .join(
            connections,
            sa.and_(connections.c.pool == workers.c.pool, connections.c.pool_uid == workers.c.pool_uid),
        )
        .where(
            workers.c.registered.is_(True),
            workers.c.available.is_(False),
            connections.c.online.is_(False),
            connections.c.changed_at < before,
        )
        .limit(limit)
    )
    return [_worker(row) for row in conn.execute(statement)]


Described = Mapping[str, Any]
"""A worker for people: the columns of the table, and `run`."""


def describe(conn: sa.Connection, pool: str | None) -> list[Described]:
    """Return registered workers for people, with the run that each holds."""
    held = sa.and_(
        attempts.c.worker_uid == workers.c.worker_uid,
        attempts.c.pool == workers.c.pool,
        attempts.c.occupies.is_(True),
        attempts.c.state != "closed",
    )
    statement = (
        sa.select(workers, attempts.c.run.label("run"))
        .outerjoin(attempts, held)
        .where(workers.c.registered.is_(True))
        .order_by(workers.c.pool, workers.c.worker)
    )
    if pool is not None:
        statement = statement.where(workers.c.pool == pool)
    return [dict(row) for row in conn.execute(statement).mappings()]
