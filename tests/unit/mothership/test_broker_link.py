"""The mothership's connection to its broker, against one that follows a script; docs/mqtt.md has the rows."""

import queue
import time
from collections.abc import Callable, Iterator

import paho.mqtt.client as mqtt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from mothership import broker_client, broker_link
from mothership.broker_client import Drops
from mothership.broker_link import Arrived, BrokerLink, Down, Event, LinkSettings, Published, Up
from mothership.decisions.reconnecting import Pace, failures_after, pause
from mothership.settings import Address
from protocol import MAX_PAYLOAD_BYTES
from tests.mqtt_parts import DAY, HOST, Pki, Script, ScriptedBroker, eventually

TOPIC = "spacelift/readonly/POOL/WORKER"
FROM_WORKER = "spacelift/writeonly/POOL/WORKER"


class Linked:
    """A link and what it said."""

    def __init__(self, pki: Pki, port: int, name: str = "mothership", **chosen: object) -> None:
        self.events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self.seen: list[Event] = []
        if not (pki.folder / f"{name}.crt").exists():
            pki.issue(name)
        base = pki.folder / name
        settings = LinkSettings(
            broker=Address(HOST, port),
            client_id="mothership-1",
            subscription="spacelift/writeonly/#",
            ca_file=str(pki.folder / "ca.crt"),
            certificate_file=f"{base}.crt",
            key_file=f"{base}.key",
            **chosen,  # type: ignore[arg-type]
        )
        self.link = BrokerLink(settings, self.events)
        self.link.start()

    def count(self, kind: type[Event]) -> int:
        """Return how many events of a kind came."""
        while not self.events.empty():
            self.seen.append(self.events.get())
        return sum(isinstance(each, kind) for each in self.seen)

    def up(self, times: int = 1) -> None:
        """Wait until the link is up for the so-manieth time."""
        eventually(lambda: self.count(Up) == times, 30)


Connected = Callable[..., Linked]


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Pki:
    """Return certificates of this module."""
    return Pki(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def link(pki: Pki, monkeypatch: pytest.MonkeyPatch) -> Iterator[Connected]:
    """Make links that end with the test, and that don't pause for long."""
    made: list[Linked] = []
    pauses: list[tuple[int, bool]] = []

    def soon(failures: int, _chance: float, *, taken_over: bool) -> float:
        pauses.append((failures, taken_over))
        return 0.02

    monkeypatch.setattr(broker_link, "pause", soon)

    def build(port: int, **chosen: object) -> Linked:
        made.append(Linked(pki, port, **chosen))  # type: ignore[arg-type]
        return made[-1]

    build.pauses = pauses  # type: ignore[attr-defined]
    yield build
    for each in made:
        each.link.stop(10.0)
        assert not each.link.alive


@pytest.mark.parametrize("level", [5, 4])
def test_both_versions_carry_messages_both_ways(pki: Pki, link: Connected, level: int) -> None:
    """Persistent session, acknowledged by hand, on a broker of either version."""
    with ScriptedBroker(pki, Script(levels=frozenset({level}))) as broker, capture_logs() as logs:
        linked = link(broker.port)
        linked.up()
        assert (broker.peer.level, broker.peer.clean, broker.peer.client_id) == (level, False, "mothership-1")
        assert linked.link.publish(TOPIC, b"to worker")
        eventually(lambda: broker.peer.topics() == [TOPIC] and linked.count(Published) == 1)
        broker.peer.deliver(FROM_WORKER, b"from worker", 5)
        eventually(lambda: linked.count(Arrived) == 1)
        assert broker.peer.acknowledged == []
        next(each for each in linked.seen if isinstance(each, Arrived)).acknowledge()
        eventually(lambda: broker.peer.acknowledged == [5])
        broker.peer.cut()
        linked.up(2)
        assert broker.peer.level == level
    warnings = [each for each in logs if "3.1.1" in each["event"]]
    assert len(warnings) == (1 if level == 4 else 0)


def test_9_nothing_is_up_before_the_subscription_is_granted(pki: Pki, link: Connected) -> None:
    """Nor is anything published: answers couldn't be heard."""
    with ScriptedBroker(pki, Script(suback=0x87)) as broker:
        linked = link(broker.port)
        eventually(lambda: linked.count(Down) >= 2)
        assert linked.count(Up) == 0
        assert not linked.link.publish(TOPIC, b"x")
        broker.script.suback = 1
        linked.up()


def test_10_a_session_that_was_taken_over_is_known_as_such(pki: Pki, link: Connected) -> None:
    """And one that is closed at once counts as a failed try, whatever it was."""
    with ScriptedBroker(pki, Script(goodbye=0x8E)) as broker:
        linked = link(broker.port)
        eventually(lambda: linked.count(Down) >= 3)
        assert link.pauses[:3] == [(1, True), (2, True), (3, True)]  # type: ignore[attr-defined]


def test_12_stop_keeps_its_deadline(pki: Pki, link: Connected) -> None:
    """Whatever is unconfirmed."""
    with ScriptedBroker(pki, Script(puback=lambda _: None)) as broker:
        linked = link(broker.port)
        linked.up()
        for _ in range(50):
            assert linked.link.publish(TOPIC, b"x")
        started = time.monotonic()
        linked.link.stop(2.0)
        assert not linked.link.alive
        assert time.monotonic() - started < 5.0


def test_13_a_payload_that_is_too_large_is_told_and_takes_no_window(pki: Pki, link: Connected) -> None:
    """It would end the connection; it counts as gone."""
    with ScriptedBroker(pki) as broker:
        linked = link(broker.port)
        linked.up()
        assert linked.link.publish(TOPIC, b"x" * (MAX_PAYLOAD_BYTES + 1))
        assert linked.count(Published) == 1
        assert linked.link.publish(TOPIC, b"x" * MAX_PAYLOAD_BYTES)
        eventually(lambda: linked.count(Published) == 2)
        assert [len(body) for _, _, body in broker.peer.publishes] == [MAX_PAYLOAD_BYTES]


def test_15_a_broker_that_drops_messages_is_told_of(pki: Pki, link: Connected) -> None:
    """What it has dropped before this process is no news; a broker that doesn't tell is no fault."""
    drops = "$SYS/broker/publish/messages/dropped"
    with ScriptedBroker(pki) as broker, capture_logs() as logs:
        linked = link(broker.port, drops_topic=drops)
        linked.up()
        eventually(lambda: broker.peer.subscriptions == ["spacelift/writeonly/#", drops])
        for total in (b"7", b"7", b"9", b"nonsense"):
            broker.peer.deliver(drops, total, 1)
        eventually(lambda: any(each["event"] == "broker drops messages" for each in logs))
        assert linked.count(Arrived) == 0
    assert [each["total"] for each in logs if each["event"] == "broker drops messages"] == [9]
    assert not Drops().told(b"3")


def test_2_a_rate_is_kept(pki: Pki, link: Connected) -> None:
    """AWS IoT takes 100 a second; nothing is lost or reordered by waiting."""
    with ScriptedBroker(pki) as broker:
        linked = link(broker.port, publish_rate=50.0)
        linked.up()
        started = time.monotonic()
        for number in range(50):
            assert linked.link.publish(TOPIC, str(number).encode())
        eventually(lambda: linked.count(Published) == 50)
        assert time.monotonic() - started > 0.7
        assert [body for _, _, body in broker.peer.publishes] == [
            str(number).encode() for number in range(50)
        ]


def test_17_a_refused_publish_and_an_instant_end_are_told(pki: Pki, link: Connected) -> None:
    """By word in MQTT 5, by deed in 3.1.1."""
    with ScriptedBroker(pki, Script(puback=lambda _: 0x87)) as broker, capture_logs() as logs:
        linked = link(broker.port)
        linked.up()
        linked.link.publish(TOPIC, b"x")
        eventually(lambda: any(each["event"] == "broker refused a publish" for each in logs))
        assert linked.count(Published) == 1
        broker.script.puback = lambda _: "close"
        linked.link.publish(TOPIC, b"x")
        eventually(lambda: any(each["event"] == "broker closed right after a publish" for each in logs))


def test_an_end_that_is_quicker_than_the_note_of_its_publish_is_told(
    pki: Pki, link: Connected, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broker answers while the thread that publishes has yet to note what it sent."""
    publish = mqtt.Client.publish

    def slow(client: mqtt.Client, topic: str, payload: bytes, qos: int) -> mqtt.MQTTMessageInfo:
        sent = publish(client, topic, payload, qos)
        eventually(lambda: not client.is_connected())
        time.sleep(0.2)  # what the connection's own thread needs to see its end
        return sent

    monkeypatch.setattr(mqtt.Client, "publish", slow)
    with ScriptedBroker(pki, Script(puback=lambda _: "close")) as broker, capture_logs() as logs:
        linked = link(broker.port)
        linked.up()
        linked.link.publish(TOPIC, b"x")
        eventually(lambda: any(each["event"] == "broker closed right after a publish" for each in logs))


def test_a_publish_that_is_never_confirmed_ends_the_connection(
    pki: Pki, link: Connected, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A window that is never given back would stop everything."""
    monkeypatch.setattr(broker_client, "CONFIRM_TIMEOUT_SECONDS", 0.2)
    with ScriptedBroker(pki, Script(puback=lambda _: None)) as broker:
        linked = link(broker.port)
        linked.up()
        linked.link.publish(TOPIC, b"x")
        linked.up(2)


def test_18_a_certificate_is_read_anew_for_each_connection(pki: Pki, link: Connected) -> None:
    """Replaced, broken for a moment, and good again: no restart."""
    with ScriptedBroker(pki) as broker:
        linked = link(broker.port, name="rotated")
        linked.up()
        certificate = pki.folder / "rotated.crt"
        certificate.write_bytes(b"half a fi")
        broker.peer.cut()
        eventually(lambda: linked.count(Down) >= 3)
        assert linked.link.alive
        pki.issue("rotated")
        linked.up(2)


def test_a_brokers_certificate_from_the_future_says_so(pki: Pki, link: Connected) -> None:
    """The mothership's clock is behind, or the broker's was ahead."""
    pki.issue("future", server=True, begins=DAY, ends=2 * DAY)
    with ScriptedBroker(pki, certificate="future") as broker, capture_logs() as logs:
        linked = link(broker.port)
        eventually(lambda: linked.count(Down) >= 1)
    assert any("not yet valid" in str(each.get("error")) for each in logs)


@given(failures=st.integers(0, 10_000), chance=st.floats(0.0, 1.0))
def test_pauses_are_a_second_at_least_and_bounded(failures: int, chance: float) -> None:
    """With jitter, and long for who was thrown out."""
    assert 1.0 <= pause(failures, chance, taken_over=False) <= 30.0
    assert 15.0 <= pause(failures, chance, taken_over=True) <= 30.0


def test_only_a_connection_that_stood_begins_the_pauses_anew() -> None:
    """Ten seconds are standing."""
    assert (failures_after(5, 9.9), failures_after(5, 10.0)) == (6, 1)


@given(rate=st.floats(1.0, 40.0), steps=st.lists(st.floats(0.0, 0.5), min_size=1, max_size=40))
def test_no_second_sees_more_than_its_rate_and_a_tenth(rate: float, steps: list[float]) -> None:
    """Whenever one looks."""
    pace, now, sent = Pace(rate, 1.0, 0.0), 0.0, []
    for step in steps:
        now += step
        pace = pace.at_time(now)
        while pace.wait() == 0.0:
            pace = pace.after_one()
            sent.append(now)
    for first in sent:
        assert sum(1 for each in sent if first <= each < first + 1.0) <= rate * 1.1 + 1
