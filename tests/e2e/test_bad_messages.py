"""Rubbish on a pool's topics is counted and dropped: the agent goes on."""

import ssl
from pathlib import Path

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from devcluster.cluster import Cluster
from protocol import MAX_PAYLOAD_BYTES
from tests.e2e.harness import Journal, Pool, until

PAYLOADS = [
    b"",
    b"\xff\xfe",
    b"{",
    b"[]",
    b'{"type": "run_exploded"}',
    b'{"type": "run_scheduled"}',
    b"x" * (MAX_PAYLOAD_BYTES + 1),
]


def _publish_as_mothership(cluster: Cluster, topics: list[str]) -> None:
    """Send every rubbish payload to every topic with the mothership's own right to write there."""
    data = Path(cluster.env()["MOTHERSHIP_DATA_DIR"])
    host, port = cluster.env()["BROKER_ENDPOINT"].removeprefix("mqtts://").split(":")
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="rubbish", protocol=mqtt.MQTTv5)
    client.tls_set(
        str(data / "ca.crt"), str(data / "mqtt-client.crt"), str(data / "mqtt-client.key"),
        tls_version=ssl.PROTOCOL_TLS_CLIENT,
    )  # fmt: skip
    client.connect(host, int(port))
    client.loop_start()
    until(client.is_connected, "the rubbish's sender is connected")
    for topic in topics:
        for payload in PAYLOADS:
            client.publish(topic, payload, qos=1).wait_for_publish(10)
    client.disconnect()
    client.loop_stop()


def test_rubbish_on_every_topic_stops_nothing(cluster: Cluster, pool: Pool, journal: Journal) -> None:
    """After every kind of rubbish a run still goes its way."""
    ulids = [worker["metadata"]["labels"]["workers.spacelift.io/ulid"] for worker in pool.workers()]
    _publish_as_mothership(
        cluster, [f"spacelift/readonly/{pool.ulid}/{ulid}" for ulid in [pool.ulid, *ulids]]
    )
    log = cluster.component("operator").log_path
    for kind in ("not_json", "unknown_type", "invalid", "oversized"):
        until(lambda kind=kind: kind in log.read_text(), f"the log tells of {kind}")  # type: ignore[misc]
    run = pool.trigger(*journal.commands("after"))
    pool.await_state(run, "succeeded")
    journal.judge(["after"])
