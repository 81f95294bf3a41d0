"""The one thread that handles what workers say and publishes what they have to know.

    broker link --Arrived--> events --batch--> inbox, desk (one transaction) --commit--> acknowledge
                                                   |
    HTTP threads --wake--> events        timers, scheduler, what is due in the tables
                                                   `--commit--> window --publish--> broker link

A message is acknowledged after the commit, so a kill at any moment makes the broker deliver it again; what is sent
follows from the tables, so a kill before or after a publish makes it be sent again.
"""

import queue
import threading
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
import structlog

from mothership import outgoing
from mothership.broker_link import Arrived, BrokerLink, Down, Event, Published, Up, Woken
from mothership.clock import Clock, new_ulid, rfc3339
from mothership.decisions.states import Notice, Rules
from mothership.decisions.timers import expire
from mothership.desk import ASK_AGAIN_SECONDS, Desk
from mothership.errors import UnavailableError
from mothership.inbox import Inbox
from mothership.outgoing import Outgoing
from mothership.scheduler import BATCH, assign_queued
from mothership.sealer import Sealer
from mothership.storage import cycles, pools, runs, workers
from mothership.storage.database import Database
from protocol.messages import encode
from protocol.topics import to_worker

TICK_SECONDS = 1.0
INBOX_BATCH = 200
"""Messages in one transaction: enough that commits don't count, few enough that claims don't wait long for it."""
CANCEL_DOUBT_SECONDS = 10.0
"""A cancel unseen for this long makes the mothership ask what the operator holds: its worker gets nothing meanwhile."""
RELEASE_DOUBT_SECONDS = 300.0
SETTLE_SECONDS = 15.0
"""After its start a mothership gives no run of a pool away before the pool's operators have said what they hold, or
this long: its database may be an older one, and what is queued there may be at work."""
TIME_NOTE_SECONDS = 10.0
"""How often the time is written down, for a start after the machine's clock was set back."""

_log = structlog.get_logger(component="dispatcher")


@dataclass(frozen=True, slots=True)
class Parts:
    """What the dispatcher works with."""

    database: Database
    link: BrokerLink
    events: "queue.SimpleQueue[Event]"
    inbox: Inbox
    desk: Desk
    sealer: Sealer
    rules: Rules
    clock: Clock
    namespace: str


class Dispatcher:
    """The thread between broker and database."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self._outbox: deque[Outgoing] = deque()
        self._in_flight = 0
        self._window = 0
        self._hearing_since: float | None = None
        self._serving_since = parts.clock.now()
        self._passed_at = self._serving_since
        self._checked_at = self._serving_since
        self._first_heard_at: float | None = None
        self._noted_at = 0.0
        self._ask_all = False  # whether every operator is to be asked for an inventory
        self._look = True  # whether the tables are to be looked at in this pass
        self._more = False  # whether they hold more than one pass takes
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="dispatcher", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, deadline: float) -> None:
        """Let the pass under way end and stop."""
        self._stopping.set()
        self.wake()
        self._thread.join(deadline)

    def wake(self) -> None:
        """Look at the tables now: something was changed by another thread."""
        self._parts.events.put(Woken())

    @property
    def connected(self) -> bool:
        """Whether the broker connection is up."""
        return self._hearing_since is not None

    def idle_seconds(self) -> float:
        """Return how long ago the last pass ended, or infinity when the thread is gone."""
        if not self._thread.is_alive():
            return float("inf")
        return self._parts.clock.now() - self._passed_at

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._pass(self._handle(self._collect()))
            except UnavailableError as error:
                _log.error("database unavailable", error=str(error))
                self._stopping.wait(TICK_SECONDS)
            except Exception:  # noqa: BLE001 - the thread must outlive a fault: the next pass starts from the tables
                _log.exception("pass failed")
                self._stopping.wait(TICK_SECONDS)
            self._passed_at = self._parts.clock.now()

    def _collect(self) -> list[Arrived]:
        """Wait for something to do, or a tick; return what arrived."""
        arrived: list[Arrived] = []
        events = self._parts.events
        try:
            event = events.get_nowait() if self._more else events.get(timeout=TICK_SECONDS)
            while True:
                self._note(event, arrived)
                if len(arrived) >= INBOX_BATCH:
                    break
                event = events.get_nowait()
        except queue.Empty:
            # Nothing at all within a tick, or no more for now: both are the time to look at the tables.
            self._look = self._look or not arrived
        return arrived

    def _handle(self, arrived: Sequence[Arrived]) -> list[Outgoing]:
        if not arrived:
            return []
        self._look = True
        try:
            return self._parts.inbox.handle(arrived)
        except UnavailableError as error:
            # The disk is full or the file locked: nothing was acknowledged, so all of it is tried again.
            _log.error("database unavailable", error=str(error))
            for event in arrived:
                self._parts.events.put(event)
            self._stopping.wait(TICK_SECONDS)
            return []

    def _note(self, event: Event, arrived: list[Arrived]) -> None:
        match event:
            case Arrived():
                arrived.append(event)
            case Published():
                self._in_flight = max(self._in_flight - 1, 0)
            case Up():
                _log.info("broker connected", session_present=event.session_present)
                self._reset(event.window)
                self._hearing_since = self._parts.clock.now()
                self._look = self._ask_all = True
            case Down():
                if self._hearing_since is not None:
                    _log.warning("broker disconnected")
                self._reset(0)
                self._hearing_since = None
            case Woken():
                self._look = True

    def _reset(self, window: int) -> None:
        # What was under way is due again from the tables, or its question is repeated.
        self._outbox.clear()
        self._in_flight = 0
        self._window = window

    def _pass(self, answers: list[Outgoing]) -> None:
        # While the window is full nothing new is taken from the tables, so the outbox stays short.
        if self._look and len(self._outbox) < INBOX_BATCH:
            self._look = self._more = False
            with self._parts.database.write() as conn:
                now = self._parts.clock.now()
                self._check_time(conn, now)
                if self._ask_all:
                    pools.want_all_inventories(conn)
                if self.connected:
                    unsettled = self._unsettled(conn, now)
                    self._more = assign_queued(conn, self._parts.sealer, now, unsettled) >= BATCH
                    answers = answers + self._due(conn, now)
            self._look = self._more
            self._ask_all = False
        self._outbox.extend(answers)
        self._publish()

    def _unsettled(self, conn: sa.Connection, now: float) -> set[str]:
        """Return the pools that get nothing yet, because this process hasn't heard what their operators hold."""
        if self._first_heard_at is None:
            self._first_heard_at = now
        if now - self._first_heard_at > SETTLE_SECONDS:
            return set()
        return self._parts.desk.inventories.unheard(conn)

    def _check_time(self, conn: sa.Connection, now: float) -> None:
        rules = self._parts.rules
        if abs(now - self._noted_at) >= TIME_NOTE_SECONDS:
            pools.note_time(conn, now)
            self._noted_at = now
        # The clock was set, the machine slept or this thread stood still: as after a start, launchers may renew first.
        if abs(now - self._checked_at) > rules.lost_grace / 2:
            self._serving_since = now
        self._checked_at = now
        for case in runs.overdue(conn, now, rules, INBOX_BATCH):
            after = expire(
                case, now, hearing_since=self._hearing_since, serving_since=self._serving_since, rules=rules
            )
            if runs.save(conn, case, after, now):
                attempt = after.attempt
                _log.info(
                    "attempt timed out", run=attempt.run, sequence=attempt.sequence, state=after.run.state
                )
        for worker in workers.long_offline(conn, now - rules.forget_after, INBOX_BATCH):
            self._parts.desk.part_with(conn, worker.key, now)
        runs.drop_notices(conn, now - rules.forget_after)
        doubts = runs.unconfirmed(conn, now - CANCEL_DOUBT_SECONDS, Notice.CANCELED)
        for pool, pool_uid in doubts:
            pools.want_inventory(conn, pool, pool_uid, now, not_within=ASK_AGAIN_SECONDS)
        for pool, pool_uid in runs.unconfirmed(conn, now - RELEASE_DOUBT_SECONDS, Notice.RELEASED):
            pools.want_inventory(conn, pool, pool_uid, now, not_within=RELEASE_DOUBT_SECONDS)

    def _due(self, conn: sa.Connection, now: float) -> list[Outgoing]:
        found = [outgoing.inventory_request(*item) for item in pools.take_inventory_requests(conn, now)]
        found += [
            outgoing.drain_message(worker) for worker in workers.take_due_drains(conn, now, INBOX_BATCH)
        ]
        found += [outgoing.cycle_message(item) for item in cycles.take_due_cycles(conn, now)]
        due = runs.take_due(conn, now, INBOX_BATCH)
        self._more = len(due) == INBOX_BATCH or self._more
        found += [message for item in due if (message := outgoing.due_message(item)) is not None]
        return found

    def _publish(self) -> None:
        while self._outbox and self._in_flight < self._window:
            item = self._outbox.popleft()
            payload = encode(item.message, id=new_ulid(), time=rfc3339(self._parts.clock.now()))
            if not self._parts.link.publish(
                to_worker(self._parts.namespace, item.pool, item.worker), payload
            ):
                return
            self._in_flight += 1
