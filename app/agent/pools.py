"""The work on one pool: read its credentials, keep its session, tell its state, admit its Workers, send inventories.

`Pools.reconcile` is called by a work queue, never twice at a time for one pool. A changed Secret opens a second
session; the old one stays until the new pair proved good.
"""

import random
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import structlog

from app.agent import cycling
from app.agent.credentials import PoolCredentials, read_credentials
from app.agent.decisions import inventory, leaving, registration
from app.agent.decisions.history import Rules
from app.agent.effects import RevisionStore
from app.agent.inbox import Letter
from app.agent.link import Connect
from app.agent.pool_news import Faults, PoolNews, Told
from app.agent.pool_state import PoolView, parse_pool
from app.agent.roster import Roster
from app.agent.runtime import AgentSettings, Clock, Cluster, Counters, Key
from app.agent.session import Listener, Session
from app.agent.trial import Trial
from app.agent.unserved import Grant
from app.agent.worker_state import WorkerView, parse_worker
from app.cluster.errors import ApiError, Forbidden, NotFound
from app.cluster.objects import KubernetesObject
from app.cluster.resources import SECRETS, WORKERPOOLS
from app.logs import redact_text
from protocol.messages import Cycle, InventoryRequested, MessageError, parse
from protocol.token import CredentialsError

INVENTORY_PAUSE = 1.0
"""Shortest time in seconds between two inventories of a pool."""

EMPTY_LOOK = 5.0
_log = structlog.get_logger(__name__)


@dataclass(slots=True)
class PoolState:
    """What the process knows of one pool object.

    Written by the thread that works on the pool; others read `current` and `admitted`, which are replaced whole,
    set `inventory_wanted`, and add to `letters` under the lock.
    """

    uid: str
    generation: int = -1
    history: Rules | None = None
    told: Told = field(default_factory=Told)
    next_check: float = 0.0
    fault: str = ""
    credentials: PoolCredentials | None = None
    source: object = None
    current: Session | None = None
    trial: Trial | None = None
    admitted: frozenset[str] = frozenset()
    inventory_wanted: bool = False
    cycle_wanted: str = ""
    next_inventory: float = 0.0
    unasked_inventory: float | None = None
    ready_epochs: int = 0
    letters: list[Letter] = field(default_factory=list)


class Pools:
    """Reconciles WorkerPools, and answers for them to the engine.

    `schema_fault` says what is wrong with the CRDs; empty: nothing, None: they weren't read yet. `owns` says which
    pools are this replica's; those of others are left alone.
    """

    def __init__(
        self,
        cluster: Cluster,
        roster: Roster,
        revisions: RevisionStore,
        settings: AgentSettings,
        clock: Clock,
        counters: Counters,
        connect: Connect,
        listener: Callable[[], Listener],
        wake_pool: Callable[[Key, float], None],
        wake_worker: Callable[[Key], None],
        schema_fault: Callable[[], str | None],
        owns: Callable[[Key], bool] = lambda _key: True,
    ) -> None:
        self._cluster, self._roster, self._settings = cluster, roster, settings
        self._revisions = revisions
        self._clock, self._counters, self._connect = clock, counters, connect
        self._listener, self._wake_pool, self._wake_worker = listener, wake_pool, wake_worker
        self._schema_fault, self._news = schema_fault, PoolNews(cluster, clock)
        self._owns = owns
        self._grant = Grant(settings.controller_namespace, settings.service_account, settings.manager_role)
        self._states: dict[Key, PoolState] = {}
        self._lock = threading.Lock()

    # --- for the engine ---

    def view(self, key: Key) -> PoolView | None:
        """Return the pool as it is known now, None when it doesn't exist."""
        found = self._cluster.pools.get(*key)
        return parse_pool(found) if found is not None else None

    def session(self, key: Key) -> Session | None:
        """Return the pool's session, None when it has none."""
        state = self._states.get(key)
        return state.current if state else None

    def admitted(self, key: Key, worker_uid: str) -> bool:
        """Return whether a Worker may be registered."""
        state = self._states.get(key)
        return state is not None and worker_uid in state.admitted

    def changed(self, key: Key) -> None:
        """Look at the pool again: something pool-wide policies look at has changed."""
        self._wake_pool(key, 0.0)

    def ask_for_inventory(self, key: Key) -> None:
        """Send an inventory soon."""
        state = self._states.get(key)
        if state is not None:
            state.inventory_wanted = True
            self._wake_pool(key, 0.0)

    # --- for the agent ---

    def sessions(self) -> list[Session]:
        """Return every session there is."""
        with self._lock:
            states = list(self._states.values())
        return [state.current for state in states if state.current is not None]

    def trials(self) -> list[Trial]:
        """Return every pair of credentials that is being tried."""
        with self._lock:
            states = list(self._states.values())
        return [state.trial for state in states if state.trial is not None]

    def known(self) -> list[Key]:
        """Return the pools there is anything known of."""
        with self._lock:
            return list(self._states)

    def letter(self, key: Key, letter: Letter) -> None:
        """Take a message for a pool."""
        state = self._states.get(key)
        if state is None:
            letter.acknowledge()
            return
        with self._lock:
            state.letters.append(letter)
        self._wake_pool(key, 0.0)

    def ready(self, session: Session) -> None:
        """Take note that a session stands."""
        state = self._states.get(session.pool_key)
        if state is None:
            return
        if not session.state.session_present or state.ready_epochs == 0:
            state.inventory_wanted = True
        state.ready_epochs += 1
        self._wake_pool(session.pool_key, 0.0)

    def release(self) -> None:
        """End the sessions of pools that are another replica's now, at once and without waiting for anything."""
        with self._lock:
            lost = [key for key in self._states if not self._owns(key)]
            states = [self._states.pop(key) for key in lost]
        for state in states:
            # What waits to be sent is another replica's to say, and a goodbye may come after its `online`.
            self._stop(state, 0.0, farewell=False)
        if lost:
            _log.info("pools_handed_over", pools=["/".join(key) for key in lost])

    # --- the work ---

    def reconcile(self, key: Key) -> float | None:
        """Bring one pool forward; return after how many seconds to look again."""
        if not self._owns(key):
            self.release()
            return None
        pool = self.view(key)
        if pool is None:
            return self._without_pool(key)
        state = self._state(key, pool)
        try:
            return self._bring_forward(key, pool, state)
        finally:
            if self._states.get(key) is not state:
                # It was released meanwhile: what was opened since must not stay open.
                self._stop(state, 0.0, farewell=False)

    def _bring_forward(self, key: Key, pool: PoolView, state: PoolState) -> float:
        with structlog.contextvars.bound_contextvars(namespace=key[0], pool=pool.name, uid=pool.uid):
            self._read_letters(state)
            self._check_credentials(pool, state)
            self._take_over(key, pool, state)
            self._freeze_settings(pool, state)
            self._follow_history(key, pool, state)
            self._news.of_spec(pool, state.told)
            self._news.of_workers(pool, state.told, lambda: self._workers(key))
            schema_fault = self._schema_fault()
            faults = Faults(state.fault or _fault_of_trial(state), schema_fault or "")
            was_ready = state.ready_epochs > 0
            pause = self._news.of_connection(pool, state.told, state.current, faults, was_ready=was_ready)
            if schema_fault == "":
                self._admit(key, pool, state)
            later = self._send_inventory(key, state)
            self._cycle(pool, state)
        pauses = [state.next_check - self._clock.monotonic(), pause, later]
        return max(min(each for each in pauses if each is not None), 0.0)

    def _state(self, key: Key, pool: PoolView) -> PoolState:
        state = self._states.get(key)
        if state is None or state.uid != pool.uid:
            if state is not None:
                self._stop(state)
            state = PoolState(pool.uid)
            with self._lock:
                self._states[key] = state
        return state

    def _without_pool(self, key: Key) -> float | None:
        """Keep the session while there are Workers to be told about through it; then end it."""
        state = self._states.get(key)
        if state is None:
            return None
        left = [view for view in self._workers(key) if leaving.needs_session(view)]
        if left:
            for view in left:
                self._wake_worker((key[0], view.name))
            return EMPTY_LOOK
        with self._lock:
            self._states.pop(key, None)
        self._stop(state)
        return None

    def _workers(self, key: Key) -> list[WorkerView]:
        found = (self._cluster.workers.get(key[0], member.name) for member in self._roster.members(key))
        return [parse_worker(worker) for worker in found if worker is not None]

    def _freeze_settings(self, pool: PoolView, state: PoolState) -> None:
        """Keep a revision of the settings as they are now, before there are Workers or runs that need it.

        A new revision makes Metacontroller sync every Worker of the pool: better now than at the next run.
        """
        session = state.current
        if session is None or not session.state.ready:
            return
        try:
            self._revisions.ensure(pool, session.pool_ulid, self._clock.monotonic())
        except ApiError as error:
            # Each claim makes sure again, so nothing waits for this.
            _log.warning("settings_not_frozen", error=error.message)

    def _follow_history(self, key: Key, pool: PoolView, state: PoolState) -> None:
        """Have the Workers let go of Pods that changed rules keep no longer."""
        if state.history == pool.history:
            return
        state.history = pool.history
        for member in self._roster.members(key):
            if member.kept_pods:
                self._wake_worker((key[0], member.name))

    @staticmethod
    def _stop(state: PoolState, deadline: float = 2.0, *, farewell: bool = True) -> None:
        if state.current is not None:
            state.current.stop(deadline, farewell=farewell)
        if state.trial is not None:
            state.trial.stop(deadline)

    # --- credentials ---

    def _check_credentials(self, pool: PoolView, state: PoolState) -> None:
        now = self._clock.monotonic()
        if pool.generation == state.generation and now < state.next_check:
            return
        state.generation = pool.generation
        try:
            secrets = self._secrets(pool)
            source = _source(pool, secrets)
            known = state.credentials
            if source == state.source and known is not None and not known.expired(self._clock.now()):
                # Reading a key of 4096 bits costs a tenth of a second: an unchanged Secret isn't read again.
                state.fault = ""
                state.next_check = now + self._settings.credentials_check
                return
            state.source = None
            found = read_credentials(pool, secrets, self._clock.now())
        except (CredentialsError, Forbidden) as error:
            state.fault = redact_text(str(error))
            if isinstance(error, Forbidden):
                state.fault = f"{state.fault}. Grant it: {self._grant.command(pool.namespace)}"
            self._end_trial(state)
            state.next_check = now + self._settings.broken_credentials_check
        else:
            state.fault = ""
            state.next_check = now + self._settings.credentials_check
            if self._use(pool, state, found):
                state.source = source

    def _secrets(self, pool: PoolView) -> dict[str, KubernetesObject | None]:
        found: dict[str, KubernetesObject | None] = {}
        for name in {pool.token.name, pool.private_key.name} - {""}:
            try:
                found[name] = self._cluster.api.get(SECRETS, pool.namespace, name)
            except NotFound:
                found[name] = None
        return found

    def _use(self, pool: PoolView, state: PoolState, credentials: PoolCredentials) -> bool:
        """Connect with new credentials, or try them while others stand; return whether they can be used."""
        current, trial = state.current, state.trial
        if trial is not None and trial.credentials.fingerprint == credentials.fingerprint:
            return True
        if not self._owns((pool.namespace, pool.name)):
            return False
        self._end_trial(state)
        state.credentials = credentials
        if current is not None and current.credentials.fingerprint == credentials.fingerprint:
            return True
        if current is None or current.credentials.expired(self._clock.now()):
            return self._begin(pool, state, credentials)
        _log.info("credentials_changed", pool_ulid=credentials.token.pool_ulid)
        key = pool.namespace, pool.name
        try:
            state.trial = Trial(
                pool, credentials, self._connect, lambda: self._wake_pool(key, 0.0), lambda: self._owns(key)
            )
        except (OSError, ValueError) as error:
            return self._unusable(state, error)
        state.trial.start()
        return True

    def _begin(self, pool: PoolView, state: PoolState, credentials: PoolCredentials) -> bool:
        """Begin a session, in the place of the former one; return whether the credentials can be used."""
        key = pool.namespace, pool.name
        try:
            session = Session(
                pool,
                credentials,
                self._settings,
                self._clock,
                self._counters,
                self._listener(),
                self._connect,
                lambda: self._owns(key),
            )
        except (OSError, ValueError) as error:
            return self._unusable(state, error)
        former, state.current = state.current, session
        if former is not None:
            # Before the new one connects under the same client id; the broker keeps what comes in between.
            former.stop(1.0, farewell=False)
        session.start()
        return True

    @staticmethod
    def _unusable(state: PoolState, error: Exception) -> bool:
        state.credentials = None
        state.fault = f"the token's certificates can't be used: {type(error).__name__}"
        return False

    @staticmethod
    def _end_trial(state: PoolState) -> None:
        trial, state.trial = state.trial, None
        if trial is not None:
            trial.stop(1.0)

    def _take_over(self, key: Key, pool: PoolView, state: PoolState) -> None:
        """Let the new pair of credentials take over once it proved good."""
        trial = state.trial
        if trial is None or not trial.good:
            return
        self._end_trial(state)
        if not self._begin(pool, state, trial.credentials):
            return
        _log.info("credentials_taken_over", pool_ulid=trial.credentials.token.pool_ulid)
        state.inventory_wanted = True
        for member in self._roster.members(key):
            self._wake_worker((key[0], member.name))

    # --- admission ---

    def _admit(self, key: Key, pool: PoolView, state: PoolState) -> None:
        """Let Workers be registered, as many as a live read of the pool wants."""
        session = state.current
        if session is None or not session.state.ready or pool.deleting:
            return
        # The answer to our own last patch of a Worker may come after the news that it is gone: it holds no place.
        members = [each for each in self._roster.members(key) if self._cluster.workers.get(key[0], each.name)]
        entries = registration.of_pool((member.entry for member in members), state.uid)
        waiting = any(each.eligible and each.uid not in state.admitted for each in entries)
        known = {each.uid for each in entries}
        if not waiting:
            state.admitted &= known
            return
        live = parse_pool(self._cluster.api.get(WORKERPOOLS, *key))
        if live.uid != state.uid or live.deleting:
            return
        chosen = registration.admissible(entries, state.admitted, live.size)
        fresh = chosen - state.admitted
        state.admitted = frozenset((state.admitted & known) | chosen)
        for member in members:
            if member.entry.uid in fresh:
                self._wake_worker((key[0], member.name))

    # --- pool-level messages ---

    def _read_letters(self, state: PoolState) -> None:
        with self._lock:
            letters, state.letters = state.letters, []
        for letter in letters:
            try:
                message = parse(letter.payload).message
            except MessageError as error:
                self._counters.add(f"messages_dropped_{error.kind}")
                letter.acknowledge()
                continue
            if message.pool_uid in (None, letter.pool_uid):
                if isinstance(message, InventoryRequested):
                    state.inventory_wanted = True
                elif isinstance(message, Cycle):
                    state.cycle_wanted = max(state.cycle_wanted, message.cycle)
            letter.acknowledge()

    def _cycle(self, pool: PoolView, state: PoolState) -> None:
        if state.cycle_wanted:
            cycling.carry_out(self._cluster, pool, state.cycle_wanted)
            state.cycle_wanted = ""

    def _send_inventory(self, key: Key, state: PoolState) -> float | None:
        session, now = state.current, self._clock.monotonic()
        if session is None or not session.state.ready:
            return None
        unasked = state.unasked_inventory
        if not state.inventory_wanted and unasked is not None and now < unasked:
            return unasked - now
        if now < state.next_inventory:
            return state.next_inventory - now
        # Jittered: a thousand pools that connected together must not report together for ever.
        pause = self._settings.inventory_period * random.uniform(0.8, 1.2)  # noqa: S311 - jitter
        state.unasked_inventory = now + pause
        state.inventory_wanted, state.next_inventory = False, now + INVENTORY_PAUSE
        views = [view for view in self._workers(key) if leaving.belongs(view, session.pool_uid)]
        parts = inventory.parts(
            [view for view in views if view.pool_ulid == session.pool_ulid],
            state.admitted,
            session.pool_uid,
            self._settings.replica,
        )
        for part in parts:
            session.publish_for_pool(f"inventory:{part.part}", part)
        _log.info("inventory_sent", workers=sum(len(part.workers) for part in parts), parts=len(parts))
        return pause


def _fault_of_trial(state: PoolState) -> str:
    """Return what is wrong with a changed pair of credentials, empty: nothing that would be known."""
    trial, current = state.trial, state.current
    if trial is None or current is None or trial.state.failures == 0 or not current.state.ready:
        # With both of them away it is the broker that is.
        return ""
    return f"the changed credentials can't be used: {trial.state.error}; the former ones stay in use"


def _source(pool: PoolView, secrets: Mapping[str, KubernetesObject | None]) -> object:
    """Return what tells one state of the credentials' Secrets from another, without their content."""
    versions = {
        (name, found["metadata"]["uid"], found["metadata"]["resourceVersion"]) if found else (name, "", "")
        for name, found in secrets.items()
    }
    return pool.token, pool.private_key, frozenset(versions)
