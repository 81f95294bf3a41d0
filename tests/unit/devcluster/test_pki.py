"""Certificates: what they say, who may use them, and who can read their keys."""

import ssl
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from devcluster.pki import Authority, Identity, KeyPair, server, signing_key


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Return a new authority."""
    return Authority(tmp_path, "ca")


def _certificate(pair: KeyPair) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pair.certificate.read_bytes())


def test_a_client_certificate_carries_user_and_groups_as_kubernetes_reads_them(authority: Authority) -> None:
    """CN is the user, each O a group."""
    subject = _certificate(authority.issue("admin", Identity("admin", ("system:masters", "others")))).subject
    assert [name.value for name in subject.get_attributes_for_oid(NameOID.COMMON_NAME)] == ["admin"]
    groups = {name.value for name in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)}
    assert groups == {"system:masters", "others"}


def test_a_client_certificate_cannot_serve(authority: Authority) -> None:
    """Usages are what the identity says, and no more."""
    issued = _certificate(authority.issue("client", Identity("client")))
    usages = issued.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(usages) == [ExtendedKeyUsageOID.CLIENT_AUTH]


def test_a_server_certificate_names_its_addresses(authority: Authority) -> None:
    """Clients check them against where they connect to."""
    issued = _certificate(authority.issue("server", server("api", ["localhost", "127.0.0.1"])))
    names = issued.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert [str(address) for address in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1"]


def test_every_certificate_verifies_under_its_authority_and_under_no_other(
    tmp_path: Path, authority: Authority
) -> None:
    """Signature and issuer are right."""
    (tmp_path / "other").mkdir()
    issued = _certificate(authority.issue("client", Identity("client")))
    issued.verify_directly_issued_by(_certificate(authority.files))
    with pytest.raises(ValueError, match="Issuer"):
        issued.verify_directly_issued_by(_certificate(Authority(tmp_path / "other", "other").files))


def test_keys_are_readable_by_their_owner_alone_and_fit_their_certificates(authority: Authority) -> None:
    """P-256 keys, in files of mode 0600."""
    pair = authority.issue("client", Identity("client"))
    assert pair.key.stat().st_mode & 0o777 == 0o600
    public = _certificate(pair).public_key()
    assert isinstance(public, ec.EllipticCurvePublicKey)
    assert public.curve.name == "secp256r1"
    ssl.create_default_context().load_cert_chain(pair.certificate, pair.key)


def test_a_signing_key_comes_with_what_checks_its_signatures(tmp_path: Path) -> None:
    """The API server signs with one file and verifies with the other."""
    pair = signing_key(tmp_path, "service-accounts")
    assert pair.key.stat().st_mode & 0o777 == 0o600
    assert b"BEGIN PUBLIC KEY" in pair.certificate.read_bytes()
