"""The open protocol between operator, mothership and launcher: types and documents, no I/O.

``schemas/`` (JSON Schema of every MQTT message), ``asyncapi.yaml`` and ``openapi.yaml`` are the published
contract; the modules here are the same contract as typed Python, and tests hold the two together with the
golden messages of ``examples/``. `app`, `mothership` and `launcher` share this package and nothing else.
"""

PROTOCOL_VERSION = 1
"""Version carried by tokens and `register`; a peer with another major version is refused."""

MAX_PAYLOAD_BYTES = 128 * 1024
"""Largest MQTT payload, in bytes: what AWS IoT Core accepts, so that every broker does."""
