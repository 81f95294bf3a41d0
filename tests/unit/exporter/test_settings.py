"""Flags and variables, as users of the public exporter write them."""

from __future__ import annotations

import pytest

from exporter.cli import main
from exporter.errors import StartupError, UsageError
from exporter.settings import OPTIONS, Address, parse

REQUIRED = ["-e", "https://api.example.com/", "-k", "id", "-s", "secret-text"]


def test_defaults_are_the_public_exporters() -> None:
    """And the endpoint loses its slash."""
    settings = parse(REQUIRED, {})
    assert settings.api_endpoint == "https://api.example.com"
    assert settings.listen_address == Address("", 9953)
    assert settings.scrape_timeout == 5
    assert (settings.ca_cert_path, settings.api_key_secret_file) == (None, None)
    assert (settings.is_development, settings.runs_by_need) == (False, True)
    assert "secret-text" not in repr(settings)


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["--listen-address", "127.0.0.1:1"], Address("127.0.0.1", 1)),
        (["--listen-address=[::1]:2"], Address("::1", 2)),
        (["-l", ":3", "-l=:4"], Address("", 4)),
    ],
)
def test_flags_are_taken_in_every_form(words: list[str], expected: Address) -> None:
    """Long and short, with a space or an equals sign; the last one counts, and beats the variable."""
    assert parse([*REQUIRED, *words], {"SPACELIFT_PROMEX_LISTEN_ADDRESS": ":5"}).listen_address == expected


@pytest.mark.parametrize(
    ("text", "seconds"), [("5s", 5), ("500ms", 0.5), ("1m30s", 90), ("1.5h", 5400), ("100us", 1e-4)]
)
def test_durations_are_gos(text: str, seconds: float) -> None:
    """As in manifests that users have."""
    assert parse(REQUIRED, {"SPACELIFT_PROMEX_SCRAPE_TIMEOUT": text}).scrape_timeout == pytest.approx(seconds)


def test_booleans_need_no_value() -> None:
    """But take one."""
    assert parse([*REQUIRED, "-d"], {}).is_development
    assert not parse(
        [*REQUIRED, "--is-development=false"], {"SPACELIFT_PROMEX_IS_DEVELOPMENT": "1"}
    ).is_development


@pytest.mark.parametrize(
    ("words", "error", "said"),
    [
        ([], UsageError, "--api-endpoint (SPACELIFT_PROMEX_API_ENDPOINT) and --api-key-id"),
        (REQUIRED[:4], UsageError, "give one of --api-key-secret"),
        ([*REQUIRED, "--api-key-secret-file", "/f"], UsageError, "and not both"),
        ([*REQUIRED, "--api-key-secrets", "secret-text"], UsageError, "flag --api-key-secrets is not known"),
        ([*REQUIRED, "secret-text"], UsageError, "an argument that isn't a flag"),
        ([*REQUIRED, "-t"], UsageError, "flag -t needs a value"),
        ([*REQUIRED, "-t", "5"], UsageError, "expected a duration"),
        ([*REQUIRED, "--runs-by-need=maybe"], UsageError, "expected true or false"),
        ([*REQUIRED, "-t", "0"], StartupError, "must be greater than 0"),
        ([*REQUIRED, "-t=-1s"], StartupError, "must be greater than 0"),
        ([*REQUIRED, "-l", "9953"], StartupError, "--listen-address: expected HOST:PORT"),
        ([*REQUIRED, "-l", ":99999"], StartupError, "--listen-address: expected HOST:PORT"),
        ([*REQUIRED, "-e", "api.example.com"], StartupError, "--api-endpoint: expected a URL"),
        ([*REQUIRED, "-e", "https://a:secret-text@api"], StartupError, "scheme, host and path alone"),
        ([*REQUIRED, "-e", "https://[api"], StartupError, "--api-endpoint: expected a URL"),
    ],
)
def test_what_cant_be_meant_is_refused(
    words: list[str], error: type[Exception], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the flag's name and no value that may be secret; the statuses are those that users know."""
    with pytest.raises(error, match=r".") as refused:
        parse(words, {})
    assert said in str(refused.value)
    assert "secret-text" not in str(refused.value)
    assert main(["serve", *words], {}) == (2 if error is UsageError else 1)
    assert said in capsys.readouterr().err


def test_help_names_every_flag_and_variable(capsys: pytest.CaptureFixture[str]) -> None:
    """Wherever help is asked for."""
    for words in ([], ["help"], ["serve", "--help"]):
        assert main(words, {}) == 0
        shown = capsys.readouterr().out
        for option in OPTIONS:
            assert f"--{option.name}" in shown
            assert f"[${option.variable}]" in shown
    assert main(["--version"], {"SPACELIFT_PROMEX_COMMIT": "abc"}) == 0
    assert capsys.readouterr().out == "spacelift-promex version 0.1.0 - abc\n"
    assert main(["scrape"], {}) == 2
