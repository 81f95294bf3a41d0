"""Sealing of run payloads: compact JWE (RSA-OAEP-256, A256GCM) to a pool's public key.

Only the holder of the pool's private key, the operator's agent, can open them; the mothership forgets the
plaintext once it is sealed (design, section 7).
"""

import base64
import binascii
from dataclasses import dataclass, field
from typing import Any

import orjson
from joserfc import jwe
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

_HEADER = {"alg": "RSA-OAEP-256", "enc": "A256GCM"}
_REGISTRY = jwe.JWERegistry(algorithms=list(_HEADER.values()))
_VERSION = 1


class SealError(ValueError):
    """A payload can't be opened with this key, or what it holds isn't a payload."""


@dataclass(frozen=True, slots=True)
class RunPayload:
    """What one attempt may know: its run token, where to use it, and the key of its workspace (32 bytes)."""

    api_endpoint: str
    run_token: str = field(repr=False)
    workspace_key: bytes = field(repr=False)


class SealingKey:
    """The public half of a pool's key, from PEM; raise `SealError` when it is no RSA key."""

    def __init__(self, public_pem: bytes) -> None:
        self._key = _import(public_pem)

    def seal(self, payload: RunPayload) -> str:
        """Return the compact JWE of `payload`."""
        plain = {
            "version": _VERSION,
            "runToken": payload.run_token,
            "apiEndpoint": payload.api_endpoint,
            "workspaceKey": base64.b64encode(payload.workspace_key).decode("ascii"),
        }
        return jwe.encrypt_compact(dict(_HEADER), orjson.dumps(plain), self._key, registry=_REGISTRY)


class OpeningKey:
    """The private half of a pool's key, from PEM; raise `SealError` when it is no RSA key."""

    def __init__(self, private_pem: bytes) -> None:
        self._key = _import(private_pem)

    def open(self, sealed: str) -> RunPayload:
        """Return the payload of a compact JWE; raise `SealError` (without its content) when that fails."""
        try:
            data = orjson.loads(jwe.decrypt_compact(sealed, self._key, registry=_REGISTRY).plaintext or b"")
            return _payload(data)
        except (JoseError, ValueError, KeyError, TypeError, binascii.Error):
            raise SealError("the run's payload can't be opened with the pool's private key") from None


def _payload(data: dict[str, Any]) -> RunPayload:
    if data["version"] != _VERSION:
        raise ValueError("version")
    return RunPayload(
        api_endpoint=str(data["apiEndpoint"]),
        run_token=str(data["runToken"]),
        workspace_key=base64.b64decode(data["workspaceKey"], validate=True),
    )


def _import(pem: bytes) -> RSAKey:
    try:
        return RSAKey.import_key(pem)
    except (JoseError, ValueError, TypeError):
        raise SealError("the pool's key must be an RSA key in PEM (openssl req -newkey rsa:4096)") from None
