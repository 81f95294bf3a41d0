"""The certificate authority: the only module that knows `cryptography`.

It signs the servers, the mothership's own MQTT client, and pools from their users' signing requests. Keys of pools
never come here.
"""

import contextlib
import datetime as dt
import ipaddress
import os
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from mothership.errors import BadRequestError, SetupError
from mothership.files import DataFiles

MQTT_USER = "mothership"
"""CN of the mothership's client certificate, and so its user name at the broker."""

CA_LIFETIME = dt.timedelta(days=3650)
SERVER_LIFETIME = dt.timedelta(days=397)
POOL_LIFETIME = dt.timedelta(days=3650)
CLOCK_SKEW = dt.timedelta(minutes=5)
SMALLEST_KEY_BITS = 2048

_CSR_COMMAND = "openssl req -new -newkey rsa:4096 -nodes -keyout spacelift.key -out spacelift.csr"


@dataclass(frozen=True, slots=True)
class PoolCertificate:
    """What a signing request became: the certificate and the public key, both PEM."""

    certificate: str
    public_key: str


class Authority:
    """The certificate authority of a data directory."""

    def __init__(self, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey) -> None:
        self._certificate = certificate
        self._key = key

    @classmethod
    def load(cls, files: DataFiles) -> "Authority":
        """Read the authority; raise `SetupError` when it isn't there."""
        try:
            certificate = x509.load_pem_x509_certificate(files.ca.read_bytes())
            key = serialization.load_pem_private_key(files.ca_key.read_bytes(), None)
        except (OSError, ValueError):
            raise SetupError(
                f"{files.root} has no certificate authority: run `mothership ca init` first"
            ) from None
        if not isinstance(key, ec.EllipticCurvePrivateKey):
            raise SetupError(f"{files.ca_key} is not the key that `mothership ca init` wrote")
        return cls(certificate, key)

    @classmethod
    def create(cls) -> "Authority":
        """Make a new authority."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = _name("mothership CA")
        identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
        certificate = (
            _builder(name, name, key.public_key(), CA_LIFETIME)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs=True), critical=True)
            .add_extension(identifier, critical=False)
            .sign(key, hashes.SHA256())
        )
        return cls(certificate, key)

    @property
    def pem(self) -> str:
        """The authority's certificate."""
        return _pem(self._certificate)

    def write(self, files: DataFiles) -> None:
        """Store certificate and key."""
        write_secret(files.ca_key, _key_pem(self._key))
        files.ca.write_text(self.pem, encoding="ascii")

    def issue_server(self, name: str, hosts: Iterable[str]) -> tuple[str, bytes]:
        """Return certificate and key (PEM) of a server reached at these names and addresses."""
        names = x509.SubjectAlternativeName([_general_name(host) for host in hosts])
        return self._issue(name, ExtendedKeyUsageOID.SERVER_AUTH, names)

    def issue_client(self, name: str) -> tuple[str, bytes]:
        """Return certificate and key (PEM) of a client."""
        return self._issue(name, ExtendedKeyUsageOID.CLIENT_AUTH, None)

    def sign_pool(self, csr_pem: str, pool: str) -> PoolCertificate:
        """Sign a user's request for the pool; raise `BadRequestError` saying what is wrong with it.

        Only the request's key is taken over: the name is the pool's ULID, whatever the request says.
        """
        key = _requested_key(csr_pem)
        certificate = self._sign(_name(pool), key, ExtendedKeyUsageOID.CLIENT_AUTH, POOL_LIFETIME, None)
        public = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
        return PoolCertificate(_pem(certificate), public.decode("ascii"))

    def _issue(
        self, name: str, usage: x509.ObjectIdentifier, names: x509.SubjectAlternativeName | None
    ) -> tuple[str, bytes]:
        key = ec.generate_private_key(ec.SECP256R1())
        return _pem(self._sign(_name(name), key.public_key(), usage, SERVER_LIFETIME, names)), _key_pem(key)

    def _sign(
        self,
        subject: x509.Name,
        key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey,
        usage: x509.ObjectIdentifier,
        lifetime: dt.timedelta,
        names: x509.SubjectAlternativeName | None,
    ) -> x509.Certificate:
        issuer_key = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        builder = (
            _builder(subject, self._certificate.subject, key, lifetime)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
            .add_extension(issuer_key, critical=False)
        )
        if names is not None:
            builder = builder.add_extension(names, critical=False)
        return builder.sign(self._key, hashes.SHA256())


def initialise(files: DataFiles, hosts: Iterable[str]) -> list[Path]:
    """Fill a data directory; return the files written.

    An authority and an admin token that are there stay: replacing them would lock every pool and user out. The
    certificates of servers and of the mothership's client are issued anew, which is how they are renewed.
    """
    files.root.mkdir(parents=True, exist_ok=True, mode=0o700)
    written = []
    if files.ca_key.exists():
        authority = Authority.load(files)
    else:
        authority = Authority.create()
        authority.write(files)
        written += [files.ca, files.ca_key]
    names = list(hosts)
    pairs = {
        "server": authority.issue_server("mothership server", names),
        "broker": authority.issue_server("broker", names),
        "mqtt-client": authority.issue_client(MQTT_USER),
    }
    for name, (certificate, key) in pairs.items():
        certificate_file, key_file = files.pair(name)
        write_secret(key_file, key)
        certificate_file.write_text(certificate, encoding="ascii")
        written += [certificate_file, key_file]
    if not files.admin_token.exists():
        write_secret(files.admin_token, secrets.token_urlsafe(32).encode())
        written.append(files.admin_token)
    return written


def write_secret(path: Path, content: bytes) -> None:
    """Write a file that only its owner may read, replacing an old one in one step."""
    draft = path.with_name(path.name + ".new")
    with contextlib.suppress(FileNotFoundError):
        draft.unlink()
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
    draft.replace(path)


def _requested_key(csr_pem: str) -> rsa.RSAPublicKey:
    try:
        request = x509.load_pem_x509_csr(csr_pem.encode())
        signed = request.is_signature_valid
        key = request.public_key()
    except (ValueError, InvalidSignature, UnsupportedAlgorithm):
        raise BadRequestError(
            f"csr: not a certificate signing request in PEM; make one with `{_CSR_COMMAND}`"
        ) from None
    if not isinstance(key, rsa.RSAPublicKey):
        raise BadRequestError(
            f"csr: its key must be RSA, run payloads are sealed to it; use `{_CSR_COMMAND}`"
        )
    if key.key_size < SMALLEST_KEY_BITS:
        raise BadRequestError(
            f"csr: its RSA key has {key.key_size} bits, at least {SMALLEST_KEY_BITS} are needed"
        )
    if not signed:
        raise BadRequestError(
            "csr: its signature is not valid, so it may be damaged or not made with its own key"
        )
    return key


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey,
    lifetime: dt.timedelta,
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - CLOCK_SKEW)
        .not_valid_after(now + lifetime)
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


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


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode("ascii")


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
