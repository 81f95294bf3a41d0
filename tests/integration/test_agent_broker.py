"""The agent's MQTT connection against a real Mosquitto with TLS and client certificates, and a scripted broker.

The rows named here are those of the MQTT facts that decided the design.
"""

import datetime as dt
import ipaddress
import signal
import socket
import ssl
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from app.agent.connection import Connection
from app.agent.link import AckToken, ConnectionSettings

HOST = "127.0.0.1"


def eventually(condition: Callable[[], object], seconds: float = 10.0) -> None:
    """Wait for a condition with a deadline."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "the condition did not come true in time"
        time.sleep(0.01)


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


class Pki:
    """A CA, a server certificate for loopback, and client certificates."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.ca = self._sign(self.key.public_key(), "ca", ca=True)
        (folder / "ca.crt").write_bytes(self.ca)
        self.issue("broker", server=True)

    def issue(self, name: str, *, server: bool = False) -> None:
        """Write `<name>.crt` and `<name>.key`."""
        key = ec.generate_private_key(ec.SECP256R1())
        (self.folder / f"{name}.crt").write_bytes(self._sign(key.public_key(), name, server=server))
        (self.folder / f"{name}.key").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )

    def client(self, name: str) -> ssl.SSLContext:
        """Return a client's context."""
        if not (self.folder / f"{name}.crt").exists():
            self.issue(name)
        context = ssl.create_default_context(cadata=self.ca.decode())
        context.load_cert_chain(self.folder / f"{name}.crt", self.folder / f"{name}.key")
        return context

    def _sign(
        self, public: ec.EllipticCurvePublicKey, name: str, *, ca: bool = False, server: bool = False
    ) -> bytes:
        now = dt.datetime.now(dt.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ca")]))
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - dt.timedelta(minutes=5))
            .not_valid_after(now + dt.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if server:
            names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HOST))])
            builder = builder.add_extension(names, critical=False)
        return builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


class Broker:
    """A Mosquitto process with a configuration as production has it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.config = folder / "mosquitto.conf"
        (folder / "data").mkdir()
        (folder / "acl").write_text(
            "user mothership\ntopic readwrite spacelift/#\n"
            "pattern read spacelift/readonly/%u/#\npattern write spacelift/writeonly/%u/#\n"
        )
        self.config.write_text(
            f"""
listener {self.port} {HOST}
cafile {folder}/ca.crt
certfile {folder}/broker.crt
keyfile {folder}/broker.key
require_certificate true
use_identity_as_username true
acl_file {folder}/acl
allow_anonymous false
set_tcp_nodelay true
persistence true
persistence_location {folder}/data/
max_queued_messages 10000
log_dest file {folder}/mosquitto.log
"""
        )
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start, and wait until it listens."""
        user = ["-c", str(self.config)]
        self.process = subprocess.Popen(["mosquitto", *user], stderr=subprocess.DEVNULL)

        def listens() -> bool:
            with socket.socket() as probe:
                return probe.connect_ex((HOST, self.port)) == 0

        eventually(listens)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End the process."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(10)
            self.process = None

    def save(self) -> None:
        """Have it write its state to disk, as it does by itself now and then."""
        assert self.process is not None
        saved = self.folder / "data" / "mosquitto.db"
        before = saved.stat().st_mtime_ns if saved.exists() else 0
        self.process.send_signal(signal.SIGUSR1)
        eventually(lambda: saved.exists() and saved.stat().st_mtime_ns > before)

    def forget(self) -> None:
        """Lose everything that was kept."""
        for file in (self.folder / "data").iterdir():
            file.unlink()


class Recorder:
    """A sink that keeps what it is told; `trouble` is called with each message and may raise."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, bytes, AckToken]] = []
        self.ready = self.lost = 0
        self.trouble: Callable[[bytes], None] = lambda _: None
        self.acknowledge: Callable[[AckToken], None] = lambda _: None

    def on_message(self, topic: str, payload: bytes, token: AckToken) -> None:
        """Keep a message."""
        self.messages.append((topic, payload, token))
        self.trouble(payload)
        self.acknowledge(token)

    def on_ready(self) -> None:
        """Count."""
        self.ready += 1

    def on_lost(self) -> None:
        """Count."""
        self.lost += 1

    def bodies(self) -> list[bytes]:
        """Return the payloads."""
        return [payload for _, payload, _ in self.messages]


@pytest.fixture
def pki(tmp_path: Path) -> Pki:
    """Return certificates of this test alone."""
    # Started as root, Mosquitto drops to a user of its own, who must be able to read and write here.
    for parent in (tmp_path, *tmp_path.parents):
        if parent == Path("/tmp"):  # noqa: S108
            break
        parent.chmod(0o755)
    return Pki(tmp_path)


@pytest.fixture
def broker(tmp_path: Path, pki: Pki) -> Iterator[Broker]:
    """Run a broker."""
    broker = Broker(pki.folder)
    (tmp_path / "data").chmod(0o777)
    for file in tmp_path.iterdir():
        if file.is_file():
            file.chmod(0o644)
    broker.config.write_text(broker.config.read_text() + "user root\n")
    broker.start()
    yield broker
    broker.stop()


@pytest.fixture
def make(pki: Pki) -> Iterator[Callable[..., tuple[Connection, Recorder]]]:
    """Make connections that end with the test."""
    made: list[Connection] = []

    def build(port: int, user: str = "POOL", **changes: object) -> tuple[Connection, Recorder]:
        will = f"spacelift/writeonly/{user}/{user}"
        known: dict[str, object] = {
            "host": HOST,
            "port": port,
            "client_id": f"client-{user}",
            "subscription": f"spacelift/readonly/{user}/+",
            "tls": pki.client(user),
            "will_topic": will,
            "will_payload": b"will",
            "farewell": lambda: (will, b"farewell"),
            "backoff_first": 0.05,
            "backoff_most": 0.3,
            "will_delay": 0,
            "connect_timeout": 3.0,
        }
        recorder = Recorder()
        connection = Connection(ConnectionSettings(**{**known, **changes}), recorder)  # type: ignore[arg-type]
        made.append(connection)
        connection.start()
        return connection, recorder

    yield build
    for connection in made:
        connection.stop(3.0)
        assert not connection.alive


Make = Callable[..., tuple[Connection, Recorder]]


def mothership(make: Make, broker: Broker) -> tuple[Connection, Recorder]:
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


def test_messages_go_both_ways(broker: Broker, make: Make) -> None:
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


def test_an_exception_in_the_sink_ends_neither_thread_nor_delivery(broker: Broker, make: Make) -> None:
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
    broker: Broker, make: Make
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


def test_an_acknowledgement_of_an_older_connection_is_dropped(broker: Broker, make: Make) -> None:
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


def test_a_broker_that_forgot_the_session_is_noticed(broker: Broker, make: Make) -> None:
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


def test_a_stopped_operator_finds_what_came_meanwhile(broker: Broker, make: Make) -> None:
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


def test_a_message_is_acknowledged_for_a_stalled_handler(broker: Broker, make: Make) -> None:
    """A Kubernetes API that is away never blocks cancel and release behind a claim."""
    boss, _ = mothership(make, broker)
    agent, got = make(broker.port, ack_deadline=0.3)
    eventually(lambda: agent.state.ready)
    send(boss, b"stalled")
    eventually(lambda: len(got.messages) == 1)
    eventually(lambda: not agent._unacked, 3.0)
    assert agent.state.ready


def test_a_thousand_messages_are_paced_and_all_arrive(broker: Broker, make: Make) -> None:
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


def test_two_clients_of_one_id_fight_ever_more_rarely(broker: Broker, make: Make) -> None:
    """Row 10: a connection that doesn't stand for a while makes the next pause longer, also without a reason code."""
    first, got = make(broker.port, backoff_most=60.0)
    eventually(lambda: first.state.ready)
    second, _ = make(broker.port, backoff_most=60.0)
    eventually(lambda: got.lost >= 4 and second.state.epoch >= 4, 30)
    assert min(first._failures, second._failures) >= 3


def test_a_broker_of_another_ca_is_refused(broker: Broker, make: Make, tmp_path: Path) -> None:
    """The server's certificate is always checked; the thread goes on trying."""
    (tmp_path / "other").mkdir()
    other = Pki(tmp_path / "other")
    agent, got = make(broker.port, tls=other.client("POOL"))
    eventually(lambda: got.lost >= 2)
    assert "certificate" in agent.state.error.lower()
    assert agent.alive
    assert not agent.state.ready


# --- what Mosquitto doesn't do on demand: a broker that follows a script ---


class ScriptedBroker:
    """Answers CONNECT and SUBSCRIBE as told, and nothing else."""

    def __init__(
        self, pki: Pki, *, suback: int = 1, answer_subscribe: bool = True, goodbye: int | None = None
    ) -> None:
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(pki.folder / "broker.crt", pki.folder / "broker.key")
        self._suback, self._answer, self._goodbye = suback, answer_subscribe, goodbye
        self._listener = socket.create_server((HOST, 0))
        self.port = int(self._listener.getsockname()[1])
        self.received: list[int] = []
        self._closing = False
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def close(self) -> None:
        """End."""
        self._closing = True
        self._listener.close()
        for thread in self._threads:
            thread.join(5)

    def _accept(self) -> None:
        while not self._closing:
            try:
                raw, _ = self._listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=self._serve, args=(raw,), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, raw: socket.socket) -> None:
        raw.settimeout(0.2)
        try:
            with self._context.wrap_socket(raw, server_side=True) as sock:
                while not self._closing:
                    try:
                        head = sock.recv(1)
                    except TimeoutError:
                        continue
                    if not head:
                        return
                    self._packet(sock, head[0] >> 4)
        except OSError:
            return
        finally:
            raw.close()

    def _packet(self, sock: ssl.SSLSocket, kind: int) -> None:
        length, shift = 0, 0
        while True:
            byte = sock.recv(1)[0]
            length |= (byte & 127) << shift
            shift += 7
            if not byte & 128:
                break
        body = b""
        while len(body) < length:
            body += sock.recv(length - len(body))
        self.received.append(kind)
        if kind == 1:
            sock.sendall(bytes([0x20, 3, 0, 0, 0]))
        elif kind == 8 and self._answer:
            sock.sendall(bytes([0x90, 4]) + body[:2] + struct.pack("BB", 0, self._suback))
            if self._goodbye is not None:
                sock.sendall(bytes([0xE0, 1, self._goodbye]))


@pytest.mark.parametrize("reason", [0x80, 0x87], ids=["unspecified", "not authorised"])
def test_a_refused_subscription_is_never_ready(pki: Pki, make: Make, reason: int) -> None:
    """Row 9: granted is what the SUBACK says; the refusal is told, and tried again."""
    scripted = ScriptedBroker(pki, suback=reason)
    try:
        agent, got = make(scripted.port)
        eventually(lambda: got.lost >= 2)
        assert got.ready == 0
        assert "refused the subscription" in agent.state.error
        assert agent.alive
    finally:
        scripted.close()


def test_a_broker_that_never_answers_is_given_up(pki: Pki, make: Make) -> None:
    """Connected but not granted is not connected."""
    scripted = ScriptedBroker(pki, answer_subscribe=False)
    try:
        agent, got = make(scripted.port, connect_timeout=0.3)
        eventually(lambda: got.lost >= 1)
        assert "in time" in agent.state.error
    finally:
        scripted.close()


def test_who_lost_its_session_to_another_client_waits_long(pki: Pki, make: Make) -> None:
    """Row 10: told by the reason code, it doesn't kick the other one out at once."""
    scripted = ScriptedBroker(pki, goodbye=0x8E)
    try:
        agent, got = make(scripted.port)
        eventually(lambda: got.lost == 1)
        assert agent.state.taken_over
        assert scripted.received.count(1) == 1
    finally:
        scripted.close()


def test_stop_keeps_its_deadline_while_nothing_is_confirmed(pki: Pki, make: Make) -> None:
    """Row 12: unconfirmed messages never hold the process."""
    scripted = ScriptedBroker(pki)
    try:
        agent, _ = make(scripted.port)
        eventually(lambda: agent.state.ready)
        for number in range(50):
            assert agent.publish(number, "t", b"x")
        eventually(lambda: scripted.received.count(3) == 20)
        started = time.monotonic()
        assert agent.stop(2.0)
        assert time.monotonic() - started < 2.0
        assert agent.backlog == 0
    finally:
        scripted.close()
