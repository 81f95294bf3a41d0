"""Parts for tests of MQTT connections: certificates, a real Mosquitto, and a broker that follows a script."""

import contextlib
import datetime as dt
import ipaddress
import select
import signal
import socket
import ssl
import struct
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from app.agent.connection import Connection
from app.agent.link import AckToken, ConnectionSettings

HOST = "127.0.0.1"
DAY = dt.timedelta(days=1)


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

    def issue(
        self,
        name: str,
        *,
        server: bool = False,
        begins: dt.timedelta = -DAY,
        ends: dt.timedelta = DAY,
        subject: str = "",
    ) -> None:
        """Write `<name>.crt` and `<name>.key`, valid from and to these distances from now."""
        key = ec.generate_private_key(ec.SECP256R1())
        signed = self._sign(key.public_key(), subject or name, server=server, begins=begins, ends=ends)
        (self.folder / f"{name}.crt").write_bytes(signed)
        (self.folder / f"{name}.key").write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )

    def signed(self, public: ec.EllipticCurvePublicKey | rsa.RSAPublicKey, name: str) -> bytes:
        """Return a certificate for somebody's key, valid now."""
        return self._sign(public, name)

    def client(self, name: str) -> ssl.SSLContext:
        """Return a client's context."""
        if not (self.folder / f"{name}.crt").exists():
            self.issue(name)
        context = ssl.create_default_context(cadata=self.ca.decode())
        context.load_cert_chain(self.folder / f"{name}.crt", self.folder / f"{name}.key")
        return context

    def server(self, name: str = "broker", *, client_certificates: bool = False) -> ssl.SSLContext:
        """Return a server's context."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder / f"{name}.crt", self.folder / f"{name}.key")
        if client_certificates:
            context.load_verify_locations(self.folder / "ca.crt")
            context.verify_mode = ssl.CERT_REQUIRED
        return context

    def _sign(
        self,
        public: ec.EllipticCurvePublicKey | rsa.RSAPublicKey,
        name: str,
        *,
        ca: bool = False,
        server: bool = False,
        begins: dt.timedelta = -DAY,
        ends: dt.timedelta = DAY,
    ) -> bytes:
        now = dt.datetime.now(dt.UTC)
        builder = (
            x509.CertificateBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
            .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ca")]))
            .public_key(public)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now + begins)
            .not_valid_after(now + ends)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        )
        if server:
            names = [x509.IPAddress(ipaddress.ip_address(HOST)), x509.DNSName("localhost")]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        return builder.sign(self.key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


class Broker:
    """A Mosquitto process with a configuration as production has it."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.port = folder, free_port()
        self.config = folder / "mosquitto.conf"
        (folder / "data").mkdir()
        (folder / "acl").write_text(
            "user mothership\ntopic readwrite spacelift/#\ntopic read $SYS/#\n"
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
sys_interval 1
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


class Maker:
    """Makes connections of the agent that end with the test."""

    def __init__(self, pki: Pki) -> None:
        self._pki = pki
        self._made: list[Connection] = []

    def __call__(self, port: int, user: str = "POOL", **changes: object) -> tuple[Connection, Recorder]:
        """Start a connection that tries again soon; `changes` are fields of its settings."""
        will = f"spacelift/writeonly/{user}/{user}"
        known: dict[str, object] = {
            "host": HOST,
            "port": port,
            "client_id": f"client-{user}",
            "subscription": f"spacelift/readonly/{user}/+",
            "tls": changes.pop("tls", None) or self._pki.client(user),
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
        self._made.append(connection)
        connection.start()
        return connection, recorder

    def close(self) -> None:
        """End them all."""
        for connection in self._made:
            connection.stop(3.0)
            assert not connection.alive


@dataclass
class Script:
    """How a scripted broker behaves.

    `levels` are the protocol levels it speaks and `refusal` its CONNACK for others; `connack` is appended to the
    CONNACK of MQTT 5; `suback` answers subscriptions, None: not at all; `puback` says for a topic the reason code, None
    for silence, or "close"; `goodbye` is the reason of a DISCONNECT right after the SUBACK.
    """

    levels: frozenset[int] = frozenset({4, 5})
    refusal: bytes = bytes([0x20, 2, 0, 1])
    session_present: bool = False
    connack: bytes = b""
    suback: int | None = 1
    puback: Callable[[str], int | str | None] = lambda _: 0
    goodbye: int | None = None
    client_certificates: bool = False


@dataclass
class Peer:
    """One connection that was made to a scripted broker, and what came over it."""

    sock: ssl.SSLSocket
    server_name: str | None
    level: int = 0
    clean: bool = False
    client_id: str = ""
    will: bool = False
    subscriptions: list[str] = field(default_factory=list)
    publishes: list[tuple[float, str, bytes]] = field(default_factory=list)
    acknowledged: list[int] = field(default_factory=list)
    goodbye: bool = False
    closed: bool = False
    turn: threading.Lock = field(default_factory=threading.Lock)
    """Held by the thread that uses the socket: TLS in Python 3.11 must not be read and written at once."""

    def topics(self) -> list[str]:
        """Return where messages went, in order."""
        return [topic for _, topic, _ in self.publishes]

    def deliver(self, topic: str, payload: bytes, mid: int) -> None:
        """Send a message of QoS 1."""
        body = _text(topic) + struct.pack("!H", mid) + (b"\0" if self.level == 5 else b"") + payload
        self.send(_packet(0x32, body))

    def send(self, data: bytes) -> None:
        """Send bytes."""
        with self.turn:
            self.sock.sendall(data)

    def cut(self) -> None:
        """End the connection without a word."""
        with contextlib.suppress(OSError):
            # Not SSLSocket's own: it would have what is left read as if it were not encrypted.
            socket.socket.shutdown(self.sock, socket.SHUT_RDWR)


class ScriptedBroker:
    """A broker in small over real TLS, that does what no real one does on demand. Both versions of MQTT."""

    def __init__(self, pki: Pki, script: Script | None = None, *, certificate: str = "broker") -> None:
        self.script = script or Script()
        self._context = pki.server(certificate, client_certificates=self.script.client_certificates)
        self._names: dict[int, str | None] = {}
        self._context.sni_callback = self._named
        self._listener = socket.create_server((HOST, 0))
        self.port = int(self._listener.getsockname()[1])
        self.peers: list[Peer] = []
        self.tries = 0
        self._closing = False
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def __enter__(self) -> "ScriptedBroker":
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    @property
    def peer(self) -> Peer:
        """The newest connection."""
        return self.peers[-1]

    def received(self) -> list[str]:
        """Return the topics of everything that was published, over all connections."""
        return [topic for peer in self.peers for topic in peer.topics()]

    def close(self) -> None:
        """End."""
        self._closing = True
        # A closed listener doesn't wake its accept(): one more connection does.
        with contextlib.suppress(OSError), socket.create_connection((HOST, self.port), 1):
            pass
        self._listener.close()
        for peer in self.peers:
            peer.cut()
        for thread in self._threads:
            thread.join(5)
            assert not thread.is_alive()

    def _named(self, sock: ssl.SSLObject, name: str | None, _context: ssl.SSLContext) -> None:
        self._names[id(sock)] = name

    def _accept(self) -> None:
        while not self._closing:
            try:
                raw, _ = self._listener.accept()
            except OSError:
                return
            self.tries += 1
            thread = threading.Thread(target=self._serve, args=(raw,), daemon=True)
            thread.start()
            self._threads.append(thread)

    def _serve(self, raw: socket.socket) -> None:
        raw.settimeout(0.2)
        try:
            with self._context.wrap_socket(raw, server_side=True) as sock:
                peer = Peer(sock, self._names.pop(id(sock), None))
                try:
                    self._talk(peer)
                finally:
                    peer.closed = True
        except (OSError, IndexError):
            return
        finally:
            raw.close()

    def _talk(self, peer: Peer) -> None:
        while not self._closing:
            if not peer.sock.pending() and not select.select([peer.sock], [], [], 0.2)[0]:
                continue
            with peer.turn:
                try:
                    head = peer.sock.recv(1)
                except TimeoutError:
                    continue
                if not head or not self._answer(peer, head[0], _body(peer.sock)):
                    return

    def _answer(self, peer: Peer, head: int, body: bytes) -> bool:
        """Answer a packet; return False when the connection is to end."""
        kind = head >> 4
        if kind == 1:
            return self._connect(peer, body)
        if kind == 3:
            return self._publish(peer, body)
        if kind == 4:
            peer.acknowledged.append(struct.unpack("!H", body[:2])[0])
        elif kind == 8:
            return self._subscribe(peer, body)
        elif kind == 12:
            peer.sock.sendall(bytes([0xD0, 0]))
        elif kind == 14:
            peer.goodbye = True
            return False
        return True

    def _connect(self, peer: Peer, body: bytes) -> bool:
        peer.level, flags = body[6], body[7]
        peer.clean, peer.will = bool(flags & 2), bool(flags & 4)
        rest = body[10:]
        if peer.level == 5:
            rest = rest[1 + rest[0] :]
        peer.client_id = rest[2 : 2 + struct.unpack("!H", rest[:2])[0]].decode()
        self.peers.append(peer)
        if peer.level not in self.script.levels:
            peer.sock.sendall(self.script.refusal)
            return False
        present = int(self.script.session_present)
        extra = self.script.connack
        properties = bytes([len(extra)]) + extra if peer.level == 5 else b""
        peer.sock.sendall(_packet(0x20, bytes([present, 0]) + properties))
        return True

    def _subscribe(self, peer: Peer, body: bytes) -> bool:
        rest = body[2:] if peer.level == 4 else body[3 + body[2] :]
        while rest:
            length = struct.unpack("!H", rest[:2])[0]
            peer.subscriptions.append(rest[2 : 2 + length].decode())
            rest = rest[3 + length :]
        if self.script.suback is None:
            return True
        properties = b"\0" if peer.level == 5 else b""
        peer.sock.sendall(_packet(0x90, body[:2] + properties + bytes([self.script.suback])))
        if self.script.goodbye is not None:
            peer.sock.sendall(bytes([0xE0, 1, self.script.goodbye]))
        return True

    def _publish(self, peer: Peer, body: bytes) -> bool:
        length = struct.unpack("!H", body[:2])[0]
        topic, mid, rest = body[2 : 2 + length].decode(), body[2 + length : 4 + length], body[4 + length :]
        if peer.level == 5:
            rest = rest[1 + rest[0] :]
        answer = self.script.puback(topic)
        peer.publishes.append((time.monotonic(), topic, rest))
        if answer == "close":
            return False
        if isinstance(answer, int):
            reason = bytes([answer]) if peer.level == 5 and answer else b""
            peer.sock.sendall(_packet(0x40, mid + reason))
        return True


class VersionGuard:
    """Stands before a real broker, refuses MQTT 5 as an old one does, and passes 3.1.1 on as it is."""

    def __init__(self, pki: Pki, broker_port: int, user: str) -> None:
        self._server, self._client = pki.server(), pki.client(user)
        self._broker_port = broker_port
        self._listener = socket.create_server((HOST, 0))
        self.port = int(self._listener.getsockname()[1])
        self.refused = 0
        self._sockets: list[socket.socket] = []
        self._closing = False
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def __enter__(self) -> "VersionGuard":
        return self

    def __exit__(self, *_error: object) -> None:
        self._closing = True
        with contextlib.suppress(OSError), socket.create_connection((HOST, self.port), 1):
            pass
        self._listener.close()
        self.cut()
        for thread in self._threads:
            thread.join(5)
            assert not thread.is_alive()

    def cut(self) -> None:
        """End what stands."""
        for sock in self._sockets:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            raw, _ = self._listener.accept()
            if self._closing:
                raw.close()
                return
            self._start(self._serve, raw)

    def _start(self, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        thread.start()
        self._threads.append(thread)

    def _serve(self, raw: socket.socket) -> None:
        with (
            contextlib.suppress(OSError, IndexError),
            self._server.wrap_socket(raw, server_side=True) as near,
        ):
            head = near.recv(1)
            body = _body(near)
            if body[6] != 4:
                self.refused += 1
                near.sendall(bytes([0x20, 2, 0, 1]))
                return
            plain = socket.create_connection((HOST, self._broker_port))
            with self._client.wrap_socket(plain, server_hostname=HOST) as far:
                self._sockets += [near, far]
                far.sendall(_packet(head[0], body))
                self._start(self._pass_on, far, near)
                self._pass_on(near, far)

    @staticmethod
    def _pass_on(source: ssl.SSLSocket, sink: ssl.SSLSocket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)


def _body(sock: ssl.SSLSocket) -> bytes:
    """Read the rest of a packet, of which the first byte was read."""
    length, shift = 0, 0
    while True:
        byte = _exactly(sock, 1)[0]
        length |= (byte & 127) << shift
        shift += 7
        if not byte & 128:
            return _exactly(sock, length)


def _exactly(sock: ssl.SSLSocket, length: int) -> bytes:
    data = b""
    while len(data) < length:
        with contextlib.suppress(TimeoutError):
            more = sock.recv(length - len(data))
            if not more:
                raise ConnectionResetError
            data += more
    return data


def _packet(head: int, body: bytes) -> bytes:
    length, left = b"", len(body)
    while True:
        left, digit = divmod(left, 128)
        length += bytes([digit | (0x80 if left else 0)])
        if not left:
            return bytes([head]) + length + body


def _text(text: str) -> bytes:
    data = text.encode()
    return struct.pack("!H", len(data)) + data
