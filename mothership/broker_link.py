"""The connection to the MQTT broker: the only module that knows paho.

Every connection is a new paho client with the same client id, so the session lives on at the broker while nothing of
an old connection reaches a new one: acknowledgements go to the connection that the message came on, and unsent
messages are derived again from the database instead of being replayed by the library. Callbacks run in paho's
thread, where an exception would end it silently: they only put events into a queue.
"""

import queue
import random
import ssl
import threading
from dataclasses import dataclass, field
from typing import Any

import structlog
from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from mothership.settings import Address

KEEPALIVE_SECONDS = 30
CONNECT_TIMEOUT_SECONDS = 10
SESSION_EXPIRY_SECONDS = 14 * 24 * 3600
PUBLISH_WINDOW = 100
"""Publishes without acknowledgement at a time, unless the broker allows fewer; AWS IoT Core takes 100."""
LONGEST_BACKOFF_SECONDS = 30.0

_log = structlog.get_logger(component="broker-link")


@dataclass(frozen=True, slots=True)
class Up:
    """The broker accepted the connection; `window` is how many publishes may be under way."""

    session_present: bool
    window: int


@dataclass(frozen=True, slots=True)
class Down:
    """The connection ended."""


@dataclass(frozen=True, slots=True)
class Published:
    """The broker has one more of our messages."""


@dataclass(frozen=True, slots=True)
class Arrived:
    """A message came in; acknowledge it once its effect is stored."""

    topic: str
    payload: bytes = field(repr=False)
    mid: int
    connection: "_Connection" = field(repr=False)

    def acknowledge(self) -> None:
        """Tell the broker to forget the message; does nothing when the connection is gone."""
        self.connection.acknowledge(self.mid)


@dataclass(frozen=True, slots=True)
class Woken:
    """Nothing came over the network: another thread has changed something."""


Event = Up | Down | Published | Arrived | Woken


@dataclass(frozen=True, slots=True)
class LinkSettings:
    """Where and as whom to connect, and what to subscribe to."""

    broker: Address
    client_id: str
    subscription: str
    ca_file: str
    certificate_file: str
    key_file: str


class BrokerLink:
    """Keeps one connection to the broker and puts what happens on it into `events`."""

    def __init__(self, settings: LinkSettings, events: "queue.SimpleQueue[Event]") -> None:
        self._settings = settings
        self._events = events
        self._stopping = threading.Event()
        self._connection: _Connection | None = None
        self._thread = threading.Thread(target=self._run, name="broker-link", daemon=True)

    def start(self) -> None:
        """Begin to connect, and go on until `stop`."""
        self._thread.start()

    def stop(self, deadline: float) -> None:
        """Disconnect; leave after `deadline` seconds even if the broker doesn't answer."""
        self._stopping.set()
        connection = self._connection
        if connection is not None:
            connection.disconnect()
        self._thread.join(deadline)

    def publish(self, topic: str, payload: bytes) -> bool:
        """Hand one message to the current connection; False when there is none."""
        connection = self._connection
        return connection is not None and connection.publish(topic, payload)

    def _run(self) -> None:
        failures = 0
        while not self._stopping.is_set():
            connection = _Connection(self._settings, self._events)
            self._connection = connection
            came_up = connection.run(self._stopping)
            self._connection = None
            self._events.put(Down())
            failures = 0 if came_up else failures + 1
            # At least a second: two clients with one id would otherwise throw each other out without pause.
            self._stopping.wait(random.uniform(1.0, min(LONGEST_BACKOFF_SECONDS, 2.0 ** (failures + 1))))  # noqa: S311


class _Connection:
    """One connection, from CONNECT to its end."""

    def __init__(self, settings: LinkSettings, events: "queue.SimpleQueue[Event]") -> None:
        self._settings = settings
        self._events = events
        self._changed = threading.Event()
        self._network_thread: threading.Thread | None = None
        self._refusal = ""
        self._ended = False
        self._up = False
        self._client = self._make_client()

    def run(self, stopping: threading.Event) -> bool:
        """Connect and stay until the connection ends; say whether it ever was up."""
        address = self._settings.broker
        try:
            self._client.connect(
                address.host,
                address.port,
                keepalive=KEEPALIVE_SECONDS,
                clean_start=False,
                properties=_connect_properties(),
            )
        except (OSError, ValueError) as error:
            _log.warning("broker unreachable", broker=str(address), error=str(error))
            return False
        self._client.loop_start()
        subscribed = False
        while self._alive() and not stopping.is_set():
            self._changed.wait(5)
            self._changed.clear()
            if self._up and not subscribed:
                subscribed = True
                self._client.subscribe(self._settings.subscription, qos=1)
            if self._refusal:
                _log.error("broker refused", broker=str(address), what=self._refusal)
                break
        self.disconnect()
        self._client.loop_stop()
        return self._up and not self._refusal

    def disconnect(self) -> None:
        """End the connection in good order."""
        self._client.disconnect()
        self._changed.set()

    def publish(self, topic: str, payload: bytes) -> bool:
        """Send a message; False while the connection isn't up."""
        if not self._up or self._ended:
            return False
        self._client.publish(topic, payload, qos=1)
        return True

    def acknowledge(self, mid: int) -> None:
        """Acknowledge a message of this connection."""
        if not self._ended:
            self._client.ack(mid, 1)

    def _alive(self) -> bool:
        thread = self._network_thread
        return not self._ended and (thread is None or thread.is_alive())

    def _make_client(self) -> mqtt.Client:
        client = mqtt.Client(
            CallbackAPIVersion.VERSION2,
            client_id=self._settings.client_id,
            protocol=mqtt.MQTTv5,
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
            self._refusal = f"connect: {reason}"
        else:
            self._up = True
            allowed = getattr(properties, "ReceiveMaximum", PUBLISH_WINDOW)
            self._events.put(Up(flags.session_present, min(PUBLISH_WINDOW, allowed)))
        self._changed.set()

    def _on_disconnect(self, *_details: Any) -> None:  # noqa: ANN401 - nothing of it is used
        self._ended = True
        self._changed.set()

    def _on_subscribe(
        self, _client: mqtt.Client, _data: object, _mid: int, reasons: list[ReasonCode], _properties: object
    ) -> None:
        refused = [str(reason) for reason in reasons if reason.is_failure]
        if refused:
            self._refusal = f"subscribe to {self._settings.subscription}: {refused[0]}"
            self._changed.set()

    def _on_publish(self, *_details: Any) -> None:  # noqa: ANN401 - nothing of it is used
        self._events.put(Published())

    def _on_message(self, _client: mqtt.Client, _data: object, message: mqtt.MQTTMessage) -> None:
        self._events.put(Arrived(message.topic, bytes(message.payload), message.mid, self))


def _connect_properties() -> Properties:
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.SessionExpiryInterval = SESSION_EXPIRY_SECONDS
    return properties
