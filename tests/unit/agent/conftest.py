"""Credentials made once for all tests of the agent, and a world around it."""

import base64
import datetime as dt
import os
from dataclasses import dataclass

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from protocol.sealing import RunPayload, SealingKey
from protocol.token import PoolToken
from tests.unit.agent import builders as a
from tests.unit.agent.world import World

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)


@dataclass(frozen=True)
class Material:
    """A pool's credentials as a user puts them into a Secret, and what belongs to them."""

    token: PoolToken
    key: rsa.RSAPrivateKey
    authority: ec.EllipticCurvePrivateKey

    @property
    def key_pem(self) -> bytes:
        """The private key's PEM."""
        return self.key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )

    @property
    def secret_data(self) -> dict[str, str]:
        """The Secret's data, as the API carries it."""
        return secret_data(self.token.encode(), base64.b64encode(self.key_pem).decode())

    def seal(self, token: str = "run-token-secret") -> str:  # noqa: S107 - a sample
        """Return a payload sealed for the pool."""
        public = self.key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return SealingKey(public).seal(RunPayload("https://mothership.example:8443", token, os.urandom(32)))


def secret_data(token: str, key: str) -> dict[str, str]:
    """Return a Secret's data with these two values."""
    return {
        "token": base64.b64encode(token.encode()).decode(),
        "privateKey": base64.b64encode(key.encode()).decode(),
    }


def certificate(public: object, signer: object, name: str, issuer: str, days: int = 3650) -> str:
    """Return a certificate's PEM."""
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(public)  # type: ignore[arg-type]
        .serial_number(x509.random_serial_number())
        .not_valid_before(START)
        .not_valid_after(START + dt.timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=name == issuer, path_length=None), critical=True)
    )
    return builder.sign(signer, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()  # type: ignore[arg-type]


def make_material(days: int = 3650) -> Material:
    """Make a pool's key and a token with a certificate of a CA of its own."""
    authority = ec.generate_private_key(ec.SECP256R1())
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    token = PoolToken(
        pool_ulid=a.POOL_ULID,
        pool_name="pool",
        broker_endpoint="mqtts://broker.example:8883",
        api_endpoint="https://mothership.example:8443",
        certificate=certificate(key.public_key(), authority, a.POOL_ULID, "ca", days),
        ca=certificate(authority.public_key(), authority, "ca", "ca"),
    )
    return Material(token, key, authority)


@pytest.fixture(scope="session")
def material() -> Material:
    """One pool's credentials."""
    return make_material()


@pytest.fixture
def world(material: Material) -> World:
    """Make a world with these credentials, in which nothing exists yet."""
    return World(material.secret_data)
