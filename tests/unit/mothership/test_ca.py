"""The certificate authority and what is written for the broker."""

import stat
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from mothership import ca
from mothership.broker_config import write_broker_config
from mothership.ca import Authority
from mothership.errors import BadRequestError, SetupError
from mothership.files import DataFiles
from mothership.settings import Address


def test_openssl_request_of_the_documents_is_signed(tmp_path: Path) -> None:
    """The user's command works as it is documented."""
    csr = tmp_path / "spacelift.csr"
    command = [
        "openssl",
        "req",
        "-new",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        str(tmp_path / "k"),
        "-out",
        str(csr),
    ]
    subprocess.run([*command, "-subj", "/CN=x"], check=True, capture_output=True)
    signed = Authority.create().sign_pool(csr.read_text(), "01HPS6XB76J1JB3EHSK4AWE5AB")
    assert "BEGIN CERTIFICATE" in signed.certificate
    assert "BEGIN PUBLIC KEY" in signed.public_key


def test_elliptic_key_is_refused_with_the_reason(tmp_path: Path) -> None:
    """Payloads are sealed with RSA."""
    csr = tmp_path / "ec.csr"
    options = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=x"]
    subprocess.run(
        ["openssl", "req", "-new", *options, "-keyout", str(tmp_path / "k"), "-out", str(csr)],
        check=True,
        capture_output=True,
    )
    with pytest.raises(BadRequestError, match="must be RSA"):
        Authority.create().sign_pool(csr.read_text(), "POOL")


def test_forged_request_is_refused(tmp_path: Path) -> None:
    """A request whose signature isn't made with its own key."""
    csr = tmp_path / "spacelift.csr"
    command = [
        "openssl",
        "req",
        "-new",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-keyout",
        str(tmp_path / "k"),
        "-outform",
        "DER",
    ]
    subprocess.run([*command, "-out", str(csr), "-subj", "/CN=x"], check=True, capture_output=True)
    der = bytearray(csr.read_bytes())
    der[-1] ^= 1
    csr.write_bytes(der)
    pem = subprocess.run(
        ["openssl", "req", "-inform", "DER", "-in", str(csr)], check=True, capture_output=True, text=True
    ).stdout
    with pytest.raises(BadRequestError, match="signature is not valid"):
        Authority.create().sign_pool(pem, "POOL")


@pytest.mark.parametrize(
    "text", ["", "junk", "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----"]
)
def test_what_is_no_request_is_refused_with_the_command_that_makes_one(text: str) -> None:
    """The error says what to do."""
    with pytest.raises(BadRequestError, match="openssl req"):
        Authority.create().sign_pool(text, "POOL")


def test_second_init_keeps_authority_and_token_and_renews_the_rest(tmp_path: Path) -> None:
    """A new authority would lock every pool out."""
    files = DataFiles(tmp_path)
    ca.initialise(files, ["127.0.0.1"])
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    ca.initialise(files, ["127.0.0.1", "mothership.example"])
    after = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    same = {name for name in before if before[name] == after[name]}
    assert same == {"ca.crt", "ca.key", "admin-token"}


def test_secret_files_are_for_their_owner_only(tmp_path: Path) -> None:
    """Keys and the admin token."""
    ca.initialise(DataFiles(tmp_path), ["127.0.0.1"])
    for name in ("ca.key", "server.key", "broker.key", "mqtt-client.key", "admin-token"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600, name


def test_missing_authority_is_a_setup_error(tmp_path: Path) -> None:
    """It names the command."""
    with pytest.raises(SetupError, match="ca init"):
        Authority.load(DataFiles(tmp_path))


def test_broker_configuration_has_tls_persistence_and_acl(tmp_path: Path) -> None:
    """Every default that would lose messages or let strangers in is set."""
    config, acl = write_broker_config(DataFiles(tmp_path / "d"), Address("127.0.0.1", 1), tmp_path / "out")
    text = config.read_text()
    for line in (
        "require_certificate true",
        "use_identity_as_username true",
        "persistence true",
        "autosave_interval 5",
        "max_queued_messages 100000",
        "max_inflight_messages 1000",
        "allow_anonymous false",
    ):
        assert line in text
    assert "pattern read spacelift/readonly/%u/+" in acl.read_text()
    assert "pattern write spacelift/writeonly/%u/+" in acl.read_text()


def test_small_rsa_key_is_refused() -> None:
    """1024 bits can be broken."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=1024)  # noqa: S505 - the point of the test
    request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, hashes.SHA256())
    with pytest.raises(BadRequestError, match="1024 bits"):
        Authority.create().sign_pool(request.public_bytes(serialization.Encoding.PEM).decode(), "POOL")
