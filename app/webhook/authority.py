"""The operator's own certificate authority for its hooks: makes it, reads it back, and signs serving certificates.

Pure but for the keys' randomness. Only Metacontroller trusts this authority, and only for these hooks.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

AUTHORITY_LIFETIME: Final = dt.timedelta(days=3650)
"""How long an authority of ours is valid."""

AUTHORITY_RENEWAL: Final = dt.timedelta(days=365)
"""With so much of its life left, an authority of ours is replaced; the old one stays trusted until its end."""

SERVING_LIFETIME: Final = dt.timedelta(days=90)
"""How long a serving certificate is valid; it lives in the memory of one process only."""

CLOCK_SKEW: Final = dt.timedelta(hours=1)
"""How far clocks of nodes may differ."""

COMMON_NAME: Final = "workerpool-controller hooks"
"""Subject of an authority of ours, by which it is told from one that an administrator brought."""


class AuthorityError(ValueError):
    """Certificate and key can't be used as an authority; the text never holds any of them."""


@dataclass(frozen=True, slots=True)
class Pair:
    """A certificate with its key, both PEM, and until when it is valid."""

    certificate: bytes
    key: bytes
    not_after: dt.datetime


class Authority:
    """A signing certificate with its key; ``bundle`` is the PEM that trusts it, former authorities included."""

    def __init__(
        self,
        certificate: x509.Certificate,
        key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey,
        former: Iterable[x509.Certificate] = (),
    ) -> None:
        self._certificate, self._key = certificate, key
        self._former = tuple(former)

    @classmethod
    def create(cls, now: dt.datetime, former: Authority | None = None) -> Self:
        """Return a new authority; ``former`` stays trusted as long as it is valid."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = _name(COMMON_NAME)
        certificate = (
            _builder(name, name, key.public_key(), now, AUTHORITY_LIFETIME)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs=True), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .sign(key, hashes.SHA256())
        )
        trusted = former.trusted if former else ()
        return cls(certificate, key, [each for each in trusted if each.not_valid_after_utc > now])

    @classmethod
    def load(cls, certificates: bytes, key: bytes) -> Self:
        """Read PEM back; the first certificate is the one that signs. Raises AuthorityError."""
        try:
            first, *former = x509.load_pem_x509_certificates(certificates)
            private = serialization.load_pem_private_key(key, None)
        except (ValueError, TypeError):
            raise AuthorityError("no PEM certificate with an unencrypted PEM key") from None
        if not isinstance(private, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
            raise AuthorityError("the key is neither EC nor RSA")
        if private.public_key() != first.public_key():
            raise AuthorityError("the key isn't that of the first certificate")
        try:
            signs = first.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
        except x509.ExtensionNotFound:
            signs = False
        if not signs:
            raise AuthorityError("the first certificate isn't that of an authority (CA:TRUE)")
        return cls(first, private, former)

    @property
    def trusted(self) -> tuple[x509.Certificate, ...]:
        """The certificates to trust, the signing one first."""
        return (self._certificate, *self._former)

    @property
    def bundle(self) -> bytes:
        """The certificates to trust, as PEM."""
        return b"".join(each.public_bytes(serialization.Encoding.PEM) for each in self.trusted)

    @property
    def key(self) -> bytes:
        """The private key, as PEM."""
        return _key_pem(self._key)

    def wants_renewal(self, now: dt.datetime) -> bool:
        """Return whether the authority is ours to replace and near its end; one that was brought is left alone."""
        ours = self._certificate.subject == _name(COMMON_NAME)
        return ours and self._certificate.not_valid_after_utc - now < AUTHORITY_RENEWAL

    def issue(self, names: Iterable[str], now: dt.datetime) -> Pair:
        """Return a serving certificate for these DNS names and addresses, valid as long as the authority at most."""
        hosts = [_general_name(name) for name in names]
        key = ec.generate_private_key(ec.SECP256R1())
        lifetime = min(SERVING_LIFETIME, self._certificate.not_valid_after_utc - now)
        identifier = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        certificate = (
            _builder(
                _name("workerpool-controller"), self._certificate.subject, key.public_key(), now, lifetime
            )
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
            .add_extension(x509.SubjectAlternativeName(hosts), critical=False)
            .add_extension(identifier, critical=False)
            .sign(self._key, hashes.SHA256())
        )
        pem = certificate.public_bytes(serialization.Encoding.PEM)
        return Pair(pem, _key_pem(key), certificate.not_valid_after_utc)


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    public: ec.EllipticCurvePublicKey,
    now: dt.datetime,
    lifetime: dt.timedelta,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + lifetime)
    )


def _usage(*, signs: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs,
        crl_sign=signs,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _key_pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
