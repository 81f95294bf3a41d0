"""The worker pool token: what a user puts under ``token`` into the pool's Secret, and the key beside it.

The token is base64 of a JSON object (design, section 7). Error texts are the ones users of the original know;
they name the field and the first bad byte and never repeat the material.
"""

import base64
import binascii
import string
from dataclasses import dataclass, field

import orjson

from protocol import PROTOCOL_VERSION
from protocol.topics import DEFAULT_NAMESPACE

_ALPHABET = frozenset((string.ascii_letters + string.digits + "+/").encode())
_NEWLINES = frozenset(b"\r\n")
_PAD = ord("=")


class CredentialsError(ValueError):
    """The token or private key of a pool can't be used; the text is fit for an Event."""


@dataclass(frozen=True, slots=True)
class PoolToken:
    """Everything a pool needs to reach its mothership, except the private key.

    `broker_endpoint` is ``mqtts://host:port``, `api_endpoint` ``https://host:port``; `certificate` (CN = pool
    ULID) and `ca` are PEM.
    """

    pool_ulid: str
    pool_name: str
    broker_endpoint: str
    api_endpoint: str
    certificate: str = field(repr=False)
    ca: str = field(repr=False)
    topic_namespace: str = DEFAULT_NAMESPACE
    version: int = PROTOCOL_VERSION

    def encode(self) -> str:
        """Return the content of the pool's configuration file."""
        data = {key: getattr(self, name) for key, name in _FIELDS.items()}
        return base64.b64encode(orjson.dumps(data)).decode("ascii")


_FIELDS = {
    "version": "version",
    "poolULID": "pool_ulid",
    "poolName": "pool_name",
    "brokerEndpoint": "broker_endpoint",
    "topicNamespace": "topic_namespace",
    "apiEndpoint": "api_endpoint",
    "certificate": "certificate",
    "ca": "ca",
}


def decode_token(text: bytes | str) -> PoolToken:
    """Return the token in `text`; raise `CredentialsError` saying what is wrong with it."""
    raw = decode_base64("token", text)
    try:
        data = orjson.loads(raw)
    except orjson.JSONDecodeError:
        data = None
    if not isinstance(data, dict):
        raise CredentialsError(
            "token does not hold a JSON object: copy the whole content of the pool's .config file"
        )
    if data.get("version") != PROTOCOL_VERSION:
        raise CredentialsError(
            f"token has an unsupported version: this operator speaks version {PROTOCOL_VERSION}; reset the pool to get a new token"
        )
    missing = [
        key for key in _FIELDS if key != "version" and not (isinstance(data.get(key), str) and data[key])
    ]
    if missing:
        raise CredentialsError(
            f"token lacks {', '.join(missing)}: copy the whole content of the pool's .config file"
        )
    return PoolToken(**{name: data[key] for key, name in _FIELDS.items()})


def decode_private_key(text: bytes | str) -> bytes:
    """Return the PEM in `text`, the base64 of a private key file; raise `CredentialsError` otherwise."""
    pem = decode_base64("privateKey", text)
    if b"PRIVATE KEY-----" not in pem:
        raise CredentialsError(
            "privateKey does not hold a PEM private key: it is the base64 of the whole key file (base64 -w 0)"
        )
    return pem


def decode_base64(name: str, text: bytes | str) -> bytes:
    """Decode standard base64, line breaks allowed; raise `CredentialsError` with the first bad byte's offset."""
    data = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
    offset = _first_illegal_byte(data)
    if offset is not None:
        raise CredentialsError(f"unable to base64 decode {name}: illegal base64 data at input byte {offset}")
    return binascii.a2b_base64(data)


def _first_illegal_byte(data: bytes) -> int | None:
    """Return where base64 decoding fails, counted as users of the original see it, or None when it doesn't.

    Source: the documented messages, which are those of Go's encoding/base64: a truncated last group is
    reported at its first byte, data behind the padding at its first byte.
    """
    group: list[int] = []
    for offset, byte in enumerate(data):
        if byte in _ALPHABET:
            group = [offset] if len(group) in (0, 4) else [*group, offset]
        elif byte == _PAD:
            return _illegal_padding(data, offset, len(group) % 4)
        elif byte not in _NEWLINES:
            return offset
    return None if len(group) in (0, 4) else len(data) - len(group)


def _illegal_padding(data: bytes, offset: int, group_length: int) -> int | None:
    if group_length < 2:
        return offset
    rest = [place for place in range(offset + 1, len(data)) if data[place] not in _NEWLINES]
    if group_length == 2:
        if not rest:
            return len(data)
        if data[rest[0]] != _PAD:
            return rest[0] - 1
        rest = rest[1:]
    return rest[0] if rest else None
