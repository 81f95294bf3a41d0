"""The flags and variables of ``serve``, as users of the public exporter know them (docs/exporter.md).

A flag beats its variable, which beats the default. An empty variable counts as none.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from exporter.errors import StartupError, UsageError

ENVIRONMENT_PREFIX: Final = "SPACELIFT_PROMEX_"
"""Prefix of every environment variable that sets something."""

_SECONDS: Final = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_DURATION: Final = re.compile(r"(?:(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:ns|us|µs|ms|s|m|h))+")
_DURATION_PART: Final = re.compile(r"([0-9.]+)(ns|us|µs|ms|s|m|h)")
_BOOLEANS: Final = {"1": True, "t": True, "true": True, "0": False, "f": False, "false": False}


@dataclass(frozen=True, slots=True)
class Option:
    """One flag, with its variable."""

    name: str
    meaning: str
    short: str = ""
    default: str = ""
    boolean: bool = False

    @property
    def variable(self) -> str:
        """Return the name of its environment variable."""
        return ENVIRONMENT_PREFIX + self.name.upper().replace("-", "_")


OPTIONS: Final = (
    Option(
        "api-endpoint", "Base URL of the API, such as https://account.app.example.com. Required.", short="e"
    ),
    Option("api-key-id", "ID of the API key. Required.", short="k"),
    Option("api-key-secret", "Secret of the API key. Required, unless the next is given.", short="s"),
    Option(
        "api-key-secret-file",
        "File with the secret, read again at each exchange: for secrets that rotate, such as the tokens of OIDC keys.",
    ),
    Option(
        "listen-address",
        "Where Prometheus reaches the metrics; without a host, on every interface.",
        short="l",
        default=":9953",
    ),
    Option("scrape-timeout", "How long the API's answers to one scrape may take.", short="t", default="5s"),
    Option("ca-cert-path", "PEM file of authorities that are trusted in addition to those of the system."),
    Option("is-development", "Logs for people, debug ones too.", short="d", default="false", boolean=True),
    Option(
        "runs-by-need",
        "Ask, in queries of their own, which runs could start now and which wait for a person.",
        default="true",
        boolean=True,
    ),
)
"""Every flag of ``serve``; docs/exporter.md has the same table."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen. An empty host means every interface."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Settings:
    """What ``serve`` was told."""

    api_endpoint: str
    """Without a slash at its end."""

    api_key_id: str
    api_key_secret: str = field(repr=False)
    """Empty: it is in the file."""

    api_key_secret_file: Path | None
    listen_address: Address
    scrape_timeout: float
    """Seconds, more than 0."""

    ca_cert_path: Path | None
    is_development: bool
    runs_by_need: bool


def parse(arguments: Sequence[str], environment: Mapping[str, str]) -> Settings:
    """Return the settings; raise UsageError for a command line, StartupError for a value that can't be used."""
    given = {option.name: environment.get(option.variable, "") or option.default for option in OPTIONS}
    given.update(_flags(arguments))
    if missing := [name for name in ("api-endpoint", "api-key-id") if not given[name]]:
        raise UsageError(f"{' and '.join(_both(name) for name in missing)} must be given")
    if bool(given["api-key-secret"]) is bool(given["api-key-secret-file"]):
        raise UsageError(
            f"give one of {_both('api-key-secret')} and {_both('api-key-secret-file')}, and not both"
        )
    timeout, development, runs_by_need = (
        _parsed(name, given[name]) for name in ("scrape-timeout", "is-development", "runs-by-need")
    )
    if timeout <= 0:
        raise StartupError("--scrape-timeout must be greater than 0")
    return Settings(
        api_endpoint=_endpoint(given["api-endpoint"]),
        api_key_id=given["api-key-id"],
        api_key_secret=given["api-key-secret"],
        api_key_secret_file=_path(given["api-key-secret-file"]),
        listen_address=_address(given["listen-address"]),
        scrape_timeout=timeout,
        ca_cert_path=_path(given["ca-cert-path"]),
        is_development=bool(development),
        runs_by_need=bool(runs_by_need),
    )


def _flags(arguments: Sequence[str]) -> dict[str, str]:
    """Return what flags say, by long name. No error repeats a value: it may be the secret."""
    known = {f"--{option.name}": option for option in OPTIONS}
    known |= {f"-{option.short}": option for option in OPTIONS if option.short}
    found: dict[str, str] = {}
    rest = list(arguments)
    while rest:
        name, separator, value = rest.pop(0).partition("=")
        option = known.get(name)
        if option is None:
            what = f"flag {name}" if name.startswith("-") else "an argument that isn't a flag"
            raise UsageError(f"{what} is not known (serve --help lists the flags)")
        if not separator and option.boolean:
            value = "true"
        elif not separator:
            if not rest:
                raise UsageError(f"flag {name} needs a value")
            value = rest.pop(0)
        found[option.name] = value
    return found


def _both(name: str) -> str:
    (option,) = (each for each in OPTIONS if each.name == name)
    return f"--{name} ({option.variable})"


def _path(text: str) -> Path | None:
    return Path(text) if text else None


def _parsed(name: str, text: str) -> float:
    """Parse a boolean, or a duration as Go writes it, in seconds."""
    (option,) = (each for each in OPTIONS if each.name == name)
    if option.boolean:
        if text.lower() not in _BOOLEANS:
            raise UsageError(f"{_both(name)}: expected true or false")
        return _BOOLEANS[text.lower()]
    sign, digits = (-1, text[1:]) if text.startswith("-") else (1, text)
    if digits == "0":
        return 0.0
    if _DURATION.fullmatch(digits) is None:
        raise UsageError(f"{_both(name)}: expected a duration such as 5s, 500ms or 1m30s")
    return sign * sum(float(number) * _SECONDS[unit] for number, unit in _DURATION_PART.findall(digits))


def _address(text: str) -> Address:
    match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\[\]:]*)):([0-9]{1,5})", text)
    if match is None or int(match[3]) > 65535:
        raise StartupError(f"--listen-address: expected HOST:PORT, :PORT or [IPV6]:PORT, not {text!r}")
    return Address(match[1] or match[2] or "", int(match[3]))


def _endpoint(text: str) -> str:
    try:
        url = urlsplit(text)
        host, _port = url.hostname, url.port
    except ValueError:
        host, url = None, urlsplit("")
    if not host or url.scheme not in ("http", "https"):
        raise StartupError("--api-endpoint: expected a URL such as https://account.app.example.com")
    if url.username or url.password or url.query or url.fragment:
        raise StartupError(
            "--api-endpoint: expected scheme, host and path alone; the API key has flags of its own"
        )
    return text.rstrip("/")
