"""One pool's MQTT connection; the only module that imports paho.

One thread owns the paho client: it connects, reads, writes, acknowledges and publishes, and is woken through a
socket pair. No paho thread, no callback on a foreign thread, no lock held across a call (facts/mqtt.md). Every
connection (an epoch) has a client of its own, so that neither stored messages nor packet identifiers of an older
one can leak into it. The session itself lives in the broker: clean start is never asked for.

Who uses it: `app.agent.pools`. What it doesn't do: it knows no message, no Worker and no Kubernetes.
"""

import contextlib
import random
import select
import socket
import ssl
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import structlog
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

_QOS = 1
_SESSION_TAKEN_OVER = 0x8E
_TICK = 0.5
_READS_PER_TURN = 64
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ConnectionSettings:
    """Where and as whom to connect; times in seconds.

    `session_expiry` is how long the broker keeps the session of a stopped operator; `in_flight` bounds unconfirmed
    publishes; a message not acknowledged by its handler within `ack_deadline` is acknowledged all the same, so
    that a stalled Kubernetes API never blocks the messages behind it. Only a connection that stood for
    `stable_after` begins the pauses anew: a broker that closes each one at once (an authorisation error, or another
    client of the same id) must not be asked every second for ever.
    """

    host: str
    port: int
    client_id: str
    subscription: str
    tls: ssl.SSLContext = field(repr=False)
    will_topic: str
    will_payload: bytes
    farewell: Callable[[], tuple[str, bytes]]
    keepalive: int = 30
    session_expiry: int = 86400
    will_delay: int = 10
    in_flight: int = 20
    queue_limit: int = 20000
    ack_deadline: float = 5.0
    connect_timeout: float = 5.0
    backoff_first: float = 1.0
    backoff_most: float = 60.0
    taken_over_pause: float = 15.0
    stable_after: float = 10.0


@dataclass(frozen=True, slots=True)
class AckToken:
    """A received message, to be acknowledged once its effect is stored. Worthless on another connection."""

    epoch: int
    mid: int


@dataclass(frozen=True, slots=True)
class ConnectionState:
    """What can be told of the connection right now; times are monotonic seconds.

    `failures` counts the tries in a row that failed; one that stood for a while begins a new row.
    """

    ready: bool = False
    epoch: int = 0
    session_present: bool = False
    since: float = 0.0
    last_traffic: float = 0.0
    error: str = ""
    taken_over: bool = False
    failures: int = 0


class Sink(Protocol):
    """Who is told; each call comes from the connection's thread and must return at once."""

    def on_message(self, topic: str, payload: bytes, token: AckToken) -> None:
        """Take a message; acknowledge it later."""

    def on_ready(self) -> None:
        """Learn that the subscription was granted: publishing makes sense from now on."""

    def on_lost(self) -> None:
        """Learn that the connection broke or could not be made; the state's `error` says why."""


class _Client(Client):
    """paho's client on a socket of ours: TLS before the first packet, no Nagle, nothing left open by a failure."""

    def __init__(self, settings: ConnectionSettings) -> None:
        super().__init__(
            CallbackAPIVersion.VERSION2,
            client_id=settings.client_id,
            protocol=MQTTProtocolVersion.MQTTv5,
            manual_ack=True,
            reconnect_on_failure=False,
        )
        self._settings = settings

    def _create_socket(self) -> ssl.SSLSocket:
        settings = self._settings
        raw = socket.create_connection((settings.host, settings.port), timeout=settings.connect_timeout)
        try:
            # Small packets in both directions: Nagle would add 40 ms to each exchange.
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return settings.tls.wrap_socket(raw, server_hostname=settings.host)
        except BaseException:
            raw.close()
            raise


class Connection:
    """Keeps one connection alive until it is stopped."""

    def __init__(
        self, settings: ConnectionSettings, sink: Sink, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._settings, self._sink, self._clock = settings, sink, clock
        self._log = _log.bind(broker=f"{settings.host}:{settings.port}", client=settings.client_id)
        self._lock = threading.Lock()
        self._outbound: OrderedDict[object, tuple[str, bytes]] = OrderedDict()
        self._acks: deque[AckToken] = deque()
        self._unacked: OrderedDict[int, float] = OrderedDict()
        self._in_flight: set[int] = set()
        self._state = ConnectionState(since=clock())
        self._stopping: float | None = None
        self._reader, self._writer = socket.socketpair()
        for end in (self._reader, self._writer):
            end.setblocking(False)
        self._failures = 0
        self._client: Client | None = None
        self._ended = ""
        self._thread = threading.Thread(target=self._run, name=f"mqtt-{settings.client_id[:8]}", daemon=True)

    def start(self) -> None:
        """Connect, and keep connecting."""
        self._thread.start()

    def stop(self, deadline: float = 5.0) -> bool:
        """Say goodbye and end within `deadline` seconds; return whether the thread ended in time.

        What the broker hasn't confirmed by then is left to the repeats after the next start.
        """
        self._stopping = self._clock() + deadline
        self._wake()
        if self._thread.is_alive():
            self._thread.join(deadline)
        return not self._thread.is_alive()

    def publish(self, key: object, topic: str, payload: bytes) -> bool:
        """Hand a message over; a newer one of the same key replaces an unsent older one.

        Return False, without keeping it, while the connection isn't ready or the queue is full.
        """
        with self._lock:
            if not self._state.ready or len(self._outbound) >= self._settings.queue_limit:
                return False
            self._outbound[key] = (topic, payload)
        self._wake()
        return True

    def ack(self, token: AckToken) -> None:
        """Acknowledge a message; of an older connection, do nothing: the broker sends it again."""
        self._acks.append(token)
        self._wake()

    @property
    def state(self) -> ConnectionState:
        """What can be told right now."""
        return self._state

    @property
    def alive(self) -> bool:
        """Whether the thread lives, which it does from start to stop."""
        return self._thread.is_alive()

    @property
    def backlog(self) -> int:
        """Messages that wait to be published or confirmed."""
        return len(self._outbound) + len(self._in_flight)

    def oldest_unacknowledged(self) -> float:
        """Return for how many seconds the oldest received message has waited for its acknowledgement."""
        with self._lock:
            first = next(iter(self._unacked.values()), None)
        return 0.0 if first is None else self._clock() - first

    # --- everything below runs on the connection's own thread ---

    def _run(self) -> None:
        while self._stopping is None:
            taken_over = False
            try:
                taken_over = self._one_connection()
            except Exception as error:  # noqa: BLE001 - the thread must outlive everything but stop (fact 1)
                self._ended = self._ended or f"{type(error).__name__}: {error}"
            finally:
                self._close()
            if self._stopping is None:
                self._lost(taken_over)
                self._sleep(self._pause(taken_over=taken_over))
        self._reader.close()
        self._writer.close()

    def _one_connection(self) -> bool:
        """Connect and serve until the connection ends; return whether another client took the session."""
        epoch, taken_over = self._state.epoch + 1, False
        self._state = ConnectionState(
            epoch=epoch, since=self._clock(), error=self._state.error, failures=self._failures
        )
        self._ended = ""
        client = self._client = self._make_client(epoch)

        def disconnected(_c: Client, _u: Any, _f: Any, reason: ReasonCode, _p: Any) -> None:  # noqa: ANN401
            nonlocal taken_over
            taken_over = taken_over or reason.value == _SESSION_TAKEN_OVER
            self._ended = self._ended or str(reason)

        client.on_disconnect = disconnected
        client.reconnect()
        give_up = self._clock() + self._settings.connect_timeout * 2
        while not self._ended and not self._finished():
            self._turn(client)
            if not self._state.ready and self._clock() > give_up:
                self._ended = "the broker did not grant the subscription in time"
        return taken_over

    def _make_client(self, epoch: int) -> Client:
        settings = self._settings
        client = _Client(settings)
        client.max_inflight_messages_set(settings.in_flight + 2)
        will = Properties(PacketTypes.WILLMESSAGE)  # type: ignore[no-untyped-call]
        will.WillDelayInterval = settings.will_delay
        client.will_set(settings.will_topic, settings.will_payload, qos=_QOS, properties=will)
        client.on_connect = self._connected
        client.on_subscribe = self._subscribed
        client.on_publish = self._published
        client.on_message = lambda _c, _u, message: self._received(epoch, message)
        connect = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        connect.SessionExpiryInterval = settings.session_expiry
        client.connect_async(
            settings.host, settings.port, settings.keepalive, clean_start=False, properties=connect
        )
        return client

    def _connected(self, client: Client, _u: Any, flags: Any, reason: ReasonCode, _p: Any) -> None:  # noqa: ANN401
        if reason.is_failure:
            self._ended = f"the broker refused the connection: {reason}"
            return
        self._state = ConnectionState(
            epoch=self._state.epoch,
            session_present=bool(flags.session_present),
            since=self._clock(),
            last_traffic=self._clock(),
            failures=self._failures,
        )
        # Always, also in a session that was kept: a broker can have lost it (fact 8).
        client.subscribe(self._settings.subscription, qos=_QOS)

    def _subscribed(self, _c: Client, _u: Any, _mid: int, reasons: list[ReasonCode], _p: Any) -> None:  # noqa: ANN401
        refused = [str(reason) for reason in reasons if reason.is_failure]
        if refused:
            topic = self._settings.subscription
            self._ended = f"the broker refused the subscription to {topic}: {', '.join(refused)}"
            return
        self._become(ready=True)
        self._log.info("mqtt_connected", session_present=self._state.session_present, epoch=self._state.epoch)
        self._sink.on_ready()

    def _received(self, epoch: int, message: MQTTMessage) -> None:
        if message.qos != _QOS:
            token = AckToken(epoch, -1)
        else:
            with self._lock:
                self._unacked[message.mid] = self._clock()
            token = AckToken(epoch, message.mid)
        self._sink.on_message(message.topic, bytes(message.payload), token)

    def _published(self, _c: Client, _u: Any, mid: int, reason: ReasonCode, _p: Any) -> None:  # noqa: ANN401
        self._in_flight.discard(mid)
        if reason.is_failure:
            # Repeats cover it; what must not happen is that it goes unnoticed (fact 17).
            self._log.warning("mqtt_publish_refused", reason=str(reason))

    def _turn(self, client: Client) -> None:
        """Serve the socket once: wait for traffic or a wake-up, read, acknowledge, publish, write."""
        sock = client.socket()
        if sock is None:
            self._ended = self._ended or "the connection was closed"
            return
        pending = isinstance(sock, ssl.SSLSocket) and sock.pending() > 0
        readable = self._wait(sock, client.want_write(), 0.0 if pending else _TICK)
        if readable or pending:
            self._read(client)
        self._send_acks(client)
        self._send_messages(client)
        if client.want_write():
            self._check(client.loop_write())
        self._check(client.loop_misc())

    def _wait(self, sock: Any, want_write: bool, timeout: float) -> bool:  # noqa: ANN401 - paho's socket
        poller = select.poll()
        poller.register(sock, select.POLLIN | (select.POLLOUT if want_write else 0))
        poller.register(self._reader, select.POLLIN)
        events = dict(poller.poll(timeout * 1000))
        if self._reader.fileno() in events:
            with contextlib.suppress(BlockingIOError):
                self._reader.recv(65536)
        return bool(events.get(sock.fileno(), 0) & ~select.POLLOUT)

    def _read(self, client: Client) -> None:
        for _ in range(_READS_PER_TURN):
            self._check(client.loop_read())
            self._touch()
            sock = client.socket()
            if sock is None or not (isinstance(sock, ssl.SSLSocket) and sock.pending()):
                return

    def _send_acks(self, client: Client) -> None:
        while self._acks:
            token = self._acks.popleft()
            if token.epoch == self._state.epoch:
                self._puback(client, token.mid)
        overdue = self._clock() - self._settings.ack_deadline
        late = [mid for mid, since in self._unacked.items() if since <= overdue]
        for mid in late:
            self._puback(client, mid)
        if late:
            self._log.warning("mqtt_messages_acknowledged_unhandled", count=len(late))

    def _puback(self, client: Client, mid: int) -> None:
        with self._lock:
            known = self._unacked.pop(mid, None)
        if known is not None:
            self._check(client.ack(mid, _QOS))

    def _send_messages(self, client: Client) -> None:
        while self._state.ready and len(self._in_flight) < self._settings.in_flight:
            with self._lock:
                if not self._outbound:
                    return
                _, (topic, payload) = self._outbound.popitem(last=False)
            self._in_flight.add(client.publish(topic, payload, qos=_QOS).mid)

    def _check(self, code: MQTTErrorCode) -> None:
        if code != MQTTErrorCode.MQTT_ERR_SUCCESS:
            self._ended = self._ended or f"the connection broke: {code.name}"

    def _finished(self) -> bool:
        """Return whether the thread may end: asked to, and everything is out or the time is up."""
        if self._stopping is None:
            return False
        idle = not self._outbound and not self._in_flight and not self._acks
        return idle or not self._state.ready or self._clock() > self._stopping - 0.5

    def _close(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            with contextlib.suppress(Exception):
                if self._stopping is not None and self._state.ready:
                    topic, payload = self._settings.farewell()
                    client.publish(topic, payload, qos=_QOS)
                client.disconnect()
                client.loop_write()
            with contextlib.suppress(Exception):
                sock = client.socket()
                if sock is not None:
                    sock.close()
        with self._lock:
            self._unacked.clear()
            self._outbound.clear()
        self._in_flight.clear()
        self._acks.clear()

    def _lost(self, taken_over: bool) -> None:
        stable = self._state.ready and self._clock() - self._state.since >= self._settings.stable_after
        self._failures = 1 if stable else self._failures + 1
        self._become(ready=False, error=self._ended or "the connection was closed", taken_over=taken_over)
        self._log.warning("mqtt_connection_lost", error=self._state.error, failures=self._failures)
        self._sink.on_lost()

    def _pause(self, *, taken_over: bool) -> float:
        """Return how long to wait before the next attempt: exponential, with full jitter above the first second."""
        settings = self._settings
        if taken_over:
            # Two clients of one id would kick each other out for ever (fact 10).
            return settings.taken_over_pause * random.uniform(1.0, 2.0)  # noqa: S311 - jitter
        most = min(settings.backoff_most, settings.backoff_first * 2.0 ** min(self._failures, 10))
        return random.uniform(settings.backoff_first, max(most, settings.backoff_first))  # noqa: S311 - jitter

    def _sleep(self, seconds: float) -> None:
        end = self._clock() + seconds
        while self._stopping is None and (left := end - self._clock()) > 0:
            ready, _, _ = select.select([self._reader], [], [], min(left, _TICK))
            if ready:
                with contextlib.suppress(BlockingIOError):
                    self._reader.recv(65536)

    def _become(self, *, ready: bool, error: str = "", taken_over: bool = False) -> None:
        old = self._state
        self._state = ConnectionState(
            ready=ready,
            epoch=old.epoch,
            session_present=old.session_present,
            since=self._clock(),
            last_traffic=old.last_traffic,
            error=error,
            taken_over=taken_over,
            failures=self._failures,
        )

    def _touch(self) -> None:
        # Reading and replacing is safe: only this thread writes the state.
        self._state = replace(self._state, last_traffic=self._clock())

    def _wake(self) -> None:
        with contextlib.suppress(OSError):
            self._writer.send(b"\0")
