"""Keeps a connection to the MQTT broker, and puts what happens on it into a queue.

Every connection is a new client with the same client id, so the session lives on at the broker while nothing of an
old connection reaches a new one: acknowledgements go to the connection that the message came on, and unsent messages
are derived again from the database instead of being replayed by the library. Certificate and key are read anew for
each. The facts behind these rules are in docs/mqtt.md.
"""

import queue
import random
import threading
import time

import structlog

from mothership.broker_client import (
    Arrived,
    BrokerClient,
    Down,
    Drops,
    Event,
    LinkSettings,
    Published,
    Up,
    Woken,
)
from mothership.decisions.reconnecting import failures_after, pause
from protocol.mqtt import Version

__all__ = ["Arrived", "BrokerLink", "Down", "Event", "LinkSettings", "Published", "Up", "Woken"]

_log = structlog.get_logger(component="broker-link")


class BrokerLink:
    """Keeps one connection to the broker and puts what happens on it into `events`."""

    def __init__(self, settings: LinkSettings, events: "queue.SimpleQueue[Event]") -> None:
        self._settings = settings
        self._events = events
        self._stopping = threading.Event()
        self._connection: BrokerClient | None = None
        self._version = Version.MQTT_5
        self._drops = Drops()
        self._failures = 0
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

    @property
    def alive(self) -> bool:
        """Whether the thread lives, which it does from start to stop."""
        return self._thread.is_alive()

    def publish(self, topic: str, payload: bytes) -> bool:
        """Hand one message to the current connection; False when there is none."""
        connection = self._connection
        return connection is not None and connection.publish(topic, payload)

    def _run(self) -> None:
        while not self._stopping.is_set():
            wait = self._one_connection()
            self._events.put(Down())
            self._stopping.wait(wait)

    def _one_connection(self) -> float:
        """Connect and stay until the end; return after how many seconds to try again."""
        try:
            connection = BrokerClient(self._settings, self._events, self._version, self._drops)
        except (OSError, ValueError) as error:
            # The files are being replaced, or hold nothing that can be used: the next try reads them again.
            _log.error("broker certificate unusable", error=f"{type(error).__name__}: {error}")
            self._failures += 1
            return pause(self._failures, random.random(), taken_over=False)  # noqa: S311 - jitter
        self._connection = connection
        try:
            connection.run(self._stopping)
        except Exception:  # noqa: BLE001 - the thread must outlive everything but stop
            _log.exception("broker connection failed")
        self._connection = None
        if connection.version_refused and self._version is Version.MQTT_5:
            self._version = Version.MQTT_3_1_1
            _log.warning(
                "broker speaks MQTT 3.1.1 only",
                note="it gives no reasons, and keeps sessions by its own rules",
            )
            return 0.0
        stood = time.monotonic() - connection.up_since if connection.up_since is not None else 0.0
        self._failures = failures_after(self._failures, stood)
        chance = random.random()  # noqa: S311 - jitter
        return pause(self._failures, chance, taken_over=connection.taken_over)
