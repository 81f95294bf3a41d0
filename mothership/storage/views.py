"""What the APIs show of runs: queries that only read."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa

from mothership.storage.tables import attempts, history, pools, runs, workers
from protocol.runs import Outcome

_CREDENTIALS = re.compile(r"//[^/@]+@")


@dataclass(frozen=True, slots=True)
class Access:
    """What the run token of an attempt is checked against."""

    token_hash: str = field(repr=False)
    token_expires_at: float
    closed_at: float | None


def access(conn: sa.Connection, run: str, sequence: int) -> Access | None:
    """Return how an attempt's token is checked."""
    statement = sa.select(attempts.c.token_hash, attempts.c.token_expires_at, attempts.c.closed_at).where(
        attempts.c.run == run, attempts.c.sequence == sequence
    )
    row = conn.execute(statement).first()
    return Access(*row) if row else None


def token_exists(conn: sa.Connection, token_hash: str) -> bool:
    """Say whether any attempt has this token."""
    statement = sa.select(attempts.c.run).where(attempts.c.token_hash == token_hash)
    return conn.execute(statement).first() is not None


def extend_token(conn: sa.Connection, run: str, sequence: int, until: float) -> None:
    """Let an attempt's token be valid until then."""
    conn.execute(
        sa.update(attempts)
        .where(attempts.c.run == run, attempts.c.sequence == sequence)
        .values(token_expires_at=until)
    )


def set_phases(conn: sa.Connection, run: str, sequence: int, phases: list[dict[str, Any]]) -> None:
    """Store the launcher's phase reports; the first are kept."""
    conn.execute(
        sa.update(attempts)
        .where(attempts.c.run == run, attempts.c.sequence == sequence, attempts.c.phases.is_(None))
        .values(phases=phases)
    )


def request_of(conn: sa.Connection, run: str) -> Mapping[str, Any]:
    """Return source, commands and environment of a run."""
    statement = sa.select(runs.c.source, runs.c.commands, runs.c.environment).where(runs.c.id == run)
    return dict(conn.execute(statement).mappings().one())


def describe_runs(conn: sa.Connection, *, pool: str | None, limit: int) -> list[dict[str, Any]]:
    """Return the newest runs for people."""
    statement = _described().order_by(runs.c.id.desc()).limit(limit)
    if pool is not None:
        statement = statement.where(runs.c.pool == pool)
    return [_shown(row) for row in conn.execute(statement).mappings()]


def describe_run(conn: sa.Connection, run: str) -> dict[str, Any] | None:
    """Return one run for people, with its history and attempts."""
    row = conn.execute(_described().where(runs.c.id == run)).mappings().first()
    if row is None:
        return None
    past = sa.select(history.c.position, history.c.state, history.c.at).where(history.c.run == run)
    tried = sa.select(attempts).where(attempts.c.run == run).order_by(attempts.c.sequence)
    return _shown(row) | {
        "history": [dict(item) for item in conn.execute(past.order_by(history.c.position)).mappings()],
        "attempts": [_attempt(item) for item in conn.execute(tried).mappings()],
    }


def logged_sequence(conn: sa.Connection, run: str) -> tuple[int, int] | None:
    """Return sequence and log length of the run's latest attempt that started; None before any."""
    statement = (
        sa.select(attempts.c.sequence, attempts.c.log_bytes)
        .where(attempts.c.run == run, sa.or_(attempts.c.granted.is_(True), attempts.c.log_bytes > 0))
        .order_by(attempts.c.sequence.desc())
    )
    row = conn.execute(statement).first()
    return (row.sequence, row.log_bytes) if row else None


def pool_overview(conn: sa.Connection) -> list[dict[str, Any]]:
    """Return pools for people, with how many workers and runs each has."""
    registered = sa.select(workers.c.pool, sa.func.count()).where(workers.c.registered.is_(True))
    free = registered.where(workers.c.available.is_(True))
    to_replace = registered.where(workers.c.cycle.is_not(None))
    by_state = sa.select(runs.c.pool, runs.c.state, sa.func.count()).where(runs.c.finished_at.is_(None))
    totals = _counts(conn, registered)
    online = _counts(conn, free)
    cycling = _counts(conn, to_replace)
    waiting: dict[str, int] = {}
    active: dict[str, int] = {}
    for pool, state, count in conn.execute(by_state.group_by(runs.c.pool, runs.c.state)):
        kind = waiting if state == "queued" else active
        kind[pool] = kind.get(pool, 0) + count
    return [
        {
            "id": row.id,
            "name": row.name,
            "workers": totals.get(row.id, 0),
            "onlineWorkers": online.get(row.id, 0),
            "cyclingWorkers": cycling.get(row.id, 0),
            "queuedRuns": waiting.get(row.id, 0),
            "activeRuns": active.get(row.id, 0),
            "createdAt": row.created_at,
        }
        for row in conn.execute(sa.select(pools).order_by(pools.c.name))
    ]


def _counts(conn: sa.Connection, statement: sa.Select[Any]) -> dict[str, int]:
    rows = conn.execute(statement.group_by(workers.c.pool))
    return {str(pool): int(count) for pool, count in rows}


def _described() -> sa.Select[Any]:
    current = sa.and_(attempts.c.run == runs.c.id, attempts.c.sequence == runs.c.sequence)
    return (
        sa.select(
            runs,
            pools.c.name.label("pool_name"),
            attempts.c.worker,
            attempts.c.granted_at,
            attempts.c.pod_uid,
            attempts.c.outcome.label("attempt_outcome"),
        )
        .join(pools, pools.c.id == runs.c.pool)
        .outerjoin(attempts, current)
    )


def _shown(row: Mapping[Any, Any]) -> dict[str, Any]:
    # Names only: values of a run's environment may be secrets.
    return {
        "id": row["id"],
        "pool": row["pool"],
        "poolName": row["pool_name"],
        "state": str(row["state"]),
        "finished": row["finished_at"] is not None,
        "stopRequested": row["stop_requested"],
        "sequence": row["sequence"],
        "worker": row["worker"],
        "outcome": _report(row),
        "createdAt": row["created_at"],
        "startedAt": row["granted_at"],
        "finishedAt": row["finished_at"],
        "source": _without_credentials(row["source"]),
        "commands": row["commands"],
        "environment": sorted(row["environment"]),
        "runnerImage": row["runner_image"],
        "tool": row["tool"],
    }


def _report(row: Mapping[Any, Any]) -> dict[str, Any] | None:
    """Return how a run ended: the verdict, and the worker and Pod of the attempt that it was passed on."""
    verdict: Outcome | None = row["outcome"]
    if verdict is None:
        return None
    # A run canceled while it waited ended on no worker, though an earlier attempt may have had one.
    judged = row["attempt_outcome"] == verdict
    return verdict.to_json() | {
        "worker": row["worker"] if judged else None,
        "podUID": row["pod_uid"] if judged else None,
    }


def _attempt(row: Mapping[Any, Any]) -> dict[str, Any]:
    return {
        "sequence": row["sequence"],
        "stage": row["stage"],
        "worker": row["worker"],
        "workerUID": row["worker_uid"],
        "assignment": row["assignment"],
        "state": str(row["state"]),
        "granted": row["granted"],
        "podUID": row["pod_uid"],
        "assignedAt": row["assigned_at"],
        "acceptedAt": row["accepted_at"],
        "grantedAt": row["granted_at"],
        "closedAt": row["closed_at"],
        "outcome": row["outcome"].to_json() if row["outcome"] else None,
        "report": row["report"].to_json() if row["report"] else None,
        "phases": row["phases"],
    }


def _without_credentials(source: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """Hide user and password that a URL may carry."""
    return {**source, "url": _CREDENTIALS.sub("//***@", source["url"])} if source else None
