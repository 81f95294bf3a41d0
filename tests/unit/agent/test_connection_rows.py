"""The MQTT facts against a broker that follows a script, row by row, over real TLS; docs/mqtt.md has the table.

What a real broker does is in tests/integration/test_agent_broker.py.
"""

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mqtt_parts import DAY, Maker, Pki, Script, ScriptedBroker, eventually

TOPIC = "spacelift/writeonly/POOL/WORKER"
OTHER = "spacelift/writeonly/POOL/OTHER"
TO_WORKER = "spacelift/readonly/POOL/WORKER"


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    """Return certificates of this module."""
    return Pki(tmp_path_factory.mktemp("pki"))


def _wait(held: threading.Event) -> None:
    held.wait(10)


@pytest.fixture
def make(pki: Pki) -> Iterator[Maker]:
    """Make connections that end with the test."""
    maker = Maker(pki)
    yield maker
    maker.close()


def test_1_a_thread_that_makes_no_progress_is_not_alive(pki: Pki, make: Maker) -> None:
    """What holds it is nobody's to say; the probe ends the process."""
    with ScriptedBroker(pki) as broker:
        agent, got = make(broker.port, stall_limit=0.7)
        eventually(lambda: agent.state.ready)
        held = threading.Event()
        got.trouble = lambda _: _wait(held)
        broker.peer.deliver(TO_WORKER, b"x", 1)
        eventually(lambda: not agent.alive)
        held.set()
        eventually(lambda: agent.alive)


@pytest.mark.parametrize(
    ("connack", "window"), [(b"", 20), (b"\x21\x00\x05", 5), (b"\x21\x00\x64", 20)], ids=["none", "5", "100"]
)
def test_2_the_window_is_ours_and_the_brokers(pki: Pki, make: Maker, connack: bytes, window: int) -> None:
    """Twenty at most, and fewer when the broker's Receive Maximum says so."""
    with ScriptedBroker(pki, Script(connack=connack, puback=lambda _: None)) as broker:
        agent, _ = make(broker.port)
        eventually(lambda: agent.state.ready)
        for number in range(50):
            assert agent.publish(number, TOPIC, b"x")
        eventually(lambda: len(broker.received()) == window)
        assert (agent.backlog, agent.figures().in_flight) == (50, window)
        assert agent.stop(1.0)
        eventually(lambda: broker.peer.closed)
        assert len(broker.received()) == window + 1, "only the farewell comes behind"


def test_2_nothing_of_an_older_connection_is_sent_on_the_next(pki: Pki, make: Maker) -> None:
    """What still matters is worked out again; the library stores nothing."""
    with ScriptedBroker(pki, Script(puback=lambda _: None)) as broker:
        agent, got = make(broker.port)
        eventually(lambda: agent.state.ready)
        for number in range(50):
            assert agent.publish(number, TOPIC, b"x")
        eventually(lambda: len(broker.received()) == 20)
        broker.peer.cut()
        eventually(lambda: got.ready == 2)
        assert agent.backlog == 0
        assert agent.publish("new", OTHER, b"y")
        eventually(lambda: OTHER in broker.peer.topics())
        assert broker.peer.topics() == [OTHER]


def test_3_nothing_is_taken_while_there_is_no_connection(pki: Pki, make: Maker) -> None:
    """And what was taken counts as sent once it is confirmed."""
    with ScriptedBroker(pki, Script(puback=lambda _: None)) as broker:
        agent, _ = make(broker.port)
        assert not agent.publish("k", TOPIC, b"x") or agent.state.ready
        eventually(lambda: agent.state.ready)
        assert agent.publish("k", TOPIC, b"x")
        eventually(lambda: len(broker.received()) == 1)
        assert agent.backlog == 1


@pytest.mark.parametrize("level", [5, 4])
def test_4_a_message_is_acknowledged_when_its_handler_says_so(pki: Pki, make: Maker, level: int) -> None:
    """Neither before nor in another order than handled."""
    with ScriptedBroker(pki, Script(levels=frozenset({level}))) as broker:
        agent, got = make(broker.port)
        eventually(lambda: agent.state.ready)
        broker.peer.deliver(TO_WORKER, b"a", 7)
        broker.peer.deliver(TO_WORKER, b"b", 9)
        eventually(lambda: len(got.messages) == 2)
        assert broker.peer.acknowledged == []
        agent.ack(got.messages[1][2])
        eventually(lambda: broker.peer.acknowledged == [9])
        agent.ack(got.messages[0][2])
        eventually(lambda: broker.peer.acknowledged == [9, 7])


def test_5_an_acknowledgement_of_an_older_connection_acknowledges_nothing(pki: Pki, make: Maker) -> None:
    """The same packet identifier is another message now."""
    with ScriptedBroker(pki) as broker:
        agent, got = make(broker.port, ack_deadline=60.0)
        eventually(lambda: agent.state.ready)
        broker.peer.deliver(TO_WORKER, b"old", 1)
        eventually(lambda: len(got.messages) == 1)
        broker.peer.cut()
        eventually(lambda: got.ready == 2)
        broker.peer.deliver(TO_WORKER, b"new", 1)
        broker.peer.deliver(TO_WORKER, b"marker", 2)
        eventually(lambda: len(got.messages) == 3)
        agent.ack(got.messages[0][2])
        agent.ack(got.messages[2][2])
        eventually(lambda: broker.peer.acknowledged == [2])
        agent.ack(got.messages[1][2])
        eventually(lambda: broker.peer.acknowledged == [2, 1])


def test_6_the_broker_never_waits_longer_than_the_deadline(pki: Pki, make: Maker) -> None:
    """And what was acknowledged for its handler is counted."""
    counted: list[tuple[str, int]] = []
    with ScriptedBroker(pki) as broker:
        agent, got = make(broker.port, ack_deadline=0.3, count=lambda *what: counted.append(what))
        eventually(lambda: agent.state.ready)
        broker.peer.deliver(TO_WORKER, b"x", 1)
        eventually(lambda: len(got.messages) == 1)
        assert agent.figures().unacknowledged == 1
        eventually(lambda: broker.peer.acknowledged == [1], 3.0)
        assert ("mqtt_acknowledged_unhandled", 1) in counted
        assert agent.oldest_unacknowledged() == 0.0


@pytest.mark.parametrize("level", [5, 4])
def test_7_the_session_is_kept_and_its_owner_keeps_its_name(pki: Pki, make: Maker, level: int) -> None:
    """Also at the first connection of a process; a trial alone begins clean."""
    with ScriptedBroker(pki, Script(levels=frozenset({level}))) as broker:
        agent, _ = make(broker.port)
        eventually(lambda: agent.state.ready)
        assert (broker.peer.level, broker.peer.clean, broker.peer.will) == (level, False, True)
        assert broker.peer.client_id == "client-POOL"
        trial, _ = make(broker.port, session_expiry=0, will_topic="", client_id="trial")
        eventually(lambda: trial.state.ready)
        assert (broker.peer.clean, broker.peer.will) == (True, False)


@pytest.mark.parametrize("present", [True, False])
def test_8_the_subscription_is_made_on_each_connection(pki: Pki, make: Maker, present: bool) -> None:
    """Whatever the broker says of the session."""
    with ScriptedBroker(pki, Script(session_present=present)) as broker:
        agent, got = make(broker.port)
        eventually(lambda: agent.state.ready)
        assert agent.state.session_present is present
        broker.peer.cut()
        eventually(lambda: got.ready == 2)
        assert [peer.subscriptions for peer in broker.peers] == [["spacelift/readonly/POOL/+"]] * 2


@pytest.mark.parametrize("level", [5, 4])
@pytest.mark.parametrize("reason", [0x80, 0x87], ids=["unspecified", "not authorised"])
def test_9_a_refused_subscription_is_never_ready(pki: Pki, make: Maker, reason: int, level: int) -> None:
    """Granted is what the SUBACK says; the refusal is told, and tried again."""
    if level == 4:
        reason = 0x80
    with ScriptedBroker(pki, Script(suback=reason, levels=frozenset({level}))) as broker:
        agent, got = make(broker.port)
        eventually(lambda: got.lost >= 3)
        assert got.ready == 0
        assert "refused the subscription" in agent.state.error
        assert agent.alive


def test_9_a_broker_that_never_answers_is_given_up(pki: Pki, make: Maker) -> None:
    """Connected but not granted is not connected."""
    with ScriptedBroker(pki, Script(suback=None)) as broker:
        agent, got = make(broker.port, connect_timeout=0.3)
        eventually(lambda: got.lost >= 1)
        assert "in time" in agent.state.error


def test_10_who_lost_its_session_to_another_client_waits_long(pki: Pki, make: Maker) -> None:
    """Told by the reason code, it doesn't kick the other one out at once."""
    with ScriptedBroker(pki, Script(goodbye=0x8E)) as broker:
        agent, got = make(broker.port, taken_over_pause=30.0)
        eventually(lambda: got.lost == 1)
        assert agent.state.taken_over
        assert broker.tries == 1


def test_10_without_a_permission_nothing_connects(pki: Pki, make: Maker) -> None:
    """Who doesn't hold the lease stays away, and comes as soon as it does."""
    allowed = threading.Event()
    with ScriptedBroker(pki) as broker:
        agent, got = make(broker.port, may_connect=allowed.is_set)
        time.sleep(0.3)
        assert (broker.tries, got.lost, agent.alive) == (0, 0, True)
        allowed.set()
        eventually(lambda: agent.state.ready)


def test_11_the_sink_runs_outside_the_library(pki: Pki, make: Maker) -> None:
    """A handler may publish, acknowledge and look at everything at once: no lock of paho's is held."""
    with ScriptedBroker(pki) as broker:
        agent, got = make(broker.port)
        eventually(lambda: agent.state.ready)

        def handle(payload: bytes) -> None:
            agent.ack(got.messages[-1][2])
            assert agent.publish(payload, TOPIC, payload)
            assert agent.figures().unacknowledged >= 1

        got.trouble = handle
        for number in range(1, 51):
            broker.peer.deliver(TO_WORKER, str(number).encode(), number)
        eventually(lambda: len(broker.received()) == 50 and len(broker.peer.acknowledged) == 50)
        assert got.lost == 0


def test_12_stop_keeps_its_deadline_while_nothing_is_confirmed(pki: Pki, make: Maker) -> None:
    """Unconfirmed messages never hold the process, and the broker still hears the goodbye."""
    with ScriptedBroker(pki, Script(puback=lambda _: None)) as broker:
        agent, _ = make(broker.port)
        eventually(lambda: agent.state.ready)
        for number in range(50):
            assert agent.publish(number, TOPIC, b"x")
        eventually(lambda: len(broker.received()) == 20)
        started = time.monotonic()
        assert agent.stop(2.0)
        assert time.monotonic() - started < 2.0
        assert agent.backlog == 0
        eventually(lambda: broker.peer.goodbye)
        assert broker.peer.publishes[-1][1:] == ("spacelift/writeonly/POOL/POOL", b"farewell")


def test_12_what_is_out_is_waited_for(pki: Pki, make: Maker) -> None:
    """A stop loses nothing that the broker would still take."""
    with ScriptedBroker(pki) as broker:
        agent, _ = make(broker.port)
        eventually(lambda: agent.state.ready)
        for number in range(200):
            assert agent.publish(number, TOPIC, b"x")
        assert agent.stop(5.0)
        eventually(lambda: len(broker.received()) == 201)


def test_13_one_subscription_and_few_levels(pki: Pki, make: Maker) -> None:
    """AWS IoT takes 50 subscriptions, 8 in a packet, 7 slashes: a pool needs one, and three."""
    with ScriptedBroker(pki) as broker:
        agent, _ = make(broker.port)
        eventually(lambda: agent.state.ready)
        assert [each.count("/") for each in broker.peer.subscriptions] == [3]


def test_17_a_broker_that_closes_after_each_publish_to_a_topic_is_understood(pki: Pki, make: Maker) -> None:
    """As AWS IoT does, and every broker of 3.1.1: the topic is found, told and left alone, the others go on."""
    script = Script(levels=frozenset({4}), puback=lambda topic: "close" if topic == TOPIC else 0)
    with ScriptedBroker(pki, script) as broker:
        agent, got = make(broker.port, refused_first=60.0)

        def ready_again(times: int) -> None:
            eventually(lambda: got.ready == times)
            for number in range(10):
                assert agent.publish(number, TOPIC if number == 5 else f"{OTHER}{number}", b"x")

        ready_again(1)
        eventually(lambda: got.lost == 1)
        ready_again(2)
        eventually(lambda: got.lost == 2)
        assert agent.state.refused.startswith(f"{TOPIC}: the broker closes the connection after each publish")
        ready_again(3)
        eventually(lambda: len(set(broker.peer.topics())) == 9)
        eventually(lambda: agent.backlog == 1)
        assert TOPIC not in broker.peer.topics()
        assert got.lost == 2
        assert broker.received().count(TOPIC) == 2
        assert agent.stop(5.0)


def test_17_a_refused_topic_is_tried_again_later_and_forgiven(pki: Pki, make: Maker) -> None:
    """The policy was mended: nobody has to restart anything."""
    allowed = threading.Event()
    script = Script(puback=lambda topic: 0 if topic != TOPIC or allowed.is_set() else 0x87)
    with ScriptedBroker(pki, script) as broker:
        agent, got = make(broker.port, refused_first=0.4)
        eventually(lambda: agent.state.ready)
        assert agent.publish("k", TOPIC, b"x")
        eventually(lambda: agent.state.refused)
        allowed.set()
        assert agent.publish("k", TOPIC, b"y")
        assert broker.received() == [TOPIC]
        eventually(lambda: broker.received() == [TOPIC] * 2)
        eventually(lambda: not agent.state.refused)
        assert got.lost == 0


def test_17_a_broker_that_dies_under_load_accuses_nobody(pki: Pki, make: Maker) -> None:
    """What was under way is sent alone once, confirmed, and that is all."""
    dying = threading.Event()
    dying.set()
    script = Script(puback=lambda _: "close" if dying.is_set() else 0)
    with ScriptedBroker(pki, script) as broker:
        agent, got = make(broker.port)
        eventually(lambda: agent.state.ready)
        for number in range(100):
            agent.publish(number, f"{OTHER}{number}", b"x")
        eventually(lambda: got.lost == 1)
        dying.clear()
        eventually(lambda: got.ready == 2)
        for number in range(100):
            assert agent.publish(number, f"{OTHER}{number}", b"x")
        eventually(lambda: agent.backlog == 0 and agent.state.ready)
        assert agent.state.refused == ""
        assert len(set(broker.peer.topics())) == 100
        assert got.lost == 1


def test_17_a_publish_that_is_never_confirmed_ends_the_connection(pki: Pki, make: Maker) -> None:
    """A throttling broker drops it without a word: only a new connection sends it again."""
    with ScriptedBroker(pki, Script(puback=lambda _: None)) as broker:
        agent, got = make(broker.port, confirm_timeout=0.3)
        eventually(lambda: agent.state.ready)
        assert agent.publish("k", TOPIC, b"x")
        eventually(lambda: got.lost == 1)
        assert "not confirmed a publish" in agent.state.error


def test_18_the_servers_name_is_always_sent(pki: Pki, make: Maker) -> None:
    """AWS IoT serves nothing without it."""
    with ScriptedBroker(pki) as broker:
        agent, _ = make(broker.port, host="localhost")
        eventually(lambda: agent.state.ready)
        assert broker.peer.server_name == "localhost"


@pytest.mark.parametrize(
    ("name", "begins", "ends", "said"),
    [
        ("future", DAY, 2 * DAY, "not yet valid by the operator's clock"),
        ("past", -2 * DAY, -DAY, "has expired by the operator's clock"),
    ],
)
def test_a_brokers_certificate_of_another_time_says_so(
    pki: Pki, make: Maker, name: str, begins: object, ends: object, said: str
) -> None:
    """Skewed clocks: whose certificate, by whose clock."""
    pki.issue(name, server=True, begins=begins, ends=ends)  # type: ignore[arg-type]
    with ScriptedBroker(pki, certificate=name) as broker:
        agent, got = make(broker.port)
        eventually(lambda: got.lost >= 1)
        assert said in agent.state.error
        assert broker.peers == []


def test_a_broker_of_another_ca_is_refused(make: Maker, tmp_path: Path) -> None:
    """Nothing of ours is sent to it."""
    with ScriptedBroker(Pki(tmp_path)) as broker:
        agent, got = make(broker.port)
        eventually(lambda: got.lost >= 1)
        assert "can't be trusted with the CA of the pool's token" in agent.state.error
        assert broker.peers == []


@pytest.mark.parametrize(
    "refusal",
    [bytes([0x20, 2, 0, 1]), bytes([0x20, 3, 0, 0x84, 0])],
    ids=["as 3.1.1 says it", "as 5 says it"],
)
def test_a_broker_without_mqtt_5_is_spoken_to_in_3_1_1(pki: Pki, make: Maker, refusal: bytes) -> None:
    """Warned of once, remembered, and told in the state."""
    with ScriptedBroker(pki, Script(levels=frozenset({4}), refusal=refusal)) as broker:
        agent, got = make(broker.port)
        eventually(lambda: agent.state.ready)
        assert "MQTT 3.1.1 only" in agent.state.limited
        broker.peer.cut()
        eventually(lambda: got.ready == 2)
        assert [peer.level for peer in broker.peers] == [5, 4, 4]
        assert (got.lost, agent.state.failures) == (1, 1)


def test_another_refusal_is_no_reason_to_speak_3_1_1(pki: Pki, make: Maker) -> None:
    """Not authorised is not authorised in any version."""
    script = Script(levels=frozenset(), refusal=bytes([0x20, 3, 0, 0x87, 0]))
    with ScriptedBroker(pki, script) as broker:
        agent, got = make(broker.port)
        eventually(lambda: got.lost >= 3)
        assert {peer.level for peer in broker.peers} == {5}
        assert "Not authorized" in agent.state.error


def test_what_arrives_in_a_burst_is_all_taken(pki: Pki, make: Maker) -> None:
    """TLS may hand over many packets at once, and the socket alone doesn't show it."""
    with ScriptedBroker(pki) as broker:
        agent, got = make(broker.port)
        got.acknowledge = agent.ack
        eventually(lambda: agent.state.ready)
        for number in range(1, 1001):
            broker.peer.deliver(TO_WORKER, str(number).encode(), number)
        eventually(lambda: len(broker.peer.acknowledged) == 1000)
        assert got.bodies() == [str(number).encode() for number in range(1, 1001)]


def test_bytes_that_are_no_mqtt_end_one_connection_and_nothing_else(pki: Pki, make: Maker) -> None:
    """The next one is made, and works."""
    with ScriptedBroker(pki) as broker:
        agent, got = make(broker.port)
        eventually(lambda: agent.state.ready)
        broker.peer.send(bytes([0x32, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]))
        eventually(lambda: got.ready == 2)
        broker.peer.deliver(TO_WORKER, b"fine", 1)
        eventually(lambda: got.bodies() == [b"fine"])


def test_a_turn_without_traffic_costs_next_to_nothing(pki: Pki, make: Maker) -> None:
    """Idle is idle: no busy waiting, paced or not."""
    with ScriptedBroker(pki) as broker:
        agent, _ = make(broker.port, publish_rate=10.0)
        eventually(lambda: agent.state.ready)
        before = time.process_time()
        time.sleep(1.0)
        assert time.process_time() - before < 0.2
