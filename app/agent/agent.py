"""The agent as a whole: its informers, queues and sessions, and whether they make progress.

Start and stop are called by the composition root. It decides nothing: `engine` works on Workers, `pools` on pools.
"""

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import structlog

from app import vocabulary as words
from app.agent.alarm import MailAlarm
from app.agent.connection import Connection
from app.agent.decisions import draining
from app.agent.effects import RevisionStore
from app.agent.engine import Engine
from app.agent.guard import Guard, GuardedApi, GuardedEvents
from app.agent.inbox import Inbox, Letter
from app.agent.link import Connect
from app.agent.owned import OwnedWork
from app.agent.ownership import Everything, Ownership
from app.agent.pod_state import trim_pod, worker_name_of
from app.agent.pools import Pools
from app.agent.roster import Roster
from app.agent.runtime import AgentSettings, Clock, Cluster, Counters, Events, Key
from app.agent.schema import SchemaCheck
from app.agent.session import Session
from app.agent.sidecars import NativeSidecars
from app.agent.sweep import sweep_revisions
from app.agent.unserved import LOOK_SECONDS, Grant, Unserved
from app.agent.verdict_watch import VerdictWatch
from app.agent.worker_state import WorkerView, parse_worker
from app.agent.workqueue import WorkQueue
from app.cluster.client import KubernetesApi
from app.cluster.errors import ApiError
from app.cluster.informer import Informer
from app.cluster.objects import KubernetesObject
from app.cluster.resources import PODS, WORKERPOOLS, WORKERS

_log = structlog.get_logger(__name__)

GATHERING = 0.05
"""Seconds that changes of a pool's Workers are gathered: each look at the pool costs a live read of it."""

VERDICT_LOOK = 5.0
"""Seconds between two looks at whether every claimed run gets its verdict."""

STOP_SHARE = 0.4
"""Part of the stop's time that work under way may take; the rest is for goodbyes to the broker."""


LEASE_SHARE = 0.2
"""Part of the stop's time that is kept for deleting the Lease, however long the goodbyes take."""


@dataclass(frozen=True, slots=True)
class Health:
    """Whether the agent makes progress. `checks` says so for each part, in words.

    `live` is False when only a new process helps; `ready` is False, too, when something outside is missing.
    """

    live: bool
    ready: bool
    checks: dict[str, str] = field(default_factory=dict)


class Agent:
    """Keeps registrations and carries runs, for all pools of the cluster or of some namespaces."""

    def __init__(
        self,
        api: KubernetesApi,
        events: Events,
        run_pod_of: Callable[[KubernetesObject, KubernetesObject], KubernetesObject | None],
        settings: AgentSettings,
        clock: Clock | None = None,
        connect: Connect = Connection,
        ownership: Ownership | None = None,
    ) -> None:
        self._settings, self._clock = settings, clock or Clock()
        self.counters = Counters()
        self._ownership = ownership or Everything()
        self._guard = Guard(self._ownership.owns)
        guarded = GuardedApi(api, self._guard)
        self._roster, self._inbox = Roster(), Inbox()
        self._mail_alarm = MailAlarm(self._inbox)
        spaces = settings.namespaces
        self._pool_cache = Informer(api, WORKERPOOLS, spaces, "", self._pool_changed)
        self._worker_cache = Informer(api, WORKERS, spaces, "", self._worker_changed)
        self._pod_cache = Informer(api, PODS, spaces, words.RUN_LABEL, self._pod_changed, trim_pod)
        self._informers = (self._pool_cache, self._worker_cache, self._pod_cache)
        self._cluster = Cluster(
            guarded,
            self._pool_cache,
            self._worker_cache,
            self._pod_cache,
            GuardedEvents(events, self._guard),
            run_pod_of,
        )
        self._schema, self._schema_known = SchemaCheck(api), False
        self._sidecars = NativeSidecars(settings.native_sidecars, api.server_version)
        self._revisions = RevisionStore(guarded, self._sidecars.known)
        self._verdicts = VerdictWatch(self._cluster, self._roster, settings.graces, self._clock)
        work = OwnedWork(
            self._guard, self._worker_cache, self._inbox, lambda: self._pools, lambda: self._engine
        )
        expected = (ApiError,)
        self._pool_queue: WorkQueue[Key] = WorkQueue("pools", work.on_pool, settings.pool_threads, expected)
        self._queue: WorkQueue[Key] = WorkQueue("workers", work.on_worker, settings.threads, expected)
        self._pools = Pools(
            self._cluster,
            self._roster,
            self._revisions,
            settings,
            self._clock,
            self.counters,
            connect,
            lambda: self,
            self._pool_queue.add,
            self._queue.add,
            self._schema_fault,
            self._ownership.owns,
        )
        self._engine = Engine(
            self._cluster,
            self._pools,
            self._roster,
            self._inbox,
            self._revisions,
            settings,
            self._clock,
            self.counters,
            self._schema.ok,
            self._queue.add,
        )
        self._unserved = Unserved(
            api,
            events,
            spaces,
            Grant(settings.controller_namespace, settings.service_account, settings.manager_role),
            lambda: frozenset[str]().union(*(each.refused for each in self._informers)),
            self._ownership.owns,
            self._clock,
        )
        self._stopping = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="agent-keeper", daemon=True)
        self._last_keep = self._clock.monotonic()

    def start(self) -> None:
        """Start everything and return at once; nothing is decided before the caches are complete."""
        for informer in self._informers:
            informer.start()
        self._keeper.start()

    def stop(self, deadline: float = 10.0) -> bool:
        """End in order within `deadline` seconds: work under way, goodbyes, watches; return whether all ended.

        What is cut off is done again after the next start: the state is in the cluster.
        """
        end = self._clock.monotonic() + deadline
        self._stopping.set()
        ended = [
            queue.stop(deadline * STOP_SHARE) if queue.alive else True
            for queue in (self._pool_queue, self._queue)
        ]
        # First the goodbyes, then the Lease: who takes over must not meet our sessions.
        farewells: list[Callable[[float], bool]] = [each.stop for each in self._pools.trials()]
        farewells += [each.stop for each in self._pools.sessions()]
        left = max(end - deadline * LEASE_SHARE - self._clock.monotonic(), 0.1)
        # All at once: behind a broker that has stopped answering each of them takes all the time there is.
        with ThreadPoolExecutor(max_workers=max(len(farewells), 1), thread_name_prefix="goodbye") as together:
            ended.extend(together.map(lambda stop: stop(left), farewells))
        stops: list[Callable[[float], bool]] = [
            self._ownership.stop,
            *(each.stop for each in self._informers),
        ]
        ended.extend(stop(max(end - self._clock.monotonic(), 0.1)) for stop in stops)
        return all(ended)

    def health(self) -> Health:
        """Say whether the parts make progress."""
        settings = self._settings
        sessions = self._pools.sessions()
        synced = all(informer.synced for informer in self._informers)
        silent = max(informer.silent_seconds() for informer in self._informers)
        lag = max(self._queue.lag(), self._pool_queue.lag())
        kept = self._clock.monotonic() - self._last_keep
        vital = {
            "informers": all(informer.alive for informer in self._informers),
            "queues": not synced or (self._queue.alive and self._pool_queue.alive),
            "connections": all(session.alive for session in sessions)
            and all(trial.alive for trial in self._pools.trials()),
            "keeper": self._keeper.is_alive() and kept < settings.lag_limit,
            "lease": self._ownership.alive,
            "progress": lag < settings.lag_limit,
        }
        needed = {
            "synced": synced,
            "watches": silent < settings.silence_limit,
            "schema": self._schema.ok(),
            "version": self._sidecars.known() is not None,
            "sharing": self._ownership.joined,
        }
        checks = {name: "ok" if good else "failing" for name, good in {**vital, **needed}.items()}
        checks["oldest_work_seconds"] = f"{lag:.1f}"
        checks["silent_seconds"] = f"{silent:.1f}"
        checks["oldest_message_seconds"] = f"{self._inbox.oldest(self._clock.monotonic()):.1f}"
        if self._schema.fault:
            checks["schema"] = self._schema.fault
        if self._sidecars.known() is None:
            checks["version"] = "the API server's version has not been read yet: nothing is claimed"
        checks["replicas"] = self._ownership.describe()
        ready = sum(session.state.ready for session in sessions)
        checks["pools_connected"] = f"{ready} of {len(self._pools.known())}"
        live = all(vital.values())
        return Health(live=live, ready=live and all(needed.values()), checks=checks)

    def counts(self) -> Mapping[str, int]:
        """Return what was counted since the start, by name."""
        return self.counters.snapshot()

    def runs_without_verdict(self) -> int:
        """Return how many attempts have been without a verdict for longer than their grace."""
        return self._verdicts.overdue

    # --- Listener: called from connections' threads, hands over and returns ---

    def on_worker_letter(self, session: Session, letter: Letter) -> None:
        """Take a message for a Worker."""
        namespace, pool = session.pool_key
        key = namespace, f"{pool}-{letter.worker_ulid.lower()}"
        self._inbox.put(key, letter)
        self._queue.add(key)

    def on_pool_letter(self, session: Session, letter: Letter) -> None:
        """Take a message for a pool."""
        self._pools.letter(session.pool_key, letter)

    def on_session_ready(self, session: Session) -> None:
        """Look at every Worker of the pool: what was sent before may be lost."""
        self._pools.ready(session)
        for member in self._roster.members(session.pool_key):
            self._queue.add((session.pool_key[0], member.name))

    def on_session_lost(self, session: Session) -> None:
        """Have the pool's state told; look at the Leases when another client took the session (fact 10)."""
        if session.state.taken_over:
            self._ownership.reconsider()
        self._pool_queue.add(session.pool_key)

    # --- what is ours ---

    def _ownership_changed(self) -> None:
        self._pools.release()
        self._resync()

    def _fit(self) -> bool:
        """Return whether this process can work on pools: on this cluster's CRDs, whose version is known."""
        return self._schema.ok() and self._sidecars.known() is not None

    # --- informers' changes ---

    def _pool_changed(self, _type: str, _old: KubernetesObject | None, new: KubernetesObject | None) -> None:
        found = new or _old
        if found is not None:
            self._pool_queue.add((found["metadata"]["namespace"], found["metadata"]["name"]))

    def _worker_changed(self, _type: str, old: KubernetesObject | None, new: KubernetesObject | None) -> None:
        found = new or old
        if found is None:
            return
        key = found["metadata"]["namespace"], found["metadata"]["name"]
        newest = parse_worker((self._worker_cache.get(*key) if new is not None else None) or found)
        if new is None:
            self._roster.forget(newest)
            changed = True
        else:
            changed = self._roster.note(newest)
        if changed:
            self._pool_queue.add((newest.namespace, newest.pool_name), GATHERING)
        if old and new and old.get("spec") != new.get("spec"):
            self._tell_of_draining(parse_worker(old), parse_worker(new))
        self._queue.add(key)

    def _tell_of_draining(self, former: WorkerView, worker: WorkerView) -> None:
        event = draining.pools_wish(former, worker)
        if event is not None and self._ownership.owns((worker.namespace, worker.pool_name)):
            self._cluster.events.emit(worker.reference, *event)

    def _pod_changed(self, _type: str, old: KubernetesObject | None, new: KubernetesObject | None) -> None:
        found = new or old
        if found is None or worker_name_of(found) is None:
            return
        key = self._roster.note_pod(found, exists=new is not None)
        if key is not None:
            self._queue.add(key)

    # --- the keeper: waits for the caches, then looks after everything now and then ---

    def _keep(self) -> None:
        self._check_schema()
        next_version = self._clock.monotonic() + self._check_version()
        while not all(informer.synced for informer in self._informers):
            self._last_keep = self._clock.monotonic()
            if self._stopping.wait(0.02):
                return
        self._queue.start()
        self._pool_queue.start()
        # Not before the caches are complete: whose pools we take stops working on them at once.
        self._ownership.start(self._ownership_changed, self._fit)
        _log.info("agent_started", namespaces=list(self._settings.namespaces), replica=self._settings.replica)
        next_schema = next_sweep = next_look = next_unserved = self._clock.monotonic()
        while not self._stopping.wait(1.0):
            now = self._last_keep = self._clock.monotonic()
            self._mail_alarm.look(now)
            if now >= next_schema:
                next_schema = now + self._check_schema()
            if now >= next_version:
                next_version = now + self._check_version()
            if now >= next_look:
                next_look = now + VERDICT_LOOK
                self._look_for_verdicts()
            if now >= next_unserved:
                next_unserved = now + LOOK_SECONDS
                self._look_for_unserved()
            if now >= next_sweep:
                next_sweep = now + self._settings.resync
                self._sweep()

    def _check_schema(self) -> float:
        if self._schema.refresh():
            self._schema_known = True
            if self._schema.ok():
                _log.info("schema_revision_matches")
            else:
                _log.error("schema_revision_mismatch", detail=self._schema.fault)
            self._ownership.reconsider()
            self._resync()
        return self._settings.schema_check if self._schema.ok() else self._settings.broken_schema_check

    def _schema_fault(self) -> str | None:
        """Return what is wrong with the CRDs, None before they were read for the first time: that is no mismatch."""
        return self._schema.fault if self._schema_known else None

    def _check_version(self) -> float:
        if self._sidecars.refresh():
            _log.info("native_sidecars", available=self._sidecars.known())
            self._ownership.reconsider()
            self._resync()
        known = self._sidecars.known() is not None
        return self._settings.version_check if known else self._settings.broken_version_check

    def _look_for_verdicts(self) -> None:
        try:
            self._verdicts.look()
        except Exception as error:  # noqa: BLE001 - the keeper must live
            _log.warning("verdict_watch_failed", error=str(error))

    def _look_for_unserved(self) -> None:
        try:
            self._unserved.look()
        except Exception as error:  # noqa: BLE001 - the keeper must live; the next look does the rest
            _log.warning("unserved_look_failed", error=str(error))

    def _sweep(self) -> None:
        self._resync()
        try:
            gone = sweep_revisions(
                self._cluster, self._revisions, self._settings.namespaces, self._clock, self._ownership.owns
            )
            self.counters.add("orphans_swept_ControllerRevision", gone)
        except Exception as error:  # noqa: BLE001 - the keeper must live; the next sweep does the rest
            _log.warning("sweep_failed", error=str(error))

    def _resync(self) -> None:
        for pool in self._pool_cache.items():
            self._pool_queue.add((pool["metadata"]["namespace"], pool["metadata"]["name"]))
        for worker in self._worker_cache.items():
            self._queue.add((worker["metadata"]["namespace"], worker["metadata"]["name"]))
        for pod in self._pod_cache.items():
            name = worker_name_of(pod)
            if name is not None:
                self._queue.add((pod["metadata"]["namespace"], name))
