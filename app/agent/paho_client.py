"""One MQTT connection, from CONNECT to its end; the only module of the operator that imports paho.

paho's callbacks do nothing but put a `Happening` into a queue, which the connection's thread takes out between two
calls into paho: so none of our code ever runs inside paho, under its locks (facts/mqtt.md, rows 1 and 11). Each
connection has a client of its own, so that neither stored messages nor packet identifiers of an older one can leak
into it (rows 2, 3 and 5).
"""

import contextlib
import socket
import ssl
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from app.agent.link import ConnectionSettings
from app.agent.tls_faults import explained
from protocol.mqtt import MAX_PACKET_BYTES, Reason, Version

QOS = 1
_READS_PER_TURN = 64


@dataclass(frozen=True, slots=True)
class Accepted:
    """The broker accepted the connection; `window` is how many publishes it takes at a time."""

    session_present: bool
    window: int


@dataclass(frozen=True, slots=True)
class Declined:
    """The broker refused the connection; `version` says that it was for the version of MQTT."""

    reason: str
    version: bool


@dataclass(frozen=True, slots=True)
class Subscribed:
    """The broker answered the subscription; `refusal` is empty when it was granted."""

    refusal: str


@dataclass(frozen=True, slots=True)
class Confirmed:
    """The broker answered a publish; `refusal` is empty when it took it."""

    mid: int
    refusal: str
    denied: bool


@dataclass(frozen=True, slots=True)
class Received:
    """A message came; `mid` is None when it needs no acknowledgement."""

    topic: str
    payload: bytes = field(repr=False)
    mid: int | None


@dataclass(frozen=True, slots=True)
class Ended:
    """The connection is over; `by_broker` says that the other side, or the way there, ended it."""

    reason: str
    taken_over: bool = False
    by_broker: bool = False


Happening = Accepted | Declined | Subscribed | Confirmed | Received | Ended


class PahoClient:
    """Drives one connection; touched by one thread only."""

    def __init__(self, settings: ConnectionSettings, version: Version) -> None:
        self._settings, self.version = settings, version
        self._happened: deque[Happening] = deque()
        self._client = _Client(settings, version)
        self._configure()

    def open(self) -> None:
        """Connect; raise OSError when there is no way to the broker, or none that can be trusted."""
        settings = self._settings
        if self.version is Version.MQTT_5:
            self._client.connect_async(
                settings.host,
                settings.port,
                settings.keepalive,
                clean_start=settings.session_expiry == 0,
                properties=_connect_properties(settings),
            )
        else:
            self._client.connect_async(settings.host, settings.port, settings.keepalive)
        self._client.reconnect()

    @property
    def socket(self) -> Any:  # noqa: ANN401 - a socket, TLS or not
        """The socket to wait on, None once the connection is over."""
        return self._client.socket()

    @property
    def wants_write(self) -> bool:
        """Whether something waits for the socket to take it."""
        return self._client.want_write()

    @property
    def pending(self) -> bool:
        """Whether bytes were decrypted already: the socket itself won't become readable for them."""
        sock = self._client.socket()
        return isinstance(sock, ssl.SSLSocket) and sock.pending() > 0

    def happenings(self) -> Iterator[Happening]:
        """Take out what has happened."""
        while self._happened:
            yield self._happened.popleft()

    def subscribe(self, topic: str) -> None:
        """Ask for a subscription."""
        self._client.subscribe(topic, qos=QOS)

    def publish(self, topic: str, payload: bytes) -> int:
        """Hand a message over and return its packet identifier; what paho answers means nothing (row 3)."""
        return int(self._client.publish(topic, payload, qos=QOS).mid)

    def acknowledge(self, mid: int) -> None:
        """Acknowledge a message of this connection."""
        self._check(self._client.ack(mid, QOS))

    def read(self) -> bool:
        """Read what there is; return whether anything came."""
        came = len(self._happened)
        for _ in range(_READS_PER_TURN):
            code = self._client.loop_read()
            self._check(code)
            if code != MQTTErrorCode.MQTT_ERR_SUCCESS or not self.pending:
                break
        return self._client.heard or len(self._happened) > came

    def tend(self) -> None:
        """Write what waits, and keep the connection alive."""
        if self._client.want_write():
            self._check(self._client.loop_write())
        self._check(self._client.loop_misc())

    def close(self, farewell: tuple[str, bytes] | None) -> None:
        """Leave, with a last message if there is one; never blocks and never raises."""
        with contextlib.suppress(Exception):
            if farewell is not None:
                self._client.publish(*farewell, qos=QOS)
            self._client.disconnect()
            self._client.loop_write()
        with contextlib.suppress(Exception):
            sock = self._client.socket()
            if sock is not None:
                sock.close()

    def _configure(self) -> None:
        client, settings = self._client, self._settings
        client.max_inflight_messages_set(settings.in_flight + 2)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        client.on_publish = self._on_publish
        client.on_message = self._on_message
        if not settings.will_topic:
            return
        will = None
        if self.version is Version.MQTT_5:
            will = Properties(PacketTypes.WILLMESSAGE)  # type: ignore[no-untyped-call]
            will.WillDelayInterval = settings.will_delay
        client.will_set(settings.will_topic, settings.will_payload, qos=QOS, properties=will)

    def _check(self, code: MQTTErrorCode) -> None:
        if code != MQTTErrorCode.MQTT_ERR_SUCCESS:
            gone = code in (MQTTErrorCode.MQTT_ERR_CONN_LOST, MQTTErrorCode.MQTT_ERR_NO_CONN)
            text = "the broker closed the connection" if gone else f"the connection broke: {code.name}"
            text = self._client.fault or text
            self._happened.append(Ended(text, by_broker=True))

    # paho's callbacks: each puts one thing into the queue

    def _on_connect(self, _c: Client, _u: Any, flags: Any, reason: ReasonCode, properties: Any) -> None:  # noqa: ANN401
        if reason.is_failure:
            declined = Declined(str(reason), version=reason.value == Reason.UNSUPPORTED_VERSION)
            self._happened.append(declined)
            return
        window = getattr(properties, "ReceiveMaximum", self._settings.in_flight)
        self._happened.append(Accepted(bool(flags.session_present), int(window)))

    def _on_disconnect(self, _c: Client, _u: Any, flags: Any, reason: ReasonCode, _p: Any) -> None:  # noqa: ANN401
        if flags.is_disconnect_packet_from_server:
            text = f"the broker ended the connection: {reason}"
            taken_over = reason.value == Reason.SESSION_TAKEN_OVER
            self._happened.append(Ended(text, taken_over, by_broker=True))

    def _on_subscribe(self, _c: Client, _u: Any, _m: int, reasons: list[ReasonCode], _p: Any) -> None:  # noqa: ANN401
        refused = [str(reason) for reason in reasons if reason.is_failure]
        self._happened.append(Subscribed(", ".join(refused)))

    def _on_publish(self, _c: Client, _u: Any, mid: int, reason: ReasonCode, _p: Any) -> None:  # noqa: ANN401
        refusal = str(reason) if reason.is_failure else ""
        self._happened.append(Confirmed(mid, refusal, denied=reason.value == Reason.NOT_AUTHORIZED))

    def _on_message(self, _c: Client, _u: Any, message: MQTTMessage) -> None:  # noqa: ANN401
        mid = message.mid if message.qos == QOS else None
        self._happened.append(Received(message.topic, bytes(message.payload), mid))


class _Client(Client):
    """paho's client on a socket of ours: TLS before the first packet, no Nagle, nothing left open by a failure.

    `fault` is what TLS said when the connection broke, which paho keeps to itself: with TLS 1.3 a broker's opinion of
    our certificate comes with the first read. `heard` tells whether any byte came since it was last asked.
    """

    def __init__(self, settings: ConnectionSettings, version: Version) -> None:
        super().__init__(
            CallbackAPIVersion.VERSION2,
            client_id=settings.client_id,
            clean_session=settings.session_expiry == 0 if version is Version.MQTT_3_1_1 else None,
            protocol=MQTTProtocolVersion(int(version)),
            manual_ack=True,
            reconnect_on_failure=False,
        )
        self._settings = settings
        self._heard = False
        self.fault = ""

    @property
    def heard(self) -> bool:
        """Whether any byte came since the last call."""
        heard, self._heard = self._heard, False
        return heard

    def _create_socket(self) -> ssl.SSLSocket:
        settings = self._settings
        raw = socket.create_connection((settings.host, settings.port), timeout=settings.connect_timeout)
        try:
            # Small packets in both directions: Nagle would add 40 ms to each exchange.
            raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            # Always with the server's name: AWS IoT serves nothing without it (row 18).
            return settings.tls.wrap_socket(raw, server_hostname=settings.host)
        except BaseException:
            raw.close()
            raise

    def _sock_recv(self, bufsize: int) -> bytes:
        try:
            data: bytes = super()._sock_recv(bufsize)
        except ssl.SSLError as error:
            self.fault = explained(error)
            raise
        self._heard = self._heard or bool(data)
        return data

    def _sock_send(self, buf: bytes | bytearray) -> int:
        try:
            return int(super()._sock_send(buf))
        except BlockingIOError:
            raise
        except OSError:
            # The broker's last word may still be there to be read, and says more than a broken pipe.
            with contextlib.suppress(OSError):
                self._sock_recv(1)
            raise


def _connect_properties(settings: ConnectionSettings) -> Properties:
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.SessionExpiryInterval = settings.session_expiry
    # A message that parsing would drop needn't come at all, and never fills the memory.
    properties.MaximumPacketSize = MAX_PACKET_BYTES
    return properties
