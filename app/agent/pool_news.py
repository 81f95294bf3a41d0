"""What users are told of a pool: label, connection annotation and Events, each written only when it is news."""

from collections.abc import Callable
from dataclasses import dataclass

import structlog

from app import vocabulary as words
from app.agent.decisions import pool_events, reporting
from app.agent.decisions.ignored import ignored_settings
from app.agent.pool_state import PoolView
from app.agent.runtime import Clock, Cluster
from app.agent.session import Session
from app.agent.worker_state import WorkerView
from app.cluster.resources import WORKERPOOLS

REPEAT_EVENT = 600.0
"""Seconds after which an Event about a lasting fault is repeated: Events are kept for an hour only."""

_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Told:
    """What was told of one pool object, by the thread that works on it."""

    generation: int = -1
    away_since: float | None = None
    event_at: float = 0.0
    refused: str = ""
    workers_at: float | None = None
    deleting: bool = False


@dataclass(frozen=True, slots=True)
class Faults:
    """What keeps a pool from working, empty: nothing: its credentials, the CRDs of the cluster."""

    credentials: str
    schema: str


class PoolNews:
    """Tells; decides nothing that isn't in `decisions`."""

    def __init__(self, cluster: Cluster, clock: Clock) -> None:
        self._cluster, self._clock = cluster, clock

    def of_spec(self, pool: PoolView, told: Told) -> None:
        """Tell, once for each generation of the spec, of fields that have no effect."""
        if told.generation == pool.generation:
            return
        told.generation = pool.generation
        for text in ignored_settings(pool.spec):
            self._cluster.events.emit(pool.reference, words.EVENT_WARNING, words.SETTING_IGNORED_EVENT, text)

    def of_workers(self, pool: PoolView, told: Told, workers: Callable[[], list[WorkerView]]) -> None:
        """Tell what a deleted pool waits for, and of orphans of an earlier pool of this name, now and then."""
        now = self._clock.monotonic()
        if (
            told.workers_at is not None
            and now - told.workers_at < REPEAT_EVENT
            and told.deleting is pool.deleting
        ):
            return
        told.workers_at, told.deleting = now, pool.deleting
        for event in pool_events.of_workers(pool, workers()):
            self._cluster.events.emit(pool.reference, *event)

    def of_connection(
        self, pool: PoolView, told: Told, session: Session | None, faults: Faults, *, was_ready: bool
    ) -> float | None:
        """Write label and annotation when they change, with the Event that goes with it; return when to look again."""
        ready = session is not None and session.state.ready
        seen = reporting.Observed(
            fault=faults.credentials,
            ready=ready,
            broker=f"{session.credentials.host}:{session.credentials.port}" if session else "",
            error=session.trouble if session else "",
            limited=session.state.limited if session else "",
            away_for=self._away_for(told, away=session is not None and not ready),
            was_ready=was_ready,
            failures=session.state.failures if session else 0,
            retries=pool.retries,
            own_credentials=pool.has_own_credentials,
            schema_fault=faults.schema,
        )
        self._tell_refused(pool, told, session.state.refused if session else "")
        wanted = reporting.report(seen)
        if wanted is not None:
            self._write(pool, told, wanted, session.pool_ulid if session and ready else None)
        return None if ready or session is None else reporting.FLAP_GRACE

    def _tell_refused(self, pool: PoolView, told: Told, refused: str) -> None:
        if refused != told.refused and refused:
            text = f"The broker refuses what is published: {refused}"
            self._cluster.events.emit(pool.reference, words.EVENT_WARNING, words.PUBLISH_REFUSED_EVENT, text)
        told.refused = refused

    def _away_for(self, told: Told, *, away: bool) -> float:
        now = self._clock.monotonic()
        if not away:
            told.away_since = None
            return 0.0
        if told.away_since is None:
            told.away_since = now
        return now - told.away_since

    def _write(self, pool: PoolView, told: Told, wanted: reporting.Report, ulid: str | None) -> None:
        metadata: dict[str, object] = {}
        if reporting.differs(wanted, pool.connection):
            text = wanted.annotation(self._clock.timestamp())
            metadata["annotations"] = {words.CONNECTION_ANNOTATION: text}
        # Only a granted session shows that the credentials are good: then the hook may create Workers.
        if ulid is not None and ulid != pool.ulid:
            metadata["labels"] = {words.ULID_LABEL: ulid}
        self._emit(pool, told, wanted, changed="annotations" in metadata)
        if metadata:
            _log.info(
                "pool_connection_reported", state=wanted.state, reason=wanted.reason, detail=wanted.message
            )
            metadata["uid"] = pool.uid
            patch = {"metadata": metadata}
            patched = self._cluster.api.merge_patch(WORKERPOOLS, pool.namespace, pool.name, patch)
            self._cluster.pools.remember(patched)

    def _emit(self, pool: PoolView, told: Told, wanted: reporting.Report, *, changed: bool) -> None:
        event, now = reporting.event(wanted), self._clock.monotonic()
        lasting = wanted.state != words.CONNECTION_READY and now - told.event_at >= REPEAT_EVENT
        if event is not None and (changed or lasting):
            self._cluster.events.emit(pool.reference, *event)
            told.event_at = now
