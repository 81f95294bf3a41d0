"""Runs, their history and their attempts."""

import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import sqlalchemy as sa

from mothership.decisions.backoff import PROMPT, RELAXED, delay
from mothership.decisions.schedule import LONGEST_WAIT, QueuedRun
from mothership.decisions.states import Attempt, AttemptState, Case, Notice, Rules, Run, RunState
from mothership.storage.tables import attempts, history, runs, workers

_RUN_FIELDS = tuple(item.name for item in fields(Run))
_ATTEMPT_FIELDS = tuple(item.name for item in fields(Attempt))
_RUN_COLUMNS = tuple(runs.c[name] for name in _RUN_FIELDS)
_ATTEMPT_COLUMNS = tuple(attempts.c[name] for name in _ATTEMPT_FIELDS)
_IMAGE_COLUMNS = (runs.c.runner_image, runs.c.tool, runs.c.launcher_image)
_CASE_COLUMNS = (*(column.label(f"run_{column.name}") for column in _RUN_COLUMNS), *_ATTEMPT_COLUMNS)


@dataclass(frozen=True, slots=True)
class RunRequest:
    """What was asked for: source (as in the launcher API, or None), commands, environment, images.

    An empty `runner_image` means the pool's default, an empty `tool` that nothing was said of it.
    """

    source: Mapping[str, Any] | None
    commands: tuple[str, ...]
    runner_image: str
    launcher_image: str
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    tool: str = ""


@dataclass(frozen=True, slots=True)
class Sealed:
    """What an assignment needs beside its attempt: the sealed payload, and what the run token is known by."""

    payload: str = field(repr=False)
    token_hash: str
    token_expires_at: float


def hash_token(token: str) -> str:
    """Return what a run token is stored and looked up by; tokens are random, so no salt is needed."""
    return hashlib.sha256(token.encode()).hexdigest()


def add_run(conn: sa.Connection, run: Run, request: RunRequest, now: float) -> None:
    """Store a new run with its first state."""
    conn.execute(
        sa.insert(runs).values(
            **_values(run, _RUN_FIELDS),
            created_at=now,
            source=request.source,
            commands=list(request.commands),
            environment=dict(request.environment),
            runner_image=request.runner_image,
            launcher_image=request.launcher_image,
            tool=request.tool,
        )
    )
    _append_history(conn, run, (run.state.value,), now)


def add_attempts(conn: sa.Connection, assigned: Sequence[tuple[Case, Sealed]], now: float) -> None:
    """Store new assignments: the attempts, and what they did to their runs."""
    if not assigned:
        return
    conn.execute(
        sa.insert(attempts),
        [
            _values(case.attempt, _ATTEMPT_FIELDS)
            | {
                "occupies": True,
                "payload": sealed.payload,
                "token_hash": sealed.token_hash,
                "token_expires_at": sealed.token_expires_at,
            }
            for case, sealed in assigned
        ],
    )
    for case, _ in assigned:
        _save_run(conn, case.run, case.history, now)


def load_case(conn: sa.Connection, run: str, sequence: int) -> Case | None:
    """Return an attempt with its run."""
    statement = _cases().where(attempts.c.run == run, attempts.c.sequence == sequence)
    row = conn.execute(statement).first()
    return _case(row) if row else None


def load_run(conn: sa.Connection, run: str) -> Run | None:
    """Return a run."""
    row = conn.execute(sa.select(*_RUN_COLUMNS).where(runs.c.id == run)).mappings().first()
    return Run(**row) if row else None


def save(conn: sa.Connection, before: Case, after: Case, now: float) -> bool:
    """Write what a rule changed; say whether it changed anything."""
    if after.run != before.run:
        _save_run(conn, after.run, after.history, now)
    if after.attempt != before.attempt:
        _save_attempt(conn, after.attempt)
    return after != before


def save_run(conn: sa.Connection, run: Run, states: tuple[str, ...], now: float) -> None:
    """Write a run that has no open attempt."""
    _save_run(conn, run, states, now)


def open_cases(conn: sa.Connection, *, worker_uid: str, pool: str) -> list[Case]:
    """Return the attempts that a worker holds, or may still hold because it wasn't told of the close."""
    noticed = sa.and_(attempts.c.occupies.is_(False), attempts.c.notice.is_not(None))
    statement = _cases().where(
        attempts.c.worker_uid == worker_uid,
        attempts.c.pool == pool,
        sa.or_(attempts.c.occupies.is_(True), noticed),
    )
    return [_case(row) for row in conn.execute(statement)]


def overdue(conn: sa.Connection, now: float, rules: Rules, limit: int) -> list[Case]:
    """Return open attempts whose time may be over; `decisions.timers` decides."""
    accepted_at = sa.func.coalesce(attempts.c.accepted_at, attempts.c.assigned_at)
    lost_after = rules.lost_after + rules.lost_grace
    statement = _cases().where(
        sa.or_(
            _late(AttemptState.ASSIGNED, attempts.c.assigned_at, now - rules.acceptance_timeout),
            _late(AttemptState.ACCEPTED, accepted_at, now - rules.start_timeout),
            _late(AttemptState.GRANTED, attempts.c.renewed_at, now - lost_after),
        )
    )
    # Those that were granted first: the others may have to wait for the mothership's own patience, in any number.
    granted_first = sa.case((attempts.c.state == AttemptState.GRANTED, 0), else_=1)
    ordered = statement.order_by(granted_first, attempts.c.assigned_at).limit(limit)
    return [_case(row) for row in conn.execute(ordered)]


def _late(state: AttemptState, since: sa.ColumnElement[Any], before: float) -> sa.ColumnElement[bool]:
    return sa.and_(attempts.c.state == state, since < before)


def queued(conn: sa.Connection, limit: int, now: float) -> list[QueuedRun]:
    """Return the oldest queued runs of each pool that may have an attempt now."""
    place = sa.func.row_number().over(partition_by=runs.c.pool, order_by=runs.c.id).label("place")
    # One that would wait longer than any does was put off before the clock was set back.
    waits = sa.and_(runs.c.not_before > now, runs.c.not_before <= now + LONGEST_WAIT)
    ready = sa.and_(runs.c.state == RunState.QUEUED, sa.not_(waits))
    ranked = sa.select(runs.c.id, runs.c.pool, place).where(ready).subquery()
    statement = sa.select(ranked.c.id, ranked.c.pool).where(ranked.c.place <= limit)
    return [QueuedRun(*row) for row in conn.execute(statement)]


def load_runs(conn: sa.Connection, ids: Collection[str]) -> dict[str, Run]:
    """Return runs by id."""
    found = conn.execute(sa.select(*_RUN_COLUMNS).where(runs.c.id.in_(ids))).mappings()
    return {row["id"]: Run(**row) for row in found}


@dataclass(frozen=True, slots=True)
class Due:
    """An attempt whose worker is to be told something, with what run_scheduled carries."""

    attempt: Attempt
    runner_image: str
    tool: str
    launcher_image: str
    payload: str | None = field(repr=False)


def take_due(conn: sa.Connection, now: float, limit: int) -> list[Due]:
    """Return what is to be sent now, and put the next repeat off."""
    statement = (
        sa.select(*_ATTEMPT_COLUMNS, attempts.c.payload, *_IMAGE_COLUMNS)
        .join(runs, runs.c.id == attempts.c.run)
        .where(attempts.c.due_at <= now)
        .order_by(attempts.c.due_at)
        .limit(limit)
    )
    found = [
        Due(_attempt(row), row.runner_image, row.tool, row.launcher_image, row.payload)
        for row in conn.execute(statement)
    ]
    if found:
        conn.execute(_PUT_OFF, [_next_repeat(item.attempt, now) for item in found])
    return found


_PUT_OFF = (
    sa.update(attempts)
    .where(attempts.c.run == sa.bindparam("r"), attempts.c.sequence == sa.bindparam("s"))
    .values(due_at=sa.bindparam("at"), tries=sa.bindparam("sent"))
)


def _next_repeat(attempt: Attempt, now: float) -> dict[str, Any]:
    tries = attempt.tries + 1
    steps = RELAXED if attempt.notice is Notice.RELEASED else PROMPT
    return {"r": attempt.run, "s": attempt.sequence, "at": now + delay(tries, steps), "sent": tries}


def next_due(conn: sa.Connection) -> float | None:
    """Return when the next message is to be sent."""
    value = conn.execute(sa.select(sa.func.min(attempts.c.due_at))).scalar()
    return None if value is None else float(value)


def unconfirmed(conn: sa.Connection, closed_before: float, notice: Notice) -> list[tuple[str, str]]:
    """Return (pool, pool UID) of workers that have not shown for long that they know of a close."""
    statement = (
        sa.select(attempts.c.pool, attempts.c.pool_uid)
        .where(
            attempts.c.due_at.is_not(None), attempts.c.notice == notice, attempts.c.closed_at < closed_before
        )
        .distinct()
    )
    return [(row.pool, row.pool_uid) for row in conn.execute(statement)]


def confirm_older(conn: sa.Connection, *, pool: str, worker_uid: str, assignment: int) -> None:
    """Drop the notices of earlier assignments: a worker takes a new one only when it has let go of those."""
    conn.execute(
        sa.update(attempts)
        .where(
            attempts.c.pool == pool,
            attempts.c.worker_uid == worker_uid,
            attempts.c.assignment < assignment,
            attempts.c.notice.is_not(None),
        )
        .values(notice=None, due_at=None, tries=0, occupies=False)
    )


def drop_notices(conn: sa.Connection, gone_before: float) -> None:
    """Drop the notices of workers that are forgotten and weren't heard since then, once they were sent.

    A forgotten worker that still asks (by repeating run_finished) sets the notice anew, and so gets its answer.
    """
    gone = (
        sa.select(workers.c.worker_uid)
        .where(
            workers.c.pool == attempts.c.pool,
            workers.c.worker == attempts.c.worker,
            workers.c.worker_uid == attempts.c.worker_uid,
            workers.c.registered.is_(False),
            workers.c.seen_at < gone_before,
        )
        .exists()
    )
    conn.execute(
        sa.update(attempts)
        .where(
            attempts.c.due_at.is_not(None),
            attempts.c.notice.is_not(None),
            attempts.c.tries > 0,
            attempts.c.closed_at < gone_before,
            gone,
        )
        .values(notice=None, due_at=None, tries=0, occupies=False)
    )


def resend_assignments(conn: sa.Connection, *, pool: str, worker_uid: str, now: float) -> None:
    """Send what the worker hasn't answered yet at once: it has just come (back)."""
    conn.execute(
        sa.update(attempts)
        .where(
            attempts.c.pool == pool,
            attempts.c.worker_uid == worker_uid,
            attempts.c.occupies.is_(True),
            attempts.c.due_at.is_not(None),
        )
        .values(due_at=now)
    )


def _cases() -> sa.Select[Any]:
    return sa.select(*_CASE_COLUMNS).join(runs, runs.c.id == attempts.c.run)


def _case(row: sa.Row[*tuple[Any, ...]]) -> Case:
    values = row._mapping  # noqa: SLF001 - SQLAlchemy's documented name
    run = Run(**{name: values[f"run_{name}"] for name in _RUN_FIELDS})
    return Case(run, _attempt(row))


def _attempt(row: sa.Row[*tuple[Any, ...]]) -> Attempt:
    values = row._mapping  # noqa: SLF001 - SQLAlchemy's documented name
    return Attempt(**{name: values[name] for name in _ATTEMPT_FIELDS})


def _save_run(conn: sa.Connection, run: Run, states: tuple[str, ...], now: float) -> None:
    values = _values(run, _RUN_FIELDS)
    del values["id"]
    if run.state.is_final and states:
        values["finished_at"] = now
    conn.execute(sa.update(runs).where(runs.c.id == run.id).values(values))
    _append_history(conn, run, states, now)


def _append_history(conn: sa.Connection, run: Run, states: tuple[str, ...], now: float) -> None:
    first = run.position - len(states) + 1
    rows = [
        {"run": run.id, "position": first + index, "state": state, "at": now}
        for index, state in enumerate(states)
    ]
    if rows:
        conn.execute(sa.insert(history), rows)


def _save_attempt(conn: sa.Connection, attempt: Attempt) -> None:
    values = _values(attempt, _ATTEMPT_FIELDS) | {"occupies": attempt.occupies}
    if attempt.is_closed:
        values["payload"] = None
    conn.execute(
        sa.update(attempts)
        .where(attempts.c.run == attempt.run, attempts.c.sequence == attempt.sequence)
        .values(values)
    )


def _values(record: object, names: Iterable[str]) -> dict[str, Any]:
    return {name: getattr(record, name) for name in names}
