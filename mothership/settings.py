"""Settings of ``mothership serve``: a flag wins over its environment variable, that over the default.

The variable of ``--data-dir`` is ``MOTHERSHIP_DATA_DIR``, and so on.
"""

import argparse
import os
from collections.abc import Mapping
from dataclasses import MISSING, Field, dataclass, field, fields
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from mothership.decisions.states import Rules
from mothership.errors import SetupError
from protocol.topics import DEFAULT_NAMESPACE

ENV_PREFIX = "MOTHERSHIP_"
STOP_SLACK = 5.0
"""Seconds that a run's end may take beyond its grace: the watcher's second, a busy machine."""
_MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Address:
    """A host and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(name: str, text: str, scheme: str = "") -> Address:
    """Return the address in ``host:port`` or ``scheme://host:port``; raise `SetupError` naming the flag."""
    parts = urlsplit(text if scheme else f"//{text}")
    try:
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or port is None or parts.scheme != scheme or parts.path not in ("", "/"):
        wanted = f"{scheme}://host:port" if scheme else "host:port"
        raise SetupError(f"{name}: {text!r} is not {wanted}")
    return Address(host, port)


def _setting(help_text: str, default: object) -> Any:  # noqa: ANN401 - as dataclasses.field
    return field(default=default, metadata={"help": help_text})


@dataclass(frozen=True, slots=True)
class Settings:
    """Everything that ``serve`` can be told; times and bounds of the decisions are in `rules`."""

    data_dir: Path = field(metadata={"help": "directory of the database, certificates, logs and workspaces"})
    broker: str = field(metadata={"help": "MQTT broker, mqtts://host:port"})
    public_endpoint: str = field(
        metadata={"help": "where launchers and command lines reach this mothership, https://host:port"}
    )
    listen: str = _setting("address to serve HTTPS on", "127.0.0.1:8443")
    public_broker: str = _setting("broker as workers reach it; the same as --broker unless given", "")
    topic_namespace: str = _setting("first level of every topic", DEFAULT_NAMESPACE)
    launcher_image: str = _setting("image of init and launcher-grpc", "spacelift.local/launcher:dev")
    default_runner_image: str = _setting("image of runs that name none; empty = each pool's default", "")
    threads: int = _setting("threads that answer HTTPS calls", 32)
    log_limit: int = _setting("bytes kept of one attempt's log", 64 * _MIB)
    workspace_limit: int = _setting("largest workspace archive, in bytes", 1024 * _MIB)
    publish_rate: float = _setting(
        "messages a second to the broker, 0 = as it takes them; AWS IoT Core takes 100", 0.0
    )
    broker_drops_topic: str = _setting(
        "where the broker tells of messages that it dropped; empty = nowhere",
        "$SYS/broker/publish/messages/dropped",
    )
    rules: Rules = field(default_factory=Rules)

    @property
    def token_broker(self) -> str:
        """The broker endpoint that goes into pool tokens."""
        return self.public_broker or self.broker


def add_arguments(parser: argparse.ArgumentParser, environment: Mapping[str, str] = os.environ) -> None:
    """Add the flags of `Settings` and `Rules`; what the environment gives becomes the default."""
    for item in _plain_fields():
        variable = ENV_PREFIX + item.name.upper()
        given = environment.get(variable)
        default = given if given is not None else (None if item.default is MISSING else item.default)
        text = f"{item.metadata.get('help', 'see decisions/states.py')} [{variable}]"
        if default is not None and default != "":
            text += " (default: %(default)s)"
        parser.add_argument(
            "--" + item.name.replace("_", "-"),
            dest=item.name,
            default=default,
            required=default is None,
            type=_reader(item),
            help=text,
        )


def from_arguments(namespace: argparse.Namespace) -> Settings:
    """Return the settings of parsed flags; raise `SetupError` for addresses that are none."""
    values = {item.name: getattr(namespace, item.name) for item in _plain_fields()}
    rules = Rules(**{item.name: values.pop(item.name) for item in fields(Rules)})
    _check_lease(rules)
    settings = Settings(**values, rules=rules)
    parse_address("--listen", settings.listen)
    parse_address("--broker", settings.broker, "mqtts")
    parse_address("--public-broker", settings.token_broker, "mqtts")
    parse_address("--public-endpoint", settings.public_endpoint, "https")
    return settings


def _check_lease(rules: Rules) -> None:
    """Raise `SetupError` where a run could be called lost while it may still be at work."""
    # Half of its grace is what the executor leaves a run whose lease is over; renewals are stored every third of it.
    needed = (rules.stop_grace + 1) // 2 + rules.lease / 3 + STOP_SLACK
    if rules.lost_grace < needed:
        raise SetupError(
            f"--lost-grace must be at least {needed:g} with --stop-grace {rules.stop_grace:g} and --lease {rules.lease:g}: "
            "a run has to have stopped before it is called lost"
        )
    if rules.lost_after < rules.lease:
        raise SetupError(f"--lost-after must not be below --lease, which is {rules.lease:g}")


def _plain_fields() -> list[Field[Any]]:
    return [item for item in fields(Settings) if item.name != "rules"] + list(fields(Rules))


def _reader(item: Field[Any]) -> type:
    kinds: dict[object, type] = {Path: Path, int: int, float: float}
    kind = item.type if not isinstance(item.type, str) else {"int": int, "float": float}.get(item.type, str)
    return kinds.get(kind, str)
