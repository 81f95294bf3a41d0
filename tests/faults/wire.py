"""A pool's messages: overheard in both directions and published again, once more, later, or spoiled.

The suite has what an attacker would not: the pool's certificate and the mothership's. As the pool it hears what the
mothership says, and as the mothership what the pool says; it publishes as the sender would.
"""

from __future__ import annotations

import base64
import json
import ssl
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from devcluster.cluster import Cluster
from devcluster.ports import LOOPBACK
from tests.e2e.harness import Pool

CONNECT_WITHIN = 15.0
TO_WORKERS, FROM_WORKERS = "readonly", "writeonly"


@dataclass(frozen=True)
class Overheard:
    """One message as it was published."""

    topic: str
    payload: bytes

    @property
    def type(self) -> str:
        """The message's type."""
        return str(json.loads(self.payload).get("type"))


Hear = Callable[[Overheard], Iterable[tuple[float, Overheard]]]
"""Called with each message; returns what is to be published, and after how many seconds."""


class Wire:
    """Two connections to the broker beside those of operator and mothership."""

    def __init__(self, cluster: Cluster, pool: Pool, hear: Hear) -> None:
        """Hear what is said about one pool."""
        self.published = 0
        self._hear = hear
        self._own: Counter[Overheard] = Counter()
        self._lock = threading.Lock()
        self._timers: set[threading.Timer] = set()
        self._port = cluster.site.ports["mosquitto"]
        self._closed = False
        data = Path(cluster.env()["MOTHERSHIP_DATA_DIR"])
        certificate = pool.folder / f"{pool.name}.crt"
        certificate.write_text(json.loads(base64.b64decode(pool.token))["certificate"])
        authority = data / "ca.crt"
        self._as_pool = self._client(
            f"wire-{pool.name}", authority, certificate, pool.folder / f"{pool.name}.key",
            f"spacelift/{TO_WORKERS}/{pool.ulid}/+",
        )  # fmt: skip
        self._as_mothership = self._client(
            "wire-mothership", authority, data / "mqtt-client.crt", data / "mqtt-client.key",
            f"spacelift/{FROM_WORKERS}/{pool.ulid}/+",
        )  # fmt: skip

    def close(self) -> None:
        """Publish no more and leave."""
        with self._lock:
            self._closed = True
            timers, self._timers = self._timers, set()
        for timer in timers:
            timer.cancel()
        for client in (self._as_pool, self._as_mothership):
            client.disconnect()
            client.loop_stop()

    def publish(self, message: Overheard) -> None:
        """Publish as the sender of such messages would."""
        with self._lock:
            if self._closed:
                return
            self._own[message] += 1
            self.published += 1
        sender = self._as_mothership if f"/{TO_WORKERS}/" in message.topic else self._as_pool
        sender.publish(message.topic, message.payload, qos=1)

    def _client(self, name: str, authority: Path, certificate: Path, key: Path, topic: str) -> mqtt.Client:
        client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=name, protocol=mqtt.MQTTv5)
        client.tls_set(str(authority), str(certificate), str(key), tls_version=ssl.PROTOCOL_TLS_CLIENT)
        listening = threading.Event()

        def subscribe(*_: object) -> None:
            client.subscribe(topic, qos=1)

        def granted(*_: object) -> None:
            listening.set()

        client.on_connect, client.on_subscribe = subscribe, granted
        client.on_message = self._on_message
        client.connect(LOOPBACK, self._port)
        client.loop_start()
        if not listening.wait(CONNECT_WITHIN):
            raise AssertionError(f"{name} could not listen to {topic}")
        return client

    def _on_message(self, _client: mqtt.Client, _data: object, message: Any) -> None:  # noqa: ANN401 - paho's
        heard = Overheard(message.topic, message.payload)
        with self._lock:
            if self._own[heard] > 0:
                # Our own words: hearing them would make an echo without an end.
                self._own[heard] -= 1
                return
        for seconds, again in self._hear(heard):
            self._later(seconds, again)

    def _later(self, seconds: float, message: Overheard) -> None:
        timer = threading.Timer(seconds, self.publish, [message])
        timer.daemon = True
        with self._lock:
            if self._closed:
                return
            self._timers = {other for other in self._timers if not other.finished.is_set()} | {timer}
        timer.start()
