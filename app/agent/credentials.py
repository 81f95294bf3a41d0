"""A pool's credentials from its Secret: token, private key and certificate; the only module with cryptography.

Every fault is a `CredentialsError` whose text is fit for an Event: it names the Secret or field and what mends it,
and never repeats the material. Nothing here reads the API; `app.agent.pools` does.
"""

import base64
import binascii
import datetime as dt
import os
import ssl
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

from app.agent.pool_state import PoolView, SecretKey
from protocol.sealing import OpeningKey, SealError
from protocol.token import CredentialsError, PoolToken, decode_private_key, decode_token

NO_TOKEN = "cannot retrieve workerpool token: "  # noqa: S105 - a message
"""What every fault of the Secret itself is reported as."""

DEFAULT_BROKER_PORT = 8883
_NOT_IN_A_LEVEL = frozenset("/+#\0")


@dataclass(frozen=True, slots=True)
class PoolCredentials:
    """Everything to connect as a pool and to open what was sealed for it."""

    token: PoolToken
    host: str
    port: int
    valid_from: dt.datetime
    expires_at: dt.datetime
    fingerprint: str
    opening_key: OpeningKey = field(repr=False)
    private_key: bytes = field(repr=False)

    def expired(self, now: dt.datetime) -> bool:
        """Return whether the certificate has run out."""
        return now >= self.expires_at

    def clock_hint(self, now: dt.datetime) -> str:
        """Return what the certificate's dates have to do with a refused connection, empty: nothing.

        A certificate from the future is no fault in itself: the broker judges it, by its own clock.
        """
        if now < self.valid_from:
            return (
                f"the token's certificate is not yet valid: it begins at {_written(self.valid_from)}, and the operator's "
                f"clock says {_written(now)}: check the clocks of operator, mothership and broker"
            )
        if self.expired(now):
            return f"the token's certificate expired at {_written(self.expires_at)}: reset the pool to get a new token"
        return ""

    def tls_context(self) -> ssl.SSLContext:
        """Return the context of a mutual TLS connection to the broker; the server's name is always checked."""
        context = ssl.create_default_context(cadata=self.token.ca)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        material = self.token.certificate.encode("ascii", "replace") + b"\n" + self.private_key
        _with_private_file(material, context.load_cert_chain)
        return context


def read_credentials(
    pool: PoolView, secrets: Mapping[str, Mapping[str, Any] | None], now: dt.datetime
) -> PoolCredentials:
    """Return the credentials of `pool` from its Secrets by name (None: there is no such Secret).

    Raise `CredentialsError` with the text of the Event, without its beginning (`decisions.reporting`).
    """
    try:
        token = decode_token(_entry("token", pool.token, secrets, pool.namespace))
        key = decode_private_key(_entry("privateKey", pool.private_key, secrets, pool.namespace))
        return _assemble(token, key, now)
    except CredentialsError as error:
        raise CredentialsError(f"{NO_TOKEN}{error}") from None
    except (UnsupportedAlgorithm, ValueError) as error:
        kind = type(error).__name__
        text = (
            f"privateKey or the token's certificate is of a kind that can't be used ({kind}): use an RSA key"
        )
        raise CredentialsError(f"{NO_TOKEN}{text}") from None


def _entry(
    field_name: str, where: SecretKey, secrets: Mapping[str, Mapping[str, Any] | None], namespace: str
) -> bytes:
    """Return what a user put under a key of a Secret: the API carries it in base64 once more."""
    if not where.name or not where.key:
        raise CredentialsError(f"spec.{field_name}.secretKeyRef must name a Secret and a key in it")
    secret = secrets.get(where.name)
    if secret is None:
        raise CredentialsError(
            f'secret "{where.name}" not found in namespace "{namespace}": create it with the keys '
            f"that spec.token and spec.privateKey name"
        )
    data = secret.get("data") or {}
    if where.key not in data:
        raise CredentialsError(
            f'secret "{where.name}" has no key "{where.key}", which spec.{field_name}.secretKeyRef names: add it'
        )
    try:
        return base64.b64decode(data[where.key], validate=True)
    except (binascii.Error, TypeError, ValueError):
        raise CredentialsError(
            f'secret "{where.name}" holds something unreadable under "{where.key}"'
        ) from None


def _assemble(token: PoolToken, key: bytes, now: dt.datetime) -> PoolCredentials:
    private = _private_key(key)
    certificate = _certificate(token)
    if _public(private.public_key()) != _public(certificate.public_key()):
        raise CredentialsError(
            "privateKey does not belong to the token's certificate: use the key that the pool's CSR was made with"
        )
    if _common_name(certificate) != token.pool_ulid:
        raise CredentialsError(
            f"the token's certificate is not that of its pool {token.pool_ulid}, and the broker goes by the certificate: "
            "copy the whole content of the pool's .config file again"
        )
    if now >= certificate.not_valid_after_utc:
        when = _written(certificate.not_valid_after_utc)
        raise CredentialsError(
            f"the token's certificate expired at {when}: reset the pool to get a new token"
        )
    if set(token.topic_namespace) & _NOT_IN_A_LEVEL:
        raise CredentialsError("the token's topicNamespace must be one level of a topic, without / + and #")
    host, port = _broker(token.broker_endpoint)
    try:
        opening = OpeningKey(key)
    except SealError as error:
        raise CredentialsError(str(error)) from None
    digest = sha256(token.encode().encode() + b"\0" + key).hexdigest()
    return PoolCredentials(
        token=token,
        host=host,
        port=port,
        valid_from=certificate.not_valid_before_utc,
        expires_at=certificate.not_valid_after_utc,
        fingerprint=digest,
        opening_key=opening,
        private_key=key,
    )


def _written(time: dt.datetime) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


def _private_key(pem: bytes) -> Any:  # noqa: ANN401 - one of cryptography's private key types
    try:
        return serialization.load_pem_private_key(pem, password=None)
    except TypeError:
        raise CredentialsError("privateKey is encrypted: put the unencrypted key into the Secret") from None
    except ValueError:
        raise CredentialsError("privateKey does not hold a private key that can be read") from None


def _certificate(token: PoolToken) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(token.certificate.encode("utf-8"))
    except ValueError:
        raise CredentialsError(
            "the token's certificate can't be read: copy the pool's .config file again"
        ) from None


def _common_name(certificate: x509.Certificate) -> str:
    names = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return str(names[0].value) if len(names) == 1 else ""


def _public(key: Any) -> bytes:  # noqa: ANN401 - one of cryptography's public key types
    encoding, form = serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    data: bytes = key.public_bytes(encoding, form)
    return data


def _broker(endpoint: str) -> tuple[str, int]:
    try:
        parts = urlsplit(endpoint)
        port = parts.port or DEFAULT_BROKER_PORT
    except ValueError:
        parts, port = urlsplit(""), 0
    if parts.scheme not in ("mqtts", "ssl", "tls") or not parts.hostname:
        raise CredentialsError("the token's brokerEndpoint is not of the form mqtts://host:port")
    return parts.hostname, port


def _with_private_file(material: bytes, use: Callable[[str], object]) -> None:
    """Call `use` with a path that holds `material` for that moment only: ssl reads keys from files alone."""
    if hasattr(os, "memfd_create"):
        descriptor = os.memfd_create("pool-credentials", os.MFD_CLOEXEC)
        try:
            os.write(descriptor, material)
            use(f"/proc/self/fd/{descriptor}")
        finally:
            os.close(descriptor)
        return
    with tempfile.NamedTemporaryFile(prefix="pool-credentials-") as file:
        file.write(material)
        file.flush()
        use(file.name)
