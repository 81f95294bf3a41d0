"""Tokens and keys: what users paste is read, or refused with the byte or field that is wrong."""

import base64
import binascii
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.token import CredentialsError, PoolToken, decode_base64, decode_private_key, decode_token

TOKEN = PoolToken(
    pool_ulid="01HPS9HDSWCQ73RPDTVAK0KK0A",
    pool_name="local-pool",
    broker_endpoint="mqtts://127.0.0.1:1984",
    api_endpoint="https://127.0.0.1:1983",
    certificate="-----BEGIN CERTIFICATE-----",
    ca="-----BEGIN CERTIFICATE-----",
)


def test_a_token_comes_back_as_it_was() -> None:
    """Encoding and decoding are inverse."""
    assert decode_token(TOKEN.encode()) == TOKEN


@pytest.mark.parametrize(
    ("text", "offset"),
    [
        ("YWJ!", 3),
        ("YWJjY", 4),
        ("YWJjYW", 4),
        ("YWJjYWJ", 4),
        ("=", 0),
        ("Y=", 1),
        ("YW=a", 2),
        ("YW=", 3),
        ("YQ==x", 4),
        ("YQ==\nYQ==", 5),
        (" YQ==", 0),
    ],
)
def test_the_first_bad_byte_is_named(text: str, offset: int) -> None:
    """The offset is the one users of the original see."""
    with pytest.raises(CredentialsError) as caught:
        decode_base64("privateKey", text)
    assert (
        str(caught.value) == f"unable to base64 decode privateKey: illegal base64 data at input byte {offset}"
    )


@given(st.binary())
def test_all_base64_is_decoded_with_line_breaks_anywhere(data: bytes) -> None:
    """`base64` without -w 0 breaks lines; that is no error."""
    assert decode_base64("token", base64.encodebytes(data)) == data


@given(st.text(alphabet=st.sampled_from("AQYz+/=\n- é"), max_size=12))
def test_decoding_fails_exactly_where_strict_decoding_fails(text: str) -> None:
    """What Python's strict decoder takes, this takes, and nothing else."""
    data = text.encode()
    plain = data.replace(b"\n", b"")
    # Python's strict decoder overlooks padding behind a whole group of four; Go's, whose errors users see, does not.
    body = plain.rstrip(b"=")
    padded = plain if len(plain) - len(body) == -len(body) % 4 else b"="
    try:
        wanted: bytes | None = binascii.a2b_base64(padded, strict_mode=True) if plain else b""
    except binascii.Error:
        wanted = None
    try:
        found: bytes | None = decode_base64("token", data)
    except CredentialsError:
        found = None
    assert found == wanted


def test_a_token_of_another_version_is_refused() -> None:
    """The text says which version is spoken here."""
    data = json.loads(base64.b64decode(TOKEN.encode())) | {"version": 9}
    with pytest.raises(CredentialsError, match="speaks version 1"):
        decode_token(base64.b64encode(json.dumps(data).encode()))


@pytest.mark.parametrize(
    "key", ["poolULID", "brokerEndpoint", "certificate", "ca", "apiEndpoint", "topicNamespace"]
)
def test_a_missing_part_of_a_token_is_named(key: str) -> None:
    """Half a copied file is told as such."""
    data = json.loads(base64.b64decode(TOKEN.encode()))
    del data[key]
    with pytest.raises(CredentialsError, match=f"token lacks {key}"):
        decode_token(base64.b64encode(json.dumps(data).encode()))


@pytest.mark.parametrize("raw", [b"", b"nonsense", b"[1]"])
def test_base64_of_something_else_is_no_token(raw: bytes) -> None:
    """The text says what to copy."""
    with pytest.raises(CredentialsError, match="does not hold a JSON object"):
        decode_token(base64.b64encode(raw))


def test_base64_of_something_else_is_no_private_key() -> None:
    """A certificate pasted into privateKey is refused without being repeated."""
    with pytest.raises(CredentialsError, match="does not hold a PEM private key") as caught:
        decode_private_key(base64.b64encode(b"-----BEGIN CERTIFICATE-----"))
    assert "CERTIFICATE" not in str(caught.value)


def test_the_representation_of_a_token_hides_its_material() -> None:
    """A token that gets into a log by accident shows no certificate."""
    assert "BEGIN" not in repr(TOKEN)
