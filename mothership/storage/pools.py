"""Pools and the connections of their operators."""

from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.sqlite import insert

from mothership.storage.tables import connections, meta, pools


@dataclass(frozen=True, slots=True)
class Pool:
    """A pool: its name, and the key that its payloads are sealed to."""

    id: str
    name: str
    public_key: str
    certificate: str
    created_at: float


def add_pool(conn: sa.Connection, pool: Pool) -> bool:
    """Store a new pool; False when the name is taken."""
    values = {column.name: getattr(pool, column.name) for column in pools.columns}
    return conn.execute(insert(pools).values(values).on_conflict_do_nothing()).rowcount == 1


def find_pool(conn: sa.Connection, name_or_id: str) -> Pool | None:
    """Return the pool of this ULID or name."""
    wanted = sa.or_(pools.c.id == name_or_id.upper(), pools.c.name == name_or_id)
    row = conn.execute(sa.select(pools).where(wanted)).mappings().first()
    return Pool(**row) if row else None


def list_pools(conn: sa.Connection) -> list[Pool]:
    """Return all pools by name."""
    return [Pool(**row) for row in conn.execute(sa.select(pools).order_by(pools.c.name)).mappings()]


def set_online(conn: sa.Connection, pool: str, pool_uid: str, replica: str, now: float) -> None:
    """Note that an operator's replica has connected for a pool object, and that its inventory is wanted."""
    values: dict[str, Any] = {"replica": replica, "online": True, "changed_at": now, "ask_due": True}
    statement = insert(connections).values(pool=pool, pool_uid=pool_uid, **values)
    conn.execute(statement.on_conflict_do_update(index_elements=["pool", "pool_uid"], set_=values))


def ensure_connection(conn: sa.Connection, pool: str, pool_uid: str, now: float) -> None:
    """Remember the connection of a pool object, so that it can be asked for an inventory after a restart."""
    statement = insert(connections).values(
        pool=pool, pool_uid=pool_uid, replica="", online=True, changed_at=now, ask_due=False
    )
    conn.execute(statement.on_conflict_do_nothing())


def heard_from(conn: sa.Connection, pool: str, pool_uid: str, replica: str, now: float) -> None:
    """Note that a replica answers for a pool object, whether or not its `online` came through."""
    values: dict[str, Any] = {"replica": replica, "online": True, "changed_at": now}
    statement = insert(connections).values(pool=pool, pool_uid=pool_uid, ask_due=False, **values)
    conn.execute(statement.on_conflict_do_update(index_elements=["pool", "pool_uid"], set_=values))


def set_offline(conn: sa.Connection, pool: str, pool_uid: str, replica: str, now: float) -> bool:
    """Note a lost connection; False when another replica has taken over since, or none is known."""
    statement = (
        sa.update(connections)
        .where(
            connections.c.pool == pool,
            connections.c.pool_uid == pool_uid,
            connections.c.replica.in_((replica, "")),
        )
        .values(online=False, changed_at=now)
    )
    return conn.execute(statement).rowcount == 1


def want_inventory(conn: sa.Connection, pool: str, pool_uid: str, now: float, *, not_within: float) -> None:
    """Ask for an inventory soon, unless one was asked for less than `not_within` seconds ago."""
    statement = insert(connections).values(
        pool=pool, pool_uid=pool_uid, replica="", online=True, changed_at=now, ask_due=True
    )
    recent = sa.func.coalesce(connections.c.asked_at, 0.0) > now - not_within
    conn.execute(
        statement.on_conflict_do_update(
            index_elements=["pool", "pool_uid"], set_={"ask_due": True}, where=sa.not_(recent)
        )
    )


def want_all_inventories(conn: sa.Connection) -> None:
    """Ask every operator for an inventory: after a start, or when the broker lost our session."""
    conn.execute(sa.update(connections).values(ask_due=True))


def take_inventory_requests(conn: sa.Connection, now: float) -> list[tuple[str, str]]:
    """Return (pool, pool UID) of the inventories to ask for now, and mark them as asked for."""
    due = sa.select(connections.c.pool, connections.c.pool_uid).where(connections.c.ask_due.is_(True))
    found = [(row.pool, row.pool_uid) for row in conn.execute(due)]
    if found:
        conn.execute(
            sa.update(connections).where(connections.c.ask_due.is_(True)).values(ask_due=False, asked_at=now)
        )
    return found


def online(conn: sa.Connection) -> list[tuple[str, str]]:
    """Return (pool, pool UID) of the operators that should be there."""
    statement = sa.select(connections.c.pool, connections.c.pool_uid).where(connections.c.online.is_(True))
    return [(row.pool, row.pool_uid) for row in conn.execute(statement)]


def note_time(conn: sa.Connection, now: float) -> None:
    """Keep the time that this mothership has reached."""
    statement = insert(meta).values(name="time", value=str(now))
    conn.execute(statement.on_conflict_do_update(index_elements=["name"], set_={"value": str(now)}))


def noted_time(conn: sa.Connection) -> float:
    """Return the time that the last process reached, 0 when none ever ran."""
    value = conn.execute(sa.select(meta.c.value).where(meta.c.name == "time")).scalar()
    return 0.0 if value is None else float(value)


def remembered(conn: sa.Connection, name: str, value: str) -> str:
    """Return what is stored under `name`, storing `value` first when there is nothing."""
    conn.execute(insert(meta).values(name=name, value=value).on_conflict_do_nothing())
    return str(conn.execute(sa.select(meta.c.value).where(meta.c.name == name)).scalar_one())
