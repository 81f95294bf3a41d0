"""The tables. Times are seconds since 1970, identifiers upper-case ULIDs or Kubernetes UIDs."""

from enum import StrEnum
from typing import Any

import sqlalchemy as sa

from mothership.decisions.states import AttemptState, Notice, RunState
from protocol.runs import Outcome, Reason

SCHEMA_VERSION = 3
"""Stored as SQLite's user_version; an older database is migrated (``storage/migrations.py``), a newer one refused."""

metadata = sa.MetaData()


class Word(sa.types.TypeDecorator[StrEnum]):
    """A StrEnum, stored as its text."""

    impl = sa.Text
    cache_ok = True

    def __init__(self, kind: type[StrEnum]) -> None:
        super().__init__()
        self.kind = kind

    def process_bind_param(self, value: StrEnum | None, dialect: sa.Dialect) -> str | None:  # noqa: ARG002
        """Return what is stored."""
        return None if value is None else str(value)

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> StrEnum | None:  # noqa: ANN401, ARG002
        """Return what was stored."""
        return None if value is None else self.kind(value)


class Verdict(sa.types.TypeDecorator[Outcome]):
    """An Outcome, stored as JSON."""

    impl = sa.JSON(none_as_null=True)
    cache_ok = True

    def process_bind_param(self, value: Outcome | None, dialect: sa.Dialect) -> Any:  # noqa: ANN401, ARG002
        """Return what is stored."""
        return None if value is None else value.to_json()

    def process_result_value(self, value: Any, dialect: sa.Dialect) -> Outcome | None:  # noqa: ANN401, ARG002
        """Return what was stored."""
        return None if value is None else Outcome.from_json(value)


meta = sa.Table(
    "meta",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, nullable=False),
)

pools = sa.Table(
    "pools",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("name", sa.Text, nullable=False, unique=True),
    sa.Column("public_key", sa.Text, nullable=False),
    sa.Column("certificate", sa.Text, nullable=False),
    sa.Column("created_at", sa.Float, nullable=False),
)

connections = sa.Table(
    "connections",
    metadata,
    sa.Column("pool", sa.Text, primary_key=True),
    sa.Column("pool_uid", sa.Text, primary_key=True),
    sa.Column("replica", sa.Text, nullable=False),
    sa.Column("online", sa.Boolean, nullable=False),
    sa.Column("changed_at", sa.Float, nullable=False),
    sa.Column("asked_at", sa.Float),  # when an inventory was last asked for
    sa.Column("ask_due", sa.Boolean, nullable=False, default=False),
)

workers = sa.Table(
    "workers",
    metadata,
    sa.Column("pool", sa.Text, primary_key=True),
    sa.Column("worker", sa.Text, primary_key=True),
    sa.Column("worker_uid", sa.Text, primary_key=True),
    sa.Column("pool_uid", sa.Text, nullable=False),
    sa.Column("metadata", sa.JSON, nullable=False),
    sa.Column("controller_version", sa.Text, nullable=False),
    # A forgotten worker keeps its row: its assignment numbers go on from where they were (fence 1).
    sa.Column("registered", sa.Boolean, nullable=False),
    sa.Column("available", sa.Boolean, nullable=False),
    sa.Column("drained", sa.Boolean, nullable=False, default=False),  # what the admin wants
    sa.Column("shown_drained", sa.Boolean, nullable=False, default=False),  # what the worker says
    sa.Column("draining", sa.Boolean, nullable=False, default=False),  # the worker's own wish
    sa.Column("assignment", sa.Integer, nullable=False, default=0),
    sa.Column("registered_at", sa.Float, nullable=False),
    sa.Column("seen_at", sa.Float, nullable=False),
    sa.Column("hold_until", sa.Float, nullable=False, default=0.0),
    sa.Column("drain_due_at", sa.Float),
    sa.Column("drain_tries", sa.Integer, nullable=False, default=0),
    sa.Index("workers_by_connection", "pool", "pool_uid"),
    sa.Index("workers_registered", "registered", "available", "pool"),
    sa.Index("workers_drain_due", "drain_due_at"),
)

runs = sa.Table(
    "runs",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),
    sa.Column("pool", sa.Text, nullable=False),
    sa.Column("state", Word(RunState), nullable=False),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("sequence", sa.Integer),
    sa.Column("requeues", sa.Integer, nullable=False),
    sa.Column("stop_requested", sa.Boolean, nullable=False),
    sa.Column("outcome", Verdict),
    sa.Column("failed_with", Word(Reason)),
    sa.Column("not_before", sa.Float, nullable=False, default=0.0, server_default="0"),
    sa.Column("created_at", sa.Float, nullable=False),
    sa.Column("finished_at", sa.Float),
    sa.Column("source", sa.JSON(none_as_null=True)),
    sa.Column("commands", sa.JSON, nullable=False),
    sa.Column("environment", sa.JSON, nullable=False),
    sa.Column("runner_image", sa.Text, nullable=False),  # empty: the pool's default
    sa.Column("tool", sa.Text, nullable=False, server_default=""),
    sa.Column("launcher_image", sa.Text, nullable=False),
    sa.Index("runs_by_state", "state", "pool"),
)

history = sa.Table(
    "history",
    metadata,
    sa.Column("run", sa.Text, primary_key=True),
    sa.Column("position", sa.Integer, primary_key=True),
    sa.Column("state", sa.Text, nullable=False),
    sa.Column("at", sa.Float, nullable=False),
)

attempts = sa.Table(
    "attempts",
    metadata,
    sa.Column("run", sa.Text, primary_key=True),
    sa.Column("sequence", sa.Integer, primary_key=True),
    sa.Column("stage", sa.Text, nullable=False),
    sa.Column("pool", sa.Text, nullable=False),
    sa.Column("pool_uid", sa.Text, nullable=False),
    sa.Column("worker", sa.Text, nullable=False),
    sa.Column("worker_uid", sa.Text, nullable=False),
    sa.Column("assignment", sa.Integer, nullable=False),
    sa.Column("state", Word(AttemptState), nullable=False),
    sa.Column("assigned_at", sa.Float, nullable=False),
    sa.Column("granted", sa.Boolean, nullable=False),
    sa.Column("pod_uid", sa.Text),
    sa.Column("accepted_at", sa.Float),
    sa.Column("granted_at", sa.Float),
    sa.Column("renewed_at", sa.Float),
    sa.Column("closed_at", sa.Float),
    sa.Column("worker_outcome", Verdict),
    sa.Column("report", Verdict),
    sa.Column("outcome", Verdict),
    sa.Column("notice", Word(Notice)),
    sa.Column("due_at", sa.Float),
    sa.Column("tries", sa.Integer, nullable=False),
    # Columns beyond the pure record:
    sa.Column("occupies", sa.Boolean, nullable=False),
    sa.Column("token_hash", sa.Text, nullable=False, unique=True),
    sa.Column("token_expires_at", sa.Float, nullable=False),
    sa.Column("payload", sa.Text),  # sealed; dropped at the close
    sa.Column("phases", sa.JSON(none_as_null=True)),
    sa.Column("log_bytes", sa.Integer, nullable=False, default=0),
    sa.Index("attempts_by_worker", "worker_uid", "occupies"),
    sa.Index("attempts_open", "state", "assigned_at"),
    sa.Index("attempts_due", "due_at"),
)

log_streams = sa.Table(
    "log_streams",
    metadata,
    sa.Column("run", sa.Text, primary_key=True),
    sa.Column("sequence", sa.Integer, primary_key=True),
    sa.Column("stream", sa.Text, primary_key=True),
    sa.Column("offset", sa.Integer, nullable=False),
)
