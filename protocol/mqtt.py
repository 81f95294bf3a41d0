"""What both ends know of MQTT itself: the versions that are spoken, and how large a packet may be."""

from enum import IntEnum

from protocol import MAX_PAYLOAD_BYTES

MAX_PACKET_BYTES = MAX_PAYLOAD_BYTES + 4096
"""Largest packet that either end or the broker takes: the largest payload, its topic and its properties."""


class Version(IntEnum):
    """The versions of MQTT that are spoken, by their number on the wire."""

    MQTT_3_1_1 = 4
    MQTT_5 = 5


class Reason(IntEnum):
    """Reason codes of MQTT 5 that mean something to us; MQTT 3.1.1's are translated to them."""

    UNSUPPORTED_VERSION = 0x84
    NOT_AUTHORIZED = 0x87
    SESSION_TAKEN_OVER = 0x8E
