"""The command line: parsing, settings, errors, tables."""

import argparse
from pathlib import Path

import pytest

from mothership import printing
from mothership.cli import build_parser, main
from mothership.client import Connection
from mothership.decisions.states import Rules
from mothership.errors import BadRequestError, SetupError
from mothership.run_request import parse_variable
from mothership.settings import Settings, add_arguments, from_arguments, parse_address

NEEDED = ["--data-dir", "/d", "--broker", "mqtts://b:1", "--public-endpoint", "https://h:2"]


def parse(arguments: list[str], environment: dict[str, str] | None = None) -> Settings:
    """Return the settings of flags and environment."""
    parser = argparse.ArgumentParser(exit_on_error=False)
    add_arguments(parser, environment or {})
    return from_arguments(parser.parse_args(arguments))


def test_settings_without_options_are_the_defaults() -> None:
    """The parsed whole."""
    assert parse(NEEDED) == Settings(Path("/d"), "mqtts://b:1", "https://h:2", rules=Rules())


def test_flag_wins_over_environment_over_default() -> None:
    """And both are read as the type of the setting."""
    environment = {"MOTHERSHIP_LISTEN": "0.0.0.0:1", "MOTHERSHIP_LOST_AFTER": "90", "MOTHERSHIP_THREADS": "4"}
    settings = parse([*NEEDED, "--listen", "0.0.0.0:2", "--lost-grace", "45.5"], environment)
    assert (settings.listen, settings.rules.lost_after, settings.threads) == ("0.0.0.0:2", 90, 4)
    assert settings.rules.lost_grace == 45.5


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (["--stop-grace", "300"], "--lost-grace must be at least 165"),
        (["--lost-grace", "29"], "--lost-grace must be at least 30"),
        (["--lost-after", "29"], "--lost-after must not be below --lease"),
    ],
)
def test_times_that_would_call_a_run_lost_while_it_works_are_refused(given: list[str], named: str) -> None:
    """Somebody would retry a run that is still applying."""
    with pytest.raises(SetupError, match=named):
        parse([*NEEDED, *given])


@pytest.mark.parametrize(
    ("text", "scheme"),
    [("host", ""), ("mqtt://h:1", "mqtts"), ("h:1", "mqtts"), ("h:x", ""), ("https://h:1/x", "https")],
)
def test_address_that_is_none_is_refused_with_the_flag(text: str, scheme: str) -> None:
    """The flag is named."""
    with pytest.raises(SetupError, match="--flag"):
        parse_address("--flag", text, scheme)


def test_addresses_of_version_6_are_read() -> None:
    """In brackets, as everywhere."""
    assert str(parse_address("--listen", "[::1]:8443")) == "[::1]:8443"


def test_trigger_collects_commands_and_variables() -> None:
    """In their order."""
    options = build_parser({}).parse_args(
        ["run", "trigger", "--pool", "p", "--repo", "u", "--command", "a", "--command", "b", "--env", "K=V=W"]
    )
    assert (options.run_commands, options.env) == (["a", "b"], ["K=V=W"])
    assert parse_variable("K=V=W") == ("K", "V=W")


@pytest.mark.parametrize("text", ["", "K", "=v", "1K=v", "secret-value"])
def test_variable_without_a_name_is_refused_without_its_value(text: str) -> None:
    """Somebody may have left the name out, so what is there may be the secret."""
    with pytest.raises(BadRequestError) as error:
        parse_variable(text)
    assert "secret-value" not in str(error.value)


def test_environment_that_is_missing_is_named(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of it at once, with exit status 2."""
    for name in ("MOTHERSHIP_ENDPOINT", "MOTHERSHIP_CA", "MOTHERSHIP_ADMIN_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    assert main(["pool", "list"]) == 2
    assert "MOTHERSHIP_ENDPOINT, MOTHERSHIP_CA, MOTHERSHIP_ADMIN_TOKEN_FILE" in capsys.readouterr().err


def test_mothership_that_is_away_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit status 1 and no traceback."""
    assert main(["ca", "init", "--data-dir", str(tmp_path), "--host", "127.0.0.1"]) == 0
    monkeypatch.setenv("MOTHERSHIP_ENDPOINT", "https://127.0.0.1:1")
    monkeypatch.setenv("MOTHERSHIP_CA", str(tmp_path / "ca.crt"))
    monkeypatch.setenv("MOTHERSHIP_ADMIN_TOKEN_FILE", str(tmp_path / "admin-token"))
    assert main(["run", "list"]) == 1
    assert capsys.readouterr().err == "mothership: https://127.0.0.1:1: not reachable (ConnectionError)\n"


def test_token_is_not_in_the_representation_of_a_connection() -> None:
    """Logs and tracebacks print those."""
    assert "hush" not in repr(Connection("e", Path("c"), "hush"))


def test_tables_are_aligned() -> None:
    """As kubectl prints them."""
    text = printing.table(("name", "run"), [("a-long-name", None), ("b", "R")])
    assert text == "NAME          RUN\na-long-name   <none>\nb             R"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0s"), (119, "119s"), (192, "3m12s"), (3600, "60m"), (7500, "2h5m"), (400_000, "4d")],
)
def test_ages_are_short(seconds: int, text: str) -> None:
    """Two units at most."""
    assert printing.age(0.0, seconds) == text
