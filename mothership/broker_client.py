"""One connection to the MQTT broker, from CONNECT to its end: the only module of the mothership that knows paho.

Callbacks run in paho's thread, where an exception would end it silently: they only put events into a queue, note a
fact and wake the link's thread. They take no lock and publish nothing (facts/mqtt.md, row 11).
"""

import contextlib
import queue
import socket
import ssl
import threading
import time
from collections import deque
from dataclasses import dataclass, field

import structlog
from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from mothership.decisions.reconnecting import Pace
from mothership.settings import Address
from protocol import MAX_PAYLOAD_BYTES
from protocol.mqtt import MAX_PACKET_BYTES, Reason, Version

KEEPALIVE_SECONDS = 30
CONNECT_TIMEOUT_SECONDS = 10
CONFIRM_TIMEOUT_SECONDS = 30.0
"""A publish unconfirmed for this long shows a link that is dead, or a broker that drops what it is sent."""

SESSION_EXPIRY_SECONDS = 14 * 24 * 3600
PUBLISH_WINDOW = 100
"""Publishes without acknowledgement at a time, unless the broker allows fewer; AWS IoT Core takes 100."""

INSTANT_SECONDS = 2.0
"""An end this soon after a publish is what a broker does that doesn't allow it (facts/mqtt.md, row 17)."""

_TICK = 1.0
_log = structlog.get_logger(component="broker-link")


@dataclass(frozen=True, slots=True)
class Up:
    """The broker granted the subscription; `window` is how many publishes may be under way."""

    session_present: bool
    window: int


@dataclass(frozen=True, slots=True)
class Down:
    """The connection ended."""


@dataclass(frozen=True, slots=True)
class Published:
    """The broker has one more of our messages, or there is one that it will never have."""


@dataclass(frozen=True, slots=True)
class Arrived:
    """A message came in; acknowledge it once its effect is stored."""

    topic: str
    payload: bytes = field(repr=False)
    mid: int
    connection: "BrokerClient" = field(repr=False)

    def acknowledge(self) -> None:
        """Tell the broker to forget the message; does nothing when the connection is gone."""
        self.connection.acknowledge(self.mid)


@dataclass(frozen=True, slots=True)
class Woken:
    """Nothing came over the network: another thread has changed something."""


Event = Up | Down | Published | Arrived | Woken


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """Where and as whom to connect, and what to subscribe to.

    `publish_rate` is how many publishes go out in a second, 0: as the window allows. `drops_topic` is where the broker
    tells how many messages it has dropped, empty: nowhere.
    """

    broker: Address
    client_id: str
    subscription: str
    ca_file: str
    certificate_file: str
    key_file: str
    publish_rate: float = 0.0
    drops_topic: str = ""


class BrokerClient:
    """One connection."""

    def __init__(
        self, settings: LinkSettings, events: "queue.SimpleQueue[Event]", version: Version, drops: "Drops"
    ) -> None:
        self._settings, self._events, self._drops = settings, events, drops
        self.version = version
        self.version_refused = self.taken_over = False
        self.up_since: float | None = None
        self._window, self._session_present = PUBLISH_WINDOW, False
        self._changed = threading.Event()
        self._network_thread: threading.Thread | None = None
        self._refusal = ""
        self._ended = self._accepted = False
        self._outbox: deque[tuple[str, bytes]] = deque()
        self._sent: dict[int, tuple[str, float]] = {}
        # Held from a publish until it is noted: the broker's answer, or its end, may come in between.
        self._noting = threading.Lock()
        self._confirmed: deque[tuple[int, str]] = deque()
        self._pace = Pace(settings.publish_rate, 1.0, time.monotonic())
        self._client = self._make_client()

    def run(self, stopping: threading.Event) -> None:
        """Connect and stay until the connection ends."""
        address = self._settings.broker
        try:
            self._connect(address)
        except (OSError, ValueError) as error:
            _log.warning("broker unreachable", broker=str(address), error=str(error))
            return
        self._client.loop_start()
        subscribed, wait = False, _TICK
        while self._alive() and not stopping.is_set() and not self._refusal:
            self._changed.wait(wait)
            self._changed.clear()
            if self._accepted and not subscribed:
                subscribed = True
                self._client.subscribe(self._settings.subscription, qos=1)
            wait = self._send()
            self._take_confirmations()
            self._look_for_silence()
        if self._refusal:
            _log.error("broker refused", broker=str(address), what=self._refusal)
        self._leave()

    def disconnect(self) -> None:
        """End the connection in good order."""
        self._client.disconnect()
        self._changed.set()

    def publish(self, topic: str, payload: bytes) -> bool:
        """Take a message over; False while the connection isn't up."""
        if self.up_since is None or self._ended:
            return False
        if len(payload) > MAX_PAYLOAD_BYTES:
            _log.error("message too large", topic=topic, bytes=len(payload))
            self._events.put(Published())
            return True
        if self._settings.publish_rate == 0:
            # At once, in the caller's thread: another thread between the two costs more than the publish.
            self._hand_over(topic, payload)
        else:
            self._outbox.append((topic, payload))
            self._changed.set()
        return True

    def acknowledge(self, mid: int) -> None:
        """Acknowledge a message of this connection."""
        if not self._ended:
            self._client.ack(mid, 1)

    def _connect(self, address: Address) -> None:
        if self.version is Version.MQTT_5:
            self._client.connect(
                address.host,
                address.port,
                keepalive=KEEPALIVE_SECONDS,
                clean_start=False,
                properties=_connect_properties(),
            )
        else:
            self._client.connect(address.host, address.port, keepalive=KEEPALIVE_SECONDS)

    def _send(self) -> float:
        """Publish what may go out now; return after how many seconds to look again."""
        while self._outbox:
            self._pace = self._pace.at_time(time.monotonic())
            if (wait := self._pace.wait()) > 0:
                return min(wait, _TICK)
            topic, payload = self._outbox.popleft()
            self._pace = self._pace.after_one()
            self._hand_over(topic, payload)
        return _TICK

    def _hand_over(self, topic: str, payload: bytes) -> None:
        with self._noting:
            self._sent[self._client.publish(topic, payload, qos=1).mid] = (topic, time.monotonic())

    def _take_confirmations(self) -> None:
        for _ in range(len(self._confirmed)):
            mid, refusal = self._confirmed.popleft()
            with self._noting:
                topic, _ = self._sent.pop(mid)
            if refusal:
                _log.error("broker refused a publish", topic=topic, reason=refusal)

    def _look_for_silence(self) -> None:
        with self._noting:
            oldest = min((at for _, at in self._sent.values()), default=None)
        if oldest is not None and time.monotonic() - oldest > CONFIRM_TIMEOUT_SECONDS:
            self._refusal = f"a publish was not confirmed for {CONFIRM_TIMEOUT_SECONDS:.0f} s"

    def _leave(self) -> None:
        self._take_confirmations()
        self._tell_of_instant_end()
        self.disconnect()
        thread = self._network_thread
        if thread is not None:
            thread.join(0.5)
        sock = self._client.socket()
        if isinstance(sock, socket.socket):
            # On a half-open connection paho's thread would wait for its keep-alive to pass.
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        self._client.loop_stop()

    def _tell_of_instant_end(self) -> None:
        """Say what an end right after a publish may mean; the pause before the next try grows with each."""
        now = time.monotonic()
        with self._noting:
            fresh = {topic for topic, at in self._sent.values() if now - at < INSTANT_SECONDS}
        if self._ended and fresh and not self.taken_over:
            _log.warning(
                "broker closed right after a publish",
                topic=min(fresh),
                topics=len(fresh),
                note="a broker that doesn't allow a publish may do this",
            )

    def _alive(self) -> bool:
        thread = self._network_thread
        return not self._ended and (thread is None or thread.is_alive())

    def _make_client(self) -> mqtt.Client:
        old = self.version is Version.MQTT_3_1_1
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._settings.client_id,
            clean_session=False if old else None,
            protocol=MQTTProtocolVersion(int(self.version)),
            reconnect_on_failure=False,
            manual_ack=True,
        )
        client.connect_timeout = CONNECT_TIMEOUT_SECONDS
        client.max_inflight_messages_set(PUBLISH_WINDOW)
        context = ssl.create_default_context(cafile=self._settings.ca_file)
        context.load_cert_chain(self._settings.certificate_file, self._settings.key_file)
        client.tls_set_context(context)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_subscribe = self._on_subscribe
        client.on_publish = self._on_publish
        client.on_message = self._on_message
        return client

    def _on_connect(
        self,
        _client: mqtt.Client,
        _data: object,
        flags: mqtt.ConnectFlags,
        reason: ReasonCode,
        properties: Properties | None,
    ) -> None:
        self._network_thread = threading.current_thread()
        if reason.is_failure:
            self.version_refused = reason.value == Reason.UNSUPPORTED_VERSION
            self._refusal = f"connect: {reason}"
        else:
            allowed = getattr(properties, "ReceiveMaximum", PUBLISH_WINDOW)
            self._window = max(min(PUBLISH_WINDOW, allowed), 1)
            self._session_present = flags.session_present
            self._accepted = True
        self._changed.set()

    def _on_disconnect(
        self, _client: mqtt.Client, _data: object, _flags: object, reason: ReasonCode, _properties: object
    ) -> None:
        self.taken_over = reason.value == Reason.SESSION_TAKEN_OVER
        self._ended = True
        self._changed.set()

    def _on_subscribe(
        self, client: mqtt.Client, _data: object, _mid: int, reasons: list[ReasonCode], _properties: object
    ) -> None:
        refused = [str(reason) for reason in reasons if reason.is_failure]
        if self.up_since is not None:
            if refused:
                _log.info(
                    "broker does not tell of drops", topic=self._settings.drops_topic, reason=refused[0]
                )
            return
        if refused:
            self._refusal = f"subscribe to {self._settings.subscription}: {refused[0]}"
        else:
            # Only now: what workers answer to would else be sent before anything can be heard (row 9).
            self.up_since = time.monotonic()
            self._events.put(Up(self._session_present, self._window))
            if self._settings.drops_topic:
                client.subscribe(self._settings.drops_topic, qos=0)
        self._changed.set()

    def _on_publish(
        self, _client: mqtt.Client, _data: object, mid: int, reason: ReasonCode, _properties: object
    ) -> None:
        self._confirmed.append((mid, str(reason) if reason.is_failure else ""))
        self._events.put(Published())

    def _on_message(self, _client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        if message.topic == self._settings.drops_topic:
            self._drops.told(bytes(message.payload))
        else:
            self._events.put(Arrived(message.topic, bytes(message.payload), message.mid, self))


class Drops:
    """What the broker says of messages that it has dropped, over all connections."""

    def __init__(self) -> None:
        self._known: int | None = None

    def told(self, payload: bytes) -> bool:
        """Take a new total; tell of it, and return True, when it has grown since the last one."""
        try:
            total = int(payload)
        except ValueError:
            return False
        known, self._known = self._known, total
        grown = known is not None and total > known
        if grown:
            _log.warning(
                "broker drops messages", total=total, note="its queues may be too short: docs/mqtt.md"
            )
        return grown


def _connect_properties() -> Properties:
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.SessionExpiryInterval = SESSION_EXPIRY_SECONDS
    # A message that parsing would drop needn't come at all, and never fills the memory.
    properties.MaximumPacketSize = MAX_PACKET_BYTES
    return properties
