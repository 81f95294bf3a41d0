"""What a session lets through to its broker, what it hands over, and what is told when messages wait."""

import datetime as dt

from app.agent.alarm import LIMIT, MailAlarm
from app.agent.inbox import Inbox, Letter
from app.agent.session import Session
from protocol import MAX_PAYLOAD_BYTES
from protocol.messages import Drain, Register, RunCanceled, encode
from tests.unit.agent import builders as a
from tests.unit.agent.world import World

KEY = (a.NAMESPACE, a.POOL)


def session_of(world: World) -> Session:
    """Return the pool's session."""
    session = world.pools.session(KEY)
    assert session is not None
    return session


def registration(size: int) -> Register:
    """Return a message with so much in it."""
    return Register(
        worker_uid=a.WORKER_UID,
        pool_uid=a.POOL_UID,
        metadata={f"tag{number:03}": "x" * 1000 for number in range(size // 1015)},
        controller_version="1",
        protocol=1,
    )


def test_a_payload_that_no_broker_takes_is_told_and_dropped(world: World) -> None:
    """Row 13: it would end the connection, and trying again would not make it smaller."""
    link = world.up(a.worker_object())
    session = session_of(world)
    assert session.publish(a.WORKER_ULID, "register", registration(MAX_PAYLOAD_BYTES + 2048))
    assert link.take() == []
    assert world.counters.snapshot()["mqtt_messages_oversized"] == 1
    fits = registration(60_000)
    assert session.publish(a.WORKER_ULID, "register", fits)
    assert link.take() == [fits]


def test_a_topic_that_is_none_is_acknowledged_and_dropped(world: World) -> None:
    """Whatever a broker hands over, it never comes again for ever."""
    link = world.up(a.worker_object())
    link.deliver_bytes(b"x", "too/many/levels")
    assert len(link.acked) == 1
    assert len(world.inbox) == 0


def test_the_connection_is_paced_as_its_broker_is(world: World) -> None:
    """Row 2: this one has no limit of its own."""
    link = world.up()
    assert link.settings.publish_rate == 0.0
    assert link.settings.in_flight == 20


def test_the_time_that_a_message_says_decides_nothing(world: World) -> None:
    """Skewed clocks: a mothership years ahead or behind is obeyed all the same."""
    link = world.up(a.worker_object())
    for year, drained in ((1970, True), (2999, False)):
        time = dt.datetime(year, 1, 1, tzinfo=dt.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        message = Drain(pool_uid=a.POOL_UID, worker_uid=a.WORKER_UID, drained=drained)
        link.deliver_bytes(encode(message, id=a.RUN, time=time))
        world.settle()
        assert world.status().get("drained", False) is drained


def letter(received: float) -> Letter:
    """Return a letter that came at a time."""
    message = RunCanceled(pool_uid=a.POOL_UID, worker_uid=a.WORKER_UID, run=a.RUN, sequence=1)
    body = encode(message, id=a.RUN, time="2026-01-01T00:00:00Z")
    return Letter(body, a.POOL_UID, a.POOL, a.WORKER_ULID, lambda: None, received)


def test_messages_that_wait_for_too_long_ring_once() -> None:
    """Row 6: the broker was answered in time, and still somebody must know."""
    inbox = Inbox()
    alarm = MailAlarm(inbox)
    assert alarm.look(0.0) == 0.0
    old, young = letter(100.0), letter(150.0)
    inbox.put(("default", "one"), old)
    inbox.put(("default", "two"), young)
    assert (alarm.look(100.0 + LIMIT), alarm.ringing) == (LIMIT, False)
    assert (alarm.look(101.0 + LIMIT), alarm.ringing) == (LIMIT + 1, True)
    inbox.done(("default", "one"), old)
    assert alarm.look(101.0 + LIMIT) == LIMIT - 49.0
    assert not alarm.ringing


def test_letters_carry_when_they_came(world: World) -> None:
    """By the operator's own clock."""
    link = world.up(a.worker_object())
    link.deliver(RunCanceled(pool_uid=a.POOL_UID, worker_uid=a.WORKER_UID, run=a.RUN, sequence=1))
    assert world.inbox.oldest(world.time + 5.0) == 5.0
