"""The dispatcher's passes, with a broker link that only notes what is published."""

import queue
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from typing import Any

import pytest
import sqlalchemy as sa

from mothership import dispatcher
from mothership.broker_link import Event, Up, Woken
from mothership.counters import Counters
from mothership.dispatcher import Dispatcher, Parts
from mothership.errors import UnavailableError
from mothership.inbox import Inbox
from protocol import messages
from protocol.messages import parse
from protocol.runs import Outcome, Reason, Result

SUCCEEDED = Outcome(Result.SUCCEEDED, Reason.COMPLETED)
UP = Up(session_present=True, window=100)


class Driven:
    """A dispatcher whose passes a test makes, or whose thread it starts."""

    def __init__(self, mothership: Any) -> None:  # noqa: ANN401
        self.mothership = mothership
        self.sent: list[str] = []
        self.events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self.failures = 0
        parts = Parts(
            database=self,  # type: ignore[arg-type]
            link=self,  # type: ignore[arg-type]
            events=self.events,
            inbox=Inbox(mothership.database, mothership.desk, mothership.clock, Counters()),
            desk=mothership.desk,
            sealer=mothership.sealer,
            rules=mothership.rules,
            clock=mothership.clock,
            namespace="spacelift",
        )
        self.dispatcher = Dispatcher(parts)

    def publish(self, _topic: str, payload: bytes) -> bool:
        """Note what is sent."""
        self.sent.append(parse(payload).message.type)
        return True

    def write(self) -> AbstractContextManager[sa.Connection]:
        """Begin a transaction, unless the database is to fail now."""
        if self.failures:
            self.failures -= 1
            raise UnavailableError("the database can't be used: database or disk is full")
        begun: AbstractContextManager[sa.Connection] = self.mothership.database.write()
        return begun

    def passes(self, *moves: float) -> list[str]:
        """Let time pass, with a pass of the dispatcher after each move; return what was sent."""
        self.sent.clear()
        for seconds in moves:
            self.mothership.clock.move(seconds)
            self.events.put(Woken())
            self.dispatcher._pass(self.dispatcher._handle(self.dispatcher._collect()))
        return list(self.sent)

    def soon(self, type_: str) -> bool:
        """Say whether the started thread publishes this within five seconds."""
        until = time.monotonic() + 5
        while type_ not in self.sent and time.monotonic() < until:
            time.sleep(0.01)
        return type_ in self.sent


@pytest.fixture
def driven(mothership: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Driven]:  # noqa: ANN401
    """Give a dispatcher that doesn't wait long."""
    monkeypatch.setattr(dispatcher, "TICK_SECONDS", 0.01)
    made = Driven(mothership)
    yield made
    if made.dispatcher._thread.is_alive():
        made.dispatcher.stop(5)


def test_inventories_are_asked_for_although_the_database_fails_at_first(driven: Driven) -> None:
    """The thread goes on, and remembers that it has to ask."""
    driven.mothership.player()
    driven.failures = 2
    driven.dispatcher.start()
    driven.events.put(UP)
    assert driven.soon("inventory_requested")
    assert driven.dispatcher.idle_seconds() == 0
    assert driven.sent.count("inventory_requested") == 1


def test_thread_outlives_a_fault_in_what_it_collects(driven: Driven, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is in the queue."""
    driven.mothership.player()
    note = driven.dispatcher._note

    def fail_once(*_event: object) -> None:
        monkeypatch.setattr(driven.dispatcher, "_note", note)
        raise RuntimeError

    monkeypatch.setattr(driven.dispatcher, "_note", fail_once)
    driven.events.put(Woken())
    driven.dispatcher.start()
    driven.events.put(UP)
    assert driven.soon("inventory_requested")


@pytest.mark.parametrize("jump", [3600.0, -3600.0])
def test_jump_of_the_clock_gives_launchers_time_to_renew(driven: Driven, jump: float) -> None:
    """The clock was set, or the dispatcher stood still: that is no proof against a launcher."""
    _, scheduled = driven.mothership.granted()
    driven.passes(1, jump, 1, 29, 29)
    assert driven.mothership.state(scheduled.run) == "started"
    driven.passes(3600, 30, 30)
    assert driven.mothership.state(scheduled.run) == "started"
    driven.passes(*[30.0] * 10)
    assert driven.mothership.state(scheduled.run) == "lost"


def test_lease_runs_out_while_the_clock_is_steady(driven: Driven) -> None:
    """120 s and the grace after the last renewal."""
    _, scheduled = driven.mothership.granted()
    driven.passes(*[30.0] * 6)
    assert driven.mothership.state(scheduled.run) == "started"
    driven.passes(1)
    assert driven.mothership.state(scheduled.run) == "lost"


def test_forgotten_worker_is_not_told_for_ever(driven: Driven) -> None:
    """Once it is gone for an hour its notices are dropped; when it asks after all it still gets its answer."""
    driven.events.put(UP)
    worker, scheduled = driven.mothership.granted()
    driven.mothership.say(worker, messages.Unregister)
    driven.mothership.clock.move(4000)
    finished = {"pod_uid": "pod-1", "outcome": SUCCEEDED}
    driven.mothership.answer(worker, messages.RunFinished, scheduled, **finished)
    assert "run_released" in driven.passes(1)
    assert "run_released" in driven.passes(300)
    assert "run_released" not in driven.passes(3600, 300, 300, 300)
    driven.mothership.answer(worker, messages.RunFinished, scheduled, **finished)
    assert driven.passes(1).count("run_released") == 1
    assert "run_released" not in driven.passes(300, 300)


def test_registered_worker_is_told_until_it_shows_that_it_knows(driven: Driven) -> None:
    """However long it takes."""
    driven.events.put(UP)
    worker, scheduled = driven.mothership.granted()
    driven.mothership.answer(worker, messages.RunFinished, scheduled, pod_uid="pod-1", outcome=SUCCEEDED)
    driven.passes(1)
    assert "run_released" in driven.passes(4000)


def _whole_inventory(driven: Driven) -> None:
    message = messages.Inventory(pool_uid="pool-uid", replica="r", part=1, parts=1, workers=())
    driven.mothership.deliver(driven.mothership.pool, message)


def test_nothing_is_assigned_after_a_start_before_the_operator_has_spoken(driven: Driven) -> None:
    """The database may be an older one; the operator's first inventory settles it."""
    driven.events.put(UP)
    driven.mothership.player()
    driven.mothership.trigger()
    assert driven.passes(1, 1) == ["inventory_requested"]
    _whole_inventory(driven)
    assert "run_scheduled" in driven.passes(1)


def test_an_operator_that_says_nothing_holds_nothing_up_for_ever(driven: Driven) -> None:
    """15 seconds, then the pool's other clusters get their runs."""
    driven.events.put(UP)
    driven.mothership.player()
    driven.mothership.trigger()
    assert "run_scheduled" not in driven.passes(1, 14)
    assert "run_scheduled" in driven.passes(2)
