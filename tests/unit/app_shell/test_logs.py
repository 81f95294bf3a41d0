"""No key and no token gets into a log line, wherever it was put; lines are bounded JSON."""

from __future__ import annotations

import base64
import io
import json
import logging
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from app import logs
from protocol.sealing import RunPayload, SealingKey


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """Leave the process's loggers as they were."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    levels = {name: logging.getLogger(name).level for name in ("urllib3", "kubernetes", "werkzeug")}
    yield
    root.handlers, root.level = handlers, level
    for name, before in levels.items():
        logging.getLogger(name).setLevel(before)
    logging.captureWarnings(False)
    structlog.reset_defaults()


@pytest.fixture
def output() -> io.StringIO:
    """Return where the lines go."""
    stream = io.StringIO()
    logs.configure("debug", "auto", stream)
    return stream


def lines(output: io.StringIO) -> list[dict[str, Any]]:
    """Parse every line."""
    return [json.loads(line) for line in output.getvalue().splitlines()]


class Secrets:
    """Real ones: a private key, and tokens of each shape that the product handles."""

    def __init__(self) -> None:
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()
        self.pem_base64 = base64.b64encode(self.pem.encode()).decode()
        self.body = "".join(self.pem.splitlines()[1:-1])
        public = key.public_key().public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        self.jwe = SealingKey(public).seal(RunPayload("https://host", "token", bytes(32)))
        self.jwt = "eyJhbGciOiJSUzI1NiIsImtpZCI6IkEifQ.eyJpc3MiOiJrdWJlcm5ldGVzIn0.c2lnbmF0dXJlLXNpZ25hdHVyZQ"
        self.pool_token = base64.b64encode(
            json.dumps({"version": 1, "certificate": self.pem}).encode()
        ).decode()
        self.bearer = "r4nd0m-Run-T0ken_0123456789"

    def pieces(self) -> list[str]:
        """Return what must not be found: each secret, and long pieces of it."""
        secrets = [self.pem_base64, self.body, self.jwe, self.jwt, self.pool_token]
        pieces = [secret[at : at + 24] for secret in secrets for at in range(24, len(secret) - 24, 24)]
        return [*pieces, *self.pem.splitlines()[1:-1], self.bearer]


@pytest.fixture(scope="module")
def secrets() -> Secrets:
    """Return one set for all tests: a key takes a while."""
    return Secrets()


def found(text: str, secrets: Secrets) -> list[str]:
    """Return which pieces of secrets the text holds."""
    return [piece for piece in secrets.pieces() if piece in text]


def test_the_search_finds_what_is_not_redacted(secrets: Secrets) -> None:
    """The other tests look with this, so it must be able to find."""
    for text in (secrets.pem, secrets.pem_base64, secrets.body, secrets.jwe, secrets.jwt, secrets.pool_token):
        assert found(text, secrets)


@pytest.mark.parametrize("name", ["pem", "pem_base64", "body", "jwe", "jwt", "pool_token"])
@pytest.mark.parametrize("log_format", ["json", "console"])
def test_keys_and_tokens_are_taken_out_of_every_place(secrets: Secrets, name: str, log_format: str) -> None:
    """In the event, in a field, deep in an object, as bytes, as a key, in an exception, in a foreign logger."""
    output = io.StringIO()
    logs.configure("debug", log_format, output)
    secret = getattr(secrets, name)
    log = structlog.get_logger("test").bind(bound=f"before {secret} after")
    event = f"event {secret}"
    log.info(event, field=f"text: {secret}", deep={"a": [{"b": (secret,)}]}, raw=secret.encode())
    log.info("mapping", mapping={secret: 1}, shown=repr({"key": secret}))
    logging.getLogger("urllib3").warning("refused %s for %r", secret, {"x": secret})
    try:
        raise ValueError(f"cannot use {secret}")
    except ValueError:
        log.exception("failed")
        logging.getLogger("kubernetes").exception("failed too")
    assert not found(output.getvalue(), secrets)
    assert output.getvalue().count(logs.REDACTED) >= 10
    assert "failed too" in output.getvalue()


def test_a_key_that_was_cut_off_is_taken_out(output: io.StringIO, secrets: Secrets) -> None:
    """Half a key is half a secret."""
    structlog.get_logger("test").info("cut", text="tail of " + secrets.pem[:400])
    assert not found(output.getvalue(), secrets)


@pytest.mark.parametrize("line_break", ["\n", "\r\n", " ", "\\n", "\n    "])
def test_a_key_whose_front_was_cut_off_is_taken_out(secrets: Secrets, line_break: str) -> None:
    """Kubelets keep the end of a log; what was said beside the key stays."""
    text = secrets.pem.strip().replace("\n", line_break)
    for cut in range(len("-----BEGIN PRIVATE KEY-----"), len(text) - 26, 13):
        shown = logs.redact_text(f"{text[cut:]} is no key")
        assert not found(shown, secrets)
        assert shown.lstrip(" \r\n\\") == f"{logs.REDACTED} is no key"
    assert not found(logs.redact_text(text[500:-3]), secrets)


def test_lines_like_those_of_a_key_take_no_endless_time() -> None:
    """Foreign texts are redacted before they are cut, however long they are."""
    begun = time.monotonic()
    for text in ("a" * 64 + "\n", "a", "-----END ", "word ", "-"):
        logs.redact_text(text * (200_000 // len(text)))
    assert time.monotonic() - begun < 10


@pytest.mark.parametrize(
    "key",
    [
        "token",
        "runToken",
        "privateKey",
        "private_key",
        "payload",
        "secret",
        "Authorization",
        "password",
        "workspace-key",
    ],
)
def test_values_of_keys_that_name_secrets_are_taken_out(
    output: io.StringIO, secrets: Secrets, key: str
) -> None:
    """Even when they look like nothing, and deep in an object."""
    structlog.get_logger("test").info(
        "message", **{key: secrets.bearer}, body={key: {"value": secrets.bearer}}
    )
    (line,) = lines(output)
    assert line[key] == logs.REDACTED
    assert line["body"] == {key: logs.REDACTED}


def test_bearer_tokens_and_passwords_in_addresses_are_taken_out(
    output: io.StringIO, secrets: Secrets
) -> None:
    """As they stand in errors of HTTP libraries."""
    log = structlog.get_logger("test")
    event = f"Authorization: Bearer {secrets.bearer}"
    log.info(event, url=f"https://git:{secrets.bearer}@host/x")
    assert not found(output.getvalue(), secrets)
    assert lines(output)[0]["url"] == "https://[redacted]@host/x"


def test_what_only_names_a_secret_stays(output: io.StringIO) -> None:
    """Without these nobody finds the Secret that is wrong."""
    fields: dict[str, object] = {
        "secret_name": "pool-credentials",
        "token_bytes": 4365,
        "path": "/apis/workers.spacelift.io/v1beta1/namespaces/spacelift-worker-controller-system/workers/pool-01j8/status",
        "host": "spacelift-workerpool-controller-webhook-service.spacelift-worker-controller-system.svc.cluster.local",
        "digest": "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
        "run": "01JD0000000000000000000000",
        "count": 3,
        "ok": True,
        "nothing": None,
        "seconds": 0.25,
    }
    structlog.get_logger("test").info("run_scheduled", **fields)
    (line,) = lines(output)
    assert fields.items() <= line.items()


def test_long_strings_are_cut(output: io.StringIO) -> None:
    """4 KiB of a field are enough to know what it was."""
    structlog.get_logger("test").info("long", text="word " * 10_000, deep=["x y" * 10_000])
    (line,) = lines(output)
    assert line["text"].endswith("(50000 characters)")
    assert len(line["text"]) < 4200
    assert len(line["deep"][0]) < 4200


def test_a_line_says_when_who_and_how_bad(output: io.StringIO) -> None:
    """Structured and foreign loggers alike, with the bound context."""
    with structlog.contextvars.bound_contextvars(pool="p"):
        structlog.get_logger("agent").warning("session_lost", attempt=2)
    logging.getLogger("gunicorn.error").info("Booting worker with pid: %s", 7)
    ours, foreign = lines(output)
    assert (ours["event"], ours["level"], ours["logger"], ours["pool"], ours["attempt"]) == (
        "session_lost",
        "warning",
        "agent",
        "p",
        2,
    )
    assert (foreign["event"], foreign["level"], foreign["logger"]) == (
        "Booting worker with pid: 7",
        "info",
        "gunicorn.error",
    )
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT[\d:.]+Z", ours["timestamp"])


def test_lines_below_the_level_are_not_written() -> None:
    """Chatty libraries stay at warnings whatever the level."""
    output = io.StringIO()
    logs.configure("info", "json", output)
    structlog.get_logger("test").debug("detail")
    logging.getLogger("urllib3.connectionpool").info("connection opened")
    structlog.get_logger("test").info("shown")
    assert [line["event"] for line in lines(output)] == ["shown"]


def test_handlers_of_others_are_taken_off() -> None:
    """A library's own handler would write past the redaction."""
    stray = io.StringIO()
    chatty = logging.getLogger("chatty")
    chatty.addHandler(logging.StreamHandler(stray))
    chatty.propagate = False
    output = io.StringIO()
    logs.configure("info", "json", output)
    chatty.warning("heard")
    assert stray.getvalue() == ""
    assert lines(output)[0]["event"] == "heard"


def test_values_that_are_not_json_are_written_as_text(output: io.StringIO) -> None:
    """A log call never fails for what it was given."""
    structlog.get_logger("test").info(
        "odd", thing=object, nan=float("nan"), big=2**80, undecodable=b"\xff", sets={1}
    )
    (line,) = lines(output)
    assert line["sets"] == [1]
    assert line["undecodable"] == "\\xff"
