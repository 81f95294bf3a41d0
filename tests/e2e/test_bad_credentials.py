"""Bad credentials show as the documented Event and as a condition, and heal by themselves once mended."""

import base64
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from tests.e2e.harness import (
    Pool,
    Shell,
    apply,
    events,
    make_credentials,
    manifest,
    remove_pool,
    secret,
    until,
)

PREFIX = "Unable to register worker pool: cannot retrieve workerpool token: "


def _corrupt(text: str, offset: int) -> str:
    return text[:offset] + "!" + text[offset + 1 :]


def _warning(shell: Shell, name: str) -> str:
    """Wait for the Warning and return its text."""

    def found() -> Any:  # noqa: ANN401 - a Kubernetes object
        return [
            item
            for item in events(shell, "WorkerPool", name)
            if item["type"] == "Warning" and item["reason"] == "WorkerPoolCannotRegister"
        ]

    event = until(found, f"an Event WorkerPoolCannotRegister for {name}")[0]
    assert event["source"]["component"] == "workerpool-controller"
    message: str = event["message"]
    return message


def _is_unpopulated(shell: Shell, name: str) -> None:
    """Assert that the pool has no actual size and no worker, and is not Ready."""
    pool = shell.get("workerpool", name)
    assert "actualPoolSize" not in pool.get("status", {})
    assert not [item for item in shell.items("workers") if item["metadata"]["name"].startswith(name + "-")]
    ready = until(
        lambda: [
            item
            for item in shell.get("workerpool", name).get("status", {}).get("conditions", [])
            if item["type"] == "Ready"
        ],
        "a Ready condition",
    )
    assert ready[0]["status"] == "False"


@pytest.mark.parametrize("field", ["privateKey", "token"])
def test_a_broken_secret_gives_the_exact_event_and_heals(
    shell: Shell, tmp_path: Path, pool_name: str, field: str
) -> None:
    """The Event names field and byte; once the Secret is mended the pool registers by itself."""
    ulid, token, key = make_credentials(shell, pool_name, tmp_path)
    good = {"token": token, "privateKey": key}
    bad = good | {field: _corrupt(good[field], 1364)}
    apply(
        shell,
        secret(pool_name, "default", bad["token"], bad["privateKey"]),
        manifest(pool_name, "default", 2),
    )
    assert _warning(shell, pool_name) == (
        f"{PREFIX}unable to base64 decode {field}: illegal base64 data at input byte 1364"
    )
    _is_unpopulated(shell, pool_name)
    apply(shell, secret(pool_name, "default", token, key))
    pool = Pool(shell, pool_name, "default", ulid, token, key, tmp_path)
    pool.await_registered(2, 90)
    remove_pool(pool)


def test_a_missing_secret_is_named_and_heals(shell: Shell, tmp_path: Path, pool_name: str) -> None:
    """The Event names the Secret; creating it is enough."""
    ulid, token, key = make_credentials(shell, pool_name, tmp_path)
    apply(shell, manifest(pool_name, "default", 1))
    assert f'"{pool_name}"' in _warning(shell, pool_name)
    _is_unpopulated(shell, pool_name)
    apply(shell, secret(pool_name, "default", token, key))
    pool = Pool(shell, pool_name, "default", ulid, token, key, tmp_path)
    pool.await_registered(1, 90)
    remove_pool(pool)


def test_a_missing_key_of_the_secret_is_named(shell: Shell, tmp_path: Path, pool_name: str) -> None:
    """A Secret without `privateKey` is told apart from no Secret."""
    ulid, token, key = make_credentials(shell, pool_name, tmp_path)
    half = secret(pool_name, "default", token, key)
    del half["stringData"]["privateKey"]
    apply(shell, half, manifest(pool_name, "default", 1))
    assert "privateKey" in _warning(shell, pool_name)
    remove_pool(Pool(shell, pool_name, "default", ulid, token, key, tmp_path))


def _expired_certificate(key_file: Path, ulid: str) -> str:
    """Return a certificate for the pool's key whose validity has ended."""
    key = serialization.load_pem_private_key(key_file.read_bytes(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, ulid)])
    now = datetime.now(UTC)
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    validity = builder.not_valid_before(now - timedelta(days=2)).not_valid_after(now - timedelta(days=1))
    return validity.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def test_an_expired_certificate_is_an_event(shell: Shell, tmp_path: Path, pool_name: str) -> None:
    """A token whose certificate has ended says so before any connection is tried."""
    ulid, token, key = make_credentials(shell, pool_name, tmp_path)
    data = json.loads(base64.b64decode(token))
    data["certificate"] = _expired_certificate(tmp_path / f"{pool_name}.key", ulid)
    expired = base64.b64encode(json.dumps(data).encode()).decode()
    apply(shell, secret(pool_name, "default", expired, key), manifest(pool_name, "default", 1))
    assert "expired" in _warning(shell, pool_name)
    _is_unpopulated(shell, pool_name)
    apply(shell, secret(pool_name, "default", token, key))
    pool = Pool(shell, pool_name, "default", ulid, token, key, tmp_path)
    pool.await_registered(1, 90)
    remove_pool(pool)
