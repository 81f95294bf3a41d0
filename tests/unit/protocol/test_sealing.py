"""Payloads are sealed to a pool's key: its holder opens them, nobody else."""

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

from protocol.sealing import OpeningKey, RunPayload, SealError, SealingKey

PAYLOAD = RunPayload("https://127.0.0.1:1983", "run-token-material", bytes(range(32)))


def _private(key: PrivateKeyTypes) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _public(key: rsa.RSAPrivateKey) -> bytes:
    return key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    """Return a pool's key; 2048 bits so that the tests are quick."""
    return rsa.generate_private_key(65537, 2048)


def test_the_holder_of_the_key_opens_what_was_sealed(key: rsa.RSAPrivateKey) -> None:
    """Sealing with the public half and opening with the private half gives the payload back."""
    assert OpeningKey(_private(key)).open(SealingKey(_public(key)).seal(PAYLOAD)) == PAYLOAD


def test_another_key_opens_nothing(key: rsa.RSAPrivateKey) -> None:
    """The error doesn't say what was inside."""
    sealed = SealingKey(_public(key)).seal(PAYLOAD)
    other = rsa.generate_private_key(65537, 2048)
    with pytest.raises(SealError, match="can't be opened"):
        OpeningKey(_private(other)).open(sealed)


@pytest.mark.parametrize("sealed", ["", "a.b.c.d.e", "ä.b.c.d.e", "not a jwe", "." * 4])
def test_rubbish_is_a_seal_error(key: rsa.RSAPrivateKey, sealed: str) -> None:
    """No other exception comes out."""
    with pytest.raises(SealError):
        OpeningKey(_private(key)).open(sealed)


def test_a_tampered_payload_is_refused(key: rsa.RSAPrivateKey) -> None:
    """The content is authenticated."""
    head, *rest = SealingKey(_public(key)).seal(PAYLOAD).split(".")
    rest[2] = ("A" if rest[2][0] != "A" else "B") + rest[2][1:]
    with pytest.raises(SealError):
        OpeningKey(_private(key)).open(".".join([head, *rest]))


def test_a_key_that_is_not_rsa_is_refused_with_the_command_that_makes_one() -> None:
    """Elliptic-curve keys can't be used for this sealing."""
    with pytest.raises(SealError, match="openssl req -newkey rsa:4096"):
        OpeningKey(_private(ec.generate_private_key(ec.SECP256R1())))


def test_the_representation_hides_the_secrets() -> None:
    """A payload that gets into a log by accident shows neither token nor key."""
    assert "material" not in repr(PAYLOAD)
    assert "workspace_key" not in repr(PAYLOAD)
