"""A pool's credentials, and the exact words about what is wrong with them."""

import base64
import datetime as dt
import ssl
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from app.agent.credentials import read_credentials
from app.agent.pool_state import PoolView
from protocol.token import CredentialsError
from tests.unit.agent import builders as a
from tests.unit.agent.conftest import START, Material, certificate, make_material, secret_data

NOW = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
Json = dict[str, object]


def fault(data: dict[str, str] | None, pool: PoolView | None = None, now: dt.datetime = NOW) -> str:
    """Return what is said of a Secret's data (None: no Secret)."""
    secret = None if data is None else {"data": data}
    with pytest.raises(CredentialsError) as caught:
        read_credentials(pool or a.pool(), {"creds": secret}, now)
    return str(caught.value)


def encoded(pem: bytes) -> str:
    """Return a key as a user puts it into a Secret."""
    return base64.b64encode(pem).decode()


def test_good_credentials_are_read(material: Material) -> None:
    """Broker address, certificate, key: and nothing secret in its repr."""
    found = read_credentials(a.pool(), {"creds": {"data": material.secret_data}}, NOW)
    assert (found.host, found.port, found.token.pool_ulid) == ("broker.example", 8883, a.POOL_ULID)
    assert found.expired(START + dt.timedelta(days=3651))
    assert "BEGIN" not in repr(found)
    assert isinstance(found.tls_context(), ssl.SSLContext)
    assert found.tls_context().check_hostname


def test_the_fingerprint_is_that_of_the_content(material: Material) -> None:
    """A Secret written again with the same content is no rotation."""
    first, again = (
        read_credentials(a.pool(), {"creds": {"data": material.secret_data}}, NOW) for _ in range(2)
    )
    other = read_credentials(a.pool(), {"creds": {"data": make_material().secret_data}}, NOW)
    assert first.fingerprint == again.fingerprint != other.fingerprint


def test_a_private_key_with_a_bad_byte_has_the_documented_text(material: Material) -> None:
    """Byte 4364, as users of the field know it."""
    key = "QUJD" * 1091 + "!bad"
    assert fault(secret_data(material.token.encode(), key)) == (
        "cannot retrieve workerpool token: unable to base64 decode privateKey: "
        "illegal base64 data at input byte 4364"
    )


def test_a_token_with_a_bad_byte_has_the_documented_text(material: Material) -> None:
    """Byte 2580, as users of the field know it."""
    token = "QUJD" * 645 + "*"
    assert fault(secret_data(token, encoded(material.key_pem))) == (
        "cannot retrieve workerpool token: unable to base64 decode token: illegal base64 data at input byte 2580"
    )


def test_a_missing_secret_or_key_is_named_with_what_mends_it(material: Material) -> None:
    """The user needn't look anything up."""
    assert 'secret "creds" not found in namespace "default"' in fault(None)
    assert 'secret "creds" has no key "token"' in fault({"privateKey": "eA=="})
    data = {"token": material.secret_data["token"]}
    assert 'secret "creds" has no key "privateKey"' in fault(data)
    assert "spec.token.secretKeyRef must name a Secret" in fault({}, a.pool(token={}))


def test_an_expired_certificate_says_when_and_what_to_do() -> None:
    """It heals with a new token."""
    text = fault(make_material(days=10).secret_data)
    assert text.endswith("certificate expired at 2026-01-11T00:00:00Z: reset the pool to get a new token")


def test_dates_of_the_certificate_are_put_beside_the_operators_clock(material: Material) -> None:
    """Skewed clocks: too early, too late, and in between nothing at all."""
    found = read_credentials(a.pool(), {"creds": {"data": material.secret_data}}, NOW)
    assert found.clock_hint(NOW) == ""
    early = found.clock_hint(START - dt.timedelta(hours=1))
    assert "begins at 2026-01-01T00:00:00Z, and the operator's clock says 2025-12-31T23:00:00Z" in early
    assert "expired at" in found.clock_hint(START + dt.timedelta(days=3651))


@pytest.mark.parametrize("namespace", ["a/b", "+", "#", "a#"])
def test_a_topic_namespace_of_several_levels_is_refused(material: Material, namespace: str) -> None:
    """No message would ever be understood, and a wildcard would hear other pools."""
    token = replace(material.token, topic_namespace=namespace)
    text = fault(secret_data(token.encode(), encoded(material.key_pem)))
    assert "topicNamespace must be one level" in text


def test_a_key_of_another_certificate_is_found_out(material: Material) -> None:
    """Before the broker refuses it without a reason."""
    other = make_material()
    assert "does not belong to the token's certificate" in fault(
        secret_data(material.token.encode(), encoded(other.key_pem))
    )


def test_a_certificate_of_another_pool_is_found_out(material: Material) -> None:
    """The broker would let it in as that pool, and refuse every topic of this one."""
    theirs = certificate(material.key.public_key(), material.authority, "01J00000000000000000000000", "ca")
    token = replace(material.token, certificate=theirs)
    text = fault(secret_data(token.encode(), encoded(material.key_pem)))
    assert f"is not that of its pool {a.POOL_ULID}" in text


def test_keys_that_cannot_serve_are_told_apart(material: Material) -> None:
    """Encrypted, no key at all, not RSA."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    locked = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"word"),
    )
    token = material.token.encode()
    assert "encrypted" in fault(secret_data(token, encoded(locked)))
    broken = b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"
    assert "can be read" in fault(secret_data(token, encoded(broken)))
    curve = ec.generate_private_key(ec.SECP256R1())
    pem = curve.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    signed = certificate(curve.public_key(), material.authority, a.POOL_ULID, "ca")
    token = replace(material.token, certificate=signed).encode()
    assert "RSA" in fault(secret_data(token, encoded(pem)))
    assert "RSA" in fault(secret_data(token, encoded(of_an_unknown_curve(curve))))


def of_an_unknown_curve(key: ec.EllipticCurvePrivateKey) -> bytes:
    """Return a key's PEM with the name of a curve that cryptography doesn't know (SM2) in the place of P-256's."""
    der = key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    known, unknown = bytes.fromhex("06082a8648ce3d030107"), bytes.fromhex("06082a811ccf5501822d")
    assert known in der
    body = base64.encodebytes(der.replace(known, unknown)).decode()
    return f"-----BEGIN PRIVATE KEY-----\n{body}-----END PRIVATE KEY-----\n".encode()


@pytest.mark.parametrize("endpoint", ["broker.example:8883", "http://x", "mqtts://", "mqtts://h:99999"])
def test_a_token_with_an_impossible_broker_address_is_refused(material: Material, endpoint: str) -> None:
    """Plain MQTT isn't spoken."""
    token = replace(material.token, broker_endpoint=endpoint)
    text = fault(secret_data(token.encode(), encoded(material.key_pem)))
    assert "mqtts://host:port" in text


def test_no_fault_repeats_the_material(material: Material) -> None:
    """Neither token nor key reach an Event."""
    key, token = encoded(material.key_pem), material.token.encode()
    for data in (
        secret_data(token, key[:-5] + "!"),
        secret_data(token[:-5] + "!", key),
        secret_data(token, token),
    ):
        text = fault(data)
        assert key[40:60] not in text
        assert token[40:60] not in text
