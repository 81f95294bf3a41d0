"""The agent's MQTT connection against a real Mosquitto with TLS and client certificates.

The rows named here are those of the MQTT facts that decided the design; docs/mqtt.md has them all. What Mosquitto
doesn't do on demand is in tests/unit/agent/test_connection_rows.py.
"""

import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from app.agent.connection import Connection
from devcluster.relay import Relay
from protocol import MAX_PAYLOAD_BYTES
from tests.mqtt_parts import DAY, HOST, Broker, Maker, Pki, Recorder, VersionGuard, eventually


@pytest.fixture
def make(pki: Pki) -> Iterator[Maker]:
    """Make connections that end with the test."""
    maker = Maker(pki)
    yield maker
    maker.close()


def mothership(make: Maker, broker: Broker) -> tuple[Connection, Recorder]:
    """Return the other side: hears everything that workers write, and acknowledges it."""
    connection, recorder = make(
        broker.port, "mothership", subscription="spacelift/writeonly/#", session_expiry=0
    )
    recorder.acknowledge = connection.ack
    eventually(lambda: connection.state.ready)
    return connection, recorder


def send(connection: Connection, *bodies: bytes) -> None:
    """Publish to the pool's worker."""
    for body in bodies:
        assert connection.publish(body, "spacelift/readonly/POOL/WORKER", body)


def test_messages_go_both_ways(broker: Broker, make: Maker) -> None:
    """With client certificates whose name is the user of the ACL."""
    boss, heard = mothership(make, broker)
    agent, got = make(broker.port)
    eventually(lambda: agent.state.ready)
    assert got.ready == 1
    assert not agent.state.session_present
    send(boss, b"to worker")
    assert agent.publish("k", "spacelift/writeonly/POOL/WORKER", b"from worker")
    eventually(lambda: got.bodies() == [b"to worker"] and heard.bodies() == [b"from worker"])
    eventually(lambda: agent.backlog == 0)


def test_an_exception_in_the_sink_ends_neither_thread_nor_delivery(broker: Broker, make: Maker) -> None:
    """Row 1: the thread lives, the connection is made anew, and the message comes again."""
    boss, _ = mothership(make, broker)
    agent, got = make(broker.port)
    eventually(lambda: agent.state.ready)

    def fail_once(_payload: bytes) -> None:
        got.trouble = lambda _: None
        raise RuntimeError("a fault of ours")

    got.trouble = fail_once
    send(boss, b"poison")
    eventually(lambda: got.bodies() == [b"poison", b"poison"])
    assert agent.alive
    assert got.ready == 2
    assert got.lost == 1


def test_a_message_not_acknowledged_comes_again_after_kill_9_of_the_broker(
    broker: Broker, make: Maker
) -> None:
    """Rows 4, 8, 15: acknowledged is what was handled; the session is kept in the broker's file."""
    boss, _ = mothership(make, broker)
    agent, got = make(broker.port, ack_deadline=60.0)
    eventually(lambda: agent.state.ready)
    send(boss, b"handled", b"not handled")
    eventually(lambda: len(got.messages) == 2)
    agent.ack(got.messages[0][2])
    eventually(lambda: len(agent._unacked) == 1)
    # The PUBACK is behind the socket: a later exchange on the same connection shows that the broker has read it.
    assert agent.publish("k", "spacelift/writeonly/POOL/WORKER", b"x")
    eventually(lambda: agent.backlog == 0)
    broker.save()
    broker.stop(signal.SIGKILL)
    broker.start()
    eventually(lambda: got.ready == 2, 20)
    assert agent.state.session_present
    eventually(lambda: got.bodies() == [b"handled", b"not handled", b"not handled"])


def test_an_acknowledgement_of_an_older_connection_is_dropped(broker: Broker, make: Maker) -> None:
    """Row 5: packet identifiers begin again, so an old one would acknowledge another message."""
    boss, _ = mothership(make, broker)
    agent, got = make(broker.port, ack_deadline=60.0)
    eventually(lambda: agent.state.ready)
    send(boss, b"first")
    eventually(lambda: len(got.messages) == 1)
    old = got.messages[0][2]
    broker.stop()
    broker.start()
    eventually(lambda: len(got.messages) == 2, 20)
    new = got.messages[1][2]
    assert (new.mid, new.epoch) != (old.mid, old.epoch)
    agent.ack(old)
    time_out = time.monotonic() + 1.0
    while time.monotonic() < time_out:
        assert len(agent._unacked) == 1
        time.sleep(0.05)
    agent.ack(new)
    eventually(lambda: not agent._unacked)


def test_a_broker_that_forgot_the_session_is_noticed(broker: Broker, make: Maker) -> None:
    """Row 8: session present is 0, the subscription is made again, and messages flow."""
    agent, got = make(broker.port)
    eventually(lambda: agent.state.ready)
    broker.stop(signal.SIGKILL)
    broker.forget()
    broker.start()
    eventually(lambda: got.ready == 2, 20)
    assert not agent.state.session_present
    boss, _ = mothership(make, broker)
    send(boss, b"after")
    eventually(lambda: got.bodies() == [b"after"])


def test_a_stopped_operator_finds_what_came_meanwhile(broker: Broker, make: Maker) -> None:
    """Row 7: clean start is never asked for, and the session outlives the process."""
    boss, heard = mothership(make, broker)
    agent, _ = make(broker.port)
    eventually(lambda: agent.state.ready)
    assert agent.stop(5.0)
    eventually(lambda: b"farewell" in heard.bodies())
    assert b"will" not in heard.bodies()
    send(boss, b"meanwhile")
    eventually(lambda: boss.backlog == 0)
    again, got = make(broker.port)
    eventually(lambda: got.bodies() == [b"meanwhile"])
    assert again.state.session_present


def test_a_message_is_acknowledged_for_a_stalled_handler(broker: Broker, make: Maker) -> None:
    """A Kubernetes API that is away never blocks cancel and release behind a claim."""
    boss, _ = mothership(make, broker)
    agent, got = make(broker.port, ack_deadline=0.3)
    eventually(lambda: agent.state.ready)
    send(boss, b"stalled")
    eventually(lambda: len(got.messages) == 1)
    eventually(lambda: not agent._unacked, 3.0)
    assert agent.state.ready


def test_a_thousand_messages_are_paced_and_all_arrive(broker: Broker, make: Maker) -> None:
    """Rows 2 and 3: twenty in flight, each once, in order."""
    _, heard = mothership(make, broker)
    agent, _ = make(broker.port)
    eventually(lambda: agent.state.ready)
    started = time.monotonic()
    for number in range(1000):
        assert agent.publish(number, "spacelift/writeonly/POOL/WORKER", str(number).encode())
        assert agent._outbound.in_flight <= 20
    eventually(lambda: len(heard.messages) == 1000, 30)
    assert heard.bodies() == [str(number).encode() for number in range(1000)]
    assert time.monotonic() - started < 8


def test_two_clients_of_one_id_fight_ever_more_rarely(broker: Broker, make: Maker) -> None:
    """Row 10: a connection that doesn't stand for a while makes the next pause longer, also without a reason code."""
    first, got = make(broker.port, backoff_most=60.0)
    eventually(lambda: first.state.ready)
    second, _ = make(broker.port, backoff_most=60.0)
    eventually(lambda: got.lost >= 4 and second.state.epoch >= 4, 30)
    assert min(first._failures, second._failures) >= 3


def test_a_broker_of_another_ca_is_refused(broker: Broker, make: Maker, tmp_path: Path) -> None:
    """The server's certificate is always checked; the thread goes on trying."""
    (tmp_path / "other").mkdir()
    other = Pki(tmp_path / "other")
    agent, got = make(broker.port, tls=other.client("POOL"))
    eventually(lambda: got.lost >= 2)
    assert "certificate" in agent.state.error.lower()
    assert agent.alive
    assert not agent.state.ready


def test_mqtt_3_1_1_does_the_same_on_a_broker_that_speaks_nothing_newer(
    broker: Broker, make: Maker, pki: Pki
) -> None:
    """Rows 4, 7 and 8: both directions, manual acknowledgement, and a session that outlives the connection."""
    boss, heard = mothership(make, broker)
    with VersionGuard(pki, broker.port, "POOL") as guard:
        agent, got = make(guard.port, ack_deadline=60.0)
        eventually(lambda: agent.state.ready)
        assert guard.refused == 1
        assert "3.1.1" in agent.state.limited
        assert agent.publish("k", "spacelift/writeonly/POOL/WORKER", b"from worker")
        send(boss, b"handled", b"not handled")
        eventually(lambda: len(got.messages) == 2 and b"from worker" in heard.bodies())
        agent.ack(got.messages[0][2])
        assert agent.publish("k", "spacelift/writeonly/POOL/WORKER", b"behind the acknowledgement")
        eventually(lambda: agent.backlog == 0)
        guard.cut()
        eventually(lambda: got.lost == 1)
        send(boss, b"meanwhile")
        eventually(lambda: got.ready == 2)
        assert guard.refused == 1
        assert agent.state.session_present
        eventually(lambda: got.bodies()[2:] == [b"not handled", b"meanwhile"])
        eventually(lambda: b"will" in heard.bodies())


def test_a_process_that_dies_leaves_a_will_and_one_that_leaves_a_farewell(
    broker: Broker, make: Maker
) -> None:
    """Row 14: the will comes on an unclean loss only; a handover to another session says nothing at all."""
    _, heard = mothership(make, broker)
    with Relay([(HOST, broker.port)]) as gate:
        dies, _ = make(gate.port, backoff_first=60.0)
        eventually(lambda: dies.state.ready)
        gate.cut()
    eventually(lambda: heard.bodies() == [b"will"])
    leaves, _ = make(broker.port, client_id="other")
    eventually(lambda: leaves.state.ready)
    assert leaves.stop(5.0)
    eventually(lambda: heard.bodies() == [b"will", b"farewell"])
    hands_over, _ = make(broker.port, client_id="third")
    eventually(lambda: hands_over.state.ready)
    assert hands_over.stop(5.0, farewell=False)
    last, _ = make(broker.port, client_id="fourth")
    eventually(lambda: last.state.ready)
    assert last.stop(5.0)
    eventually(lambda: len(heard.bodies()) >= 3)
    assert heard.bodies() == [b"will", b"farewell", b"farewell"]


def test_topics_stay_within_what_any_broker_takes(broker: Broker, make: Maker) -> None:
    """Row 13: one subscription for a pool, three slashes in a topic, and 128 KB arrive."""
    boss, _ = mothership(make, broker)
    agent, got = make(broker.port)
    eventually(lambda: agent.state.ready)
    send(boss, b"x" * MAX_PAYLOAD_BYTES)
    eventually(lambda: [len(body) for body in got.bodies()] == [MAX_PAYLOAD_BYTES])


def test_a_paced_connection_keeps_its_rate(broker: Broker, make: Maker) -> None:
    """Row 2: AWS IoT takes 100 publishes a second of one connection."""
    _, heard = mothership(make, broker)
    agent, _ = make(broker.port, publish_rate=100.0)
    eventually(lambda: agent.state.ready)
    started = time.monotonic()
    for number in range(150):
        assert agent.publish(number, "spacelift/writeonly/POOL/WORKER", str(number).encode())
    eventually(lambda: len(heard.messages) == 150)
    assert 1.3 < time.monotonic() - started < 2.5
    assert heard.bodies() == [str(number).encode() for number in range(150)]


def test_a_forbidden_topic_is_told_by_the_confirmation_and_left_alone(broker: Broker, make: Maker) -> None:
    """Rows 16 and 17: Mosquitto says so in MQTT 5; the other topics go on, the connection stands."""
    _, heard = mothership(make, broker)
    agent, got = make(broker.port)
    eventually(lambda: agent.state.ready)
    foreign = "spacelift/writeonly/OTHER/WORKER"
    assert agent.publish("foreign", foreign, b"1")
    eventually(lambda: agent.state.refused.startswith(f"{foreign}: Not authorized"))
    assert agent.publish("foreign", foreign, b"2")
    assert agent.publish("own", "spacelift/writeonly/POOL/WORKER", b"own")
    eventually(lambda: heard.bodies() == [b"own"])
    assert agent.backlog == 1
    assert got.lost == 0


def test_expired_and_early_certificates_say_so(broker: Broker, make: Maker, pki: Pki) -> None:
    """Row 18 and skewed clocks: the broker's opinion of our certificate reaches the state, TLS 1.3 or not."""
    pki.issue("expired", begins=-2 * DAY, ends=-DAY, subject="POOL")
    pki.issue("early", begins=DAY, ends=2 * DAY, subject="POOL")
    expired, _ = make(broker.port, tls=pki.client("expired"))
    early, _ = make(broker.port, tls=pki.client("early"), client_id="early")
    eventually(lambda: "the pool's certificate has expired" in expired.state.error)
    eventually(lambda: "not yet valid by the broker's clock" in early.state.error)


def test_a_half_open_connection_is_noticed_and_made_anew(broker: Broker, make: Maker) -> None:
    """Row 1: nothing comes and nobody says so; the watchdog ends it within one and a half keep-alives."""
    boss, _ = mothership(make, broker)
    with Relay([(HOST, broker.port)]) as gate:
        agent, got = make(gate.port, keepalive=1)
        eventually(lambda: agent.state.ready)
        gate.blackhole()
        send(boss, b"meanwhile")
        eventually(lambda: got.lost == 1, 5)
        assert "nothing came from the broker for" in agent.state.error
        gate.heal()
        eventually(lambda: b"meanwhile" in got.bodies())


def test_stop_keeps_its_deadline_on_a_half_open_connection(broker: Broker, make: Maker) -> None:
    """Row 12: neither the goodbye nor what is unconfirmed holds the process."""
    with Relay([(HOST, broker.port)]) as gate:
        agent, _ = make(gate.port)
        eventually(lambda: agent.state.ready)
        gate.blackhole()
        for number in range(50):
            assert agent.publish(number, "spacelift/writeonly/POOL/WORKER", b"x" * 100_000)
        started = time.monotonic()
        assert agent.stop(2.0)
        assert time.monotonic() - started < 2.0
