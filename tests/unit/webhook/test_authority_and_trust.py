"""What the operator's authority signs is trusted, and Metacontroller is told what it needs, no more often than needed."""

import base64
import copy
import datetime as dt
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.verification import PolicyBuilder, Store, VerificationError

from app.webhook.authority import (
    AUTHORITY_LIFETIME,
    AUTHORITY_RENEWAL,
    SERVING_LIFETIME,
    Authority,
    AuthorityError,
)
from app.webhook.trust import HookSecret, SecretError, Trust, trust_patch

NOW = dt.datetime(2026, 11, 21, 12, tzinfo=dt.UTC)
NAME = "hooks.operator"
TOKEN_AT = {"name": "hooks", "namespace": "operator", "key": "token"}


def trusts(bundle: bytes, certificate: bytes, name: str = NAME, at: dt.datetime = NOW) -> bool:
    """Return whether a client with this bundle talks to a server with this certificate."""
    store = Store(x509.load_pem_x509_certificates(bundle))
    verifier = PolicyBuilder().store(store).time(at).build_server_verifier(x509.DNSName(name))
    try:
        verifier.verify(x509.load_pem_x509_certificate(certificate), [])
    except VerificationError:
        return False
    return True


def test_a_serving_certificate_is_trusted_for_its_names_and_its_time() -> None:
    """Strict verification, as Go does it; nobody else's authority will do."""
    authority = Authority.create(NOW)
    pair = authority.issue([NAME, "127.0.0.1"], NOW)
    assert trusts(authority.bundle, pair.certificate)
    assert not trusts(authority.bundle, pair.certificate, name="other.operator")
    assert not trusts(authority.bundle, pair.certificate, at=NOW + SERVING_LIFETIME + dt.timedelta(days=1))
    assert not trusts(Authority.create(NOW).bundle, pair.certificate)


def test_an_authority_is_read_back_and_signs_on() -> None:
    """Another replica reads the Secret that the first one wrote."""
    made = Authority.create(NOW)
    read = Authority.load(made.bundle, made.key)
    assert trusts(made.bundle, read.issue([NAME], NOW).certificate)


def test_an_authority_is_renewed_before_its_end_and_stays_trusted_until_then() -> None:
    """A replica that hasn't read the new one yet goes on being trusted."""
    old = Authority.create(NOW)
    late = NOW + AUTHORITY_LIFETIME - AUTHORITY_RENEWAL + dt.timedelta(days=1)
    assert not old.wants_renewal(late - dt.timedelta(days=2))
    assert old.wants_renewal(late)
    new = Authority.create(late, old)
    assert trusts(new.bundle, old.issue([NAME], late).certificate, at=late)
    assert trusts(new.bundle, new.issue([NAME], late).certificate, at=late)
    assert len(Authority.create(NOW + AUTHORITY_LIFETIME * 2, new).trusted) == 1


def test_a_certificate_never_outlives_its_authority() -> None:
    """A client would refuse it all the same, with a text that names another reason."""
    authority = Authority.create(NOW)
    end = NOW + AUTHORITY_LIFETIME
    assert authority.issue([NAME], end - dt.timedelta(days=2)).not_after <= end


@pytest.mark.parametrize("fault", ["no certificate", "no key", "another key", "no authority"])
def test_what_is_no_authority_is_refused_without_a_word_of_it(fault: str) -> None:
    """The text is logged."""
    authority = Authority.create(NOW)
    certificate, key = authority.bundle, authority.key
    if fault == "no certificate":
        certificate = b"nonsense"
    elif fault == "no key":
        key = b"nonsense"
    elif fault == "another key":
        key = Authority.create(NOW).key
    else:
        pair = authority.issue([NAME], NOW)
        certificate, key = pair.certificate, pair.key
    with pytest.raises(AuthorityError) as raised:
        Authority.load(certificate, key)
    assert "BEGIN" not in str(raised.value)
    assert "nonsense" not in str(raised.value)


def test_a_secret_is_written_and_read_back() -> None:
    """With a token of 256 bits that no other Secret has."""
    made = HookSecret.make(NOW)
    read = HookSecret.read(made.to_object("hooks", "operator"))
    assert (read.token, read.authority.bundle) == (made.token, made.authority.bundle)
    assert len(base64.urlsafe_b64decode(made.token + "=")) == 32
    assert HookSecret.make(NOW).token != made.token
    assert HookSecret.make(NOW, made).token == made.token


@pytest.mark.parametrize("key", ["ca.crt", "ca.key", "token"])
@pytest.mark.parametrize("value", [None, "", "!", base64.b64encode(b"\xff").decode()])
def test_a_secret_that_cannot_be_used_says_which_key_and_what_to_do(key: str, value: str | None) -> None:
    """Never what was in it."""
    broken = HookSecret.make(NOW).to_object("hooks", "operator")
    if value is None:
        del broken["data"][key]
    else:
        broken["data"][key] = value
    with pytest.raises(SecretError, match=f"{key}.*delete the Secret"):
        HookSecret.read(broken)


def test_an_authority_that_an_administrator_brought_is_left_alone() -> None:
    """Who brings one replaces it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "our company")])
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, NOW, NOW + dt.timedelta(days=2))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    assert not Authority.load(certificate.public_bytes(pem), private).wants_renewal(NOW)


def controller(**webhook: Any) -> dict[str, Any]:  # noqa: ANN401 - fields of a webhook
    """Return a controller with two hooks at one Service."""
    service = {"name": "hooks", "namespace": "operator", "port": 443, "protocol": "https"}
    hook = {"webhook": {"path": "/sync", "service": service, **webhook}}
    return {"spec": {"hooks": {"sync": hook, "finalize": copy.deepcopy(hook)}}}


def patched(found: dict[str, Any], trust: Trust) -> dict[str, Any]:
    """Return the controller after the patch."""
    patch = trust_patch(found, trust)
    return {"spec": {**found["spec"], **(patch or {"spec": {}})["spec"]}}


def test_metacontroller_is_told_once_for_each_host() -> None:
    """The second look finds nothing to write."""
    trust = Trust("PEM", TOKEN_AT)
    after = patched(controller(), trust)
    assert after["spec"]["endpointConfigs"] == [
        {
            "host": "hooks.operator:443",
            "caBundle": {"inline": "PEM"},
            "authorization": {"type": "Bearer", "secretRef": TOKEN_AT},
        }
    ]
    assert trust_patch(after, trust) is None


def test_a_new_authority_a_new_token_and_no_token_are_told() -> None:
    """Metacontroller looks again only when its object's spec changes: a new token has to change it as well."""
    first = HookSecret.make(NOW)
    other = HookSecret(first.authority, "another")
    assert first.bundle(with_token=True) != other.bundle(with_token=True)
    assert first.bundle(with_token=False) == other.bundle(with_token=False)
    assert first.token not in first.bundle(with_token=True)
    after = patched(controller(), Trust("PEM", TOKEN_AT))
    assert trust_patch(after, Trust("NEW", TOKEN_AT)) is not None
    assert trust_patch(after, Trust("PEM")) is not None


@pytest.mark.parametrize(
    "settings",
    [
        {"caBundle": {"secretRef": {"name": "mine", "namespace": "x"}}},
        {"authorization": {"secretRef": TOKEN_AT}},
        {"clientTLS": {"secretRef": TOKEN_AT}},
        {"service": {"name": "hooks", "namespace": "operator", "protocol": "http"}},
        {"url": "http://127.0.0.1:1/sync"},
    ],
)
def test_plain_hooks_and_an_administrators_own_settings_are_left_alone(settings: dict[str, Any]) -> None:
    """Settings at a hook win over those by host, so ours would have no effect but noise."""
    assert trust_patch(controller(**settings), Trust("PEM", TOKEN_AT)) is None


def test_entries_for_other_hosts_and_an_administrators_own_authority_stay() -> None:
    """A list is replaced as a whole by a merge patch."""
    found = controller()
    foreign = {"host": "elsewhere:443", "caBundle": {"inline": "OTHER"}}
    found["spec"]["endpointConfigs"] = [foreign]
    assert patched(found, Trust("PEM"))["spec"]["endpointConfigs"][0] == foreign
    own = {"host": "hooks.operator:443", "caBundle": {"configMapRef": {"name": "mine", "namespace": "x"}}}
    found["spec"]["endpointConfigs"] = [own]
    assert trust_patch(found, Trust("PEM")) is None
