"""What can be set from outside, parsed once. A flag beats its environment variable, which beats the default.

Every field of ``Settings`` is one flag and one variable: ``hook_bind_address`` is ``--hook-bind-address`` and
``WORKERPOOL_HOOK_BIND_ADDRESS``. Booleans are written as Go programs take them: ``--leader-elect``,
``--metrics-secure=false``. An unknown flag or a value that cannot be meant ends the program with status 2.
"""

from __future__ import annotations

import argparse
import dataclasses
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NoReturn

from app import vocabulary
from app.durations import parse_duration

ENVIRONMENT_PREFIX: Final = "WORKERPOOL_"
"""Prefix of every environment variable that sets something."""

LONGEST_GRACE: Final = 7 * 24 * 3600.0
"""Seconds; whoever waits for longer means another unit."""

LONGEST_REPLICA: Final = 200
"""Characters of a replica's name: with the prefix of its Lease, an object's name."""

_TRUE: Final = frozenset({"1", "t", "true"})
_FALSE: Final = frozenset({"0", "f", "false"})
_NAMESPACE: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_REPLICA: Final = re.compile(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*")


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen. An empty host means every interface."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(text: str) -> Address:
    """Parse ``:8080``, ``127.0.0.1:8080``, ``name:8080`` or ``[::1]:8080``."""
    match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\[\]:]*)):([0-9]{1,5})", text)
    if match is None or int(match[3]) > 65535:
        raise ValueError("expected HOST:PORT, :PORT or [IPV6]:PORT")
    return Address(match[1] or match[2] or "", int(match[3]))


def parse_optional_address(text: str) -> Address | None:
    """Parse an address, or ``0`` for none."""
    return None if text == "0" else parse_address(text)


def parse_boolean(text: str) -> bool:
    """Parse what Go's flag package takes for a boolean."""
    word = text.lower()
    if word not in _TRUE | _FALSE:
        raise ValueError("expected true or false")
    return word in _TRUE


def parse_count(text: str) -> int:
    """Parse a number of threads."""
    if not text.isdecimal() or not 1 <= int(text) <= 256:
        raise ValueError("expected a number from 1 to 256")
    return int(text)


def parse_namespaces(text: str) -> tuple[str, ...]:
    """Parse a comma-separated list of namespaces; empty means all."""
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    for name in names:
        parse_namespace(name)
    return names


def parse_namespace(text: str) -> str:
    """Parse the name of one namespace."""
    if _NAMESPACE.fullmatch(text) is None:
        raise ValueError(f"{text!r} is not the name of a namespace")
    return text


def parse_level(text: str) -> str:
    """Parse the name of a log level."""
    return _one_of(text, "debug", "info", "warning", "error")


def parse_format(text: str) -> str:
    """Parse the name of a log format."""
    return _one_of(text, "auto", "json", "console")


def parse_grace(text: str) -> float:
    """Parse a duration in Go's syntax, a week at most; return seconds."""
    seconds = parse_duration(text)
    if seconds > LONGEST_GRACE:
        raise ValueError("expected 168h at most")
    return seconds


def parse_patience(text: str) -> float:
    """Parse a grace of a second or more: something has to be sent at least once within it."""
    seconds = parse_grace(text)
    if seconds < 1:
        raise ValueError("expected 1s at least")
    return seconds


def parse_automatic(text: str) -> bool | None:
    """Parse a boolean, or ``auto`` (None) for what the operator finds out by itself."""
    if text.lower() == "auto":
        return None
    if text.lower() not in _TRUE | _FALSE:
        raise ValueError("expected auto, true or false")
    return text.lower() in _TRUE


def parse_rate(text: str) -> float | None:
    """Parse a number of messages a second, 0 for no limit, or ``auto`` (None) for what suits the broker."""
    if text.lower() == "auto":
        return None
    try:
        rate = float(text)
    except ValueError:
        rate = -1.0
    if not 0 <= rate < float("inf"):
        raise ValueError("expected auto, or a number of messages a second")
    return rate


def parse_replica(text: str) -> str:
    """Parse the name of a replica: it becomes part of an object's name."""
    if text and (len(text) > LONGEST_REPLICA or _REPLICA.fullmatch(text) is None):
        raise ValueError("expected lower-case letters, digits, '-' and '.', 200 characters at most")
    return text


def _one_of(text: str, *choices: str) -> str:
    if text.lower() not in choices:
        raise ValueError(f"expected one of {', '.join(choices)}")
    return text.lower()


def _option(default: str, parse: Callable[[str], Any], explanation: str) -> Any:  # noqa: ANN401 - as dataclasses.field
    """Declare a setting by its default as a user would write it, so that defaults pass the same parser."""
    metadata = {"default": default, "parse": parse, "help": explanation}
    return dataclasses.field(default_factory=lambda: parse(default), metadata=metadata)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that can be set; the defaults are those of an installation in a cluster."""

    hook_bind_address: Address = _option(":8080", parse_address, "where Metacontroller reaches the hooks")  # noqa: RUF009 - makes a field
    health_probe_bind_address: Address = _option(  # noqa: RUF009
        ":8081", parse_address, "where the kubelet reaches /healthz and /readyz"
    )
    kubeconfig: str = _option(
        "", str, "kubeconfig file; empty: KUBECONFIG, else the Pod's service account, else ~/.kube/config"
    )
    namespaces: tuple[str, ...] = _option(
        "",
        parse_namespaces,
        "namespaces to serve, comma-separated or repeated; empty: all (needs a ClusterRole)",
    )
    controller_namespace: str = _option(
        vocabulary.CONTROLLER_NAMESPACE, parse_namespace, "namespace that the operator itself runs in"
    )
    threads: int = _option(
        "16",
        parse_count,
        "threads that answer hooks and probes; at least Metacontroller's --workers avoids queueing",
    )
    agent_threads: int = _option(
        "16",
        parse_count,
        "threads that write to the API server; more than 16 gain nothing in one Python process",
    )
    image_pull_grace: float = _option(
        "30s",
        parse_grace,
        "how long an image may fail to be pulled until the run fails",
    )
    container_config_grace: float = _option(
        "30s",
        parse_grace,
        "how long a container may fail to be made or started until the run fails",
    )
    unschedulable_grace: float = _option(
        "5m",
        parse_grace,
        "how long no node takes a run's Pod until the run fails; leave an autoscaler time for a node",
    )
    run_pod_grace: float = _option(
        "5s",
        parse_grace,
        "how long a run has no Pod until the API server is asked whether it admits one",
    )
    refusal_grace: float = _option(
        "5m",
        parse_grace,
        "how long a refused Pod is waited for when that may pass: a quota, a webhook that doesn't answer",
    )
    deleted_pod_grace: float = _option(
        "10s",
        parse_grace,
        "how long, beyond its own grace, a deleted Pod that never started is waited for",
    )
    node_lost_grace: float = _option(
        "5m",
        parse_grace,
        "how long, beyond the Pod's own grace, the node of a deleted Pod is waited for",
    )
    launcher_report_grace: float = _option(
        "75s",
        parse_grace,
        "how long launcher-grpc may take to report after the worker container ended",
    )
    deregistration_grace: float = _option(
        "60s",
        parse_patience,
        "how long a deleted Worker waits for the mothership's answer",
    )
    verdict_report_grace: float = _option(
        "60s",
        parse_patience,
        "how long a verdict waits for the mothership when its Worker or pool is going away",
    )
    native_sidecars: bool | None = _option(
        "auto",
        parse_automatic,
        "whether additionalSidecarContainers become native sidecars: true, false, or auto: from Kubernetes 1.29 on",
    )
    mqtt_publish_rate: float | None = _option(
        "auto",
        parse_rate,
        "messages a second on one pool's connection at most; 0: no limit, auto: 100 for AWS IoT Core, else no limit",
    )
    hooks_only: bool = _option(
        "false",
        parse_boolean,
        "answer hooks and nothing else: no agent, no cluster needed; for trying hooks out with curl",
    )
    log_level: str = _option("info", parse_level, "debug, info, warning or error")
    log_format: str = _option(
        "auto", parse_format, "json, console, or auto: console on a terminal, else json"
    )
    leader_elect: bool = _option(
        "false",
        parse_boolean,
        "share the pools with other replicas by Leases; without it, run exactly one replica",
    )
    replica_name: str = _option(
        "",
        parse_replica,
        "name of this replica, unlike that of any other; empty: the host's, which is the Pod's",
    )
    lease_duration: float = _option(
        "15s",
        parse_patience,
        "how long the others wait for a replica that says nothing until they take its pools",
    )
    lease_renew_deadline: float = _option(
        "10s",
        parse_patience,
        "how long a replica that can't renew its Lease goes on; shorter than the duration",
    )
    lease_renew_interval: float = _option(
        "5s", parse_patience, "how often a replica renews its Lease; shorter than the deadline"
    )
    metrics_bind_address: Address | None = _option(  # noqa: RUF009
        "0",
        parse_optional_address,
        "where Prometheus reaches the metrics; 0 is off; needs --metrics-secure=false",
    )
    metrics_secure: bool = _option(
        "true",
        parse_boolean,
        "false serves the metrics over plain HTTP; true, which isn't there yet, serves none",
    )
    enable_http2: bool = _option("false", parse_boolean, "accepted; only HTTP/1.1 is spoken")
    enforce_fips140: bool = _option(
        "false",
        parse_boolean,
        "refuse to start unless every OpenSSL in use is in FIPS 140 mode; GODEBUG=fips140=only asks for it, too",
    )

    def contradiction(self) -> str:
        """Return what can't be meant together, empty when all can."""
        if not self.lease_renew_interval < self.lease_renew_deadline < self.lease_duration:
            return "expected --lease-renew-interval < --lease-renew-deadline < --lease-duration"
        return ""

    def warnings(self) -> Iterator[str]:
        """Say what was asked for and isn't there, so that nobody relies on it."""
        if self.hooks_only:
            yield "--hooks-only: no agent runs here, so no Worker is registered and no run is claimed"
        if self.metrics_bind_address is not None and self.metrics_secure:
            yield "--metrics-bind-address has no effect: secure serving is not there yet, --metrics-secure=false serves"
        if self.enable_http2:
            yield "--enable-http2 has no effect: HTTP/2 is not spoken"


def parse(arguments: Sequence[str], environment: Mapping[str, str]) -> Settings:
    """Return the settings, or end the program with status 2 and a sentence on standard error."""
    parser = _parser()
    given = vars(parser.parse_args(arguments))
    values: dict[str, Any] = {}
    for field in dataclasses.fields(Settings):
        texts: list[str] | None = given[field.name]
        source = flag_of(field.name)
        if texts is None:
            source = variable_of(field.name)
            texts = [environment[source]] if source in environment else None
        if texts is not None:
            values[field.name] = _value(parser, field, source, texts)
    chosen = Settings(**values)
    if contradiction := chosen.contradiction():
        parser.error(contradiction)
    return chosen


def flag_of(name: str) -> str:
    """Return the flag of a field."""
    return "--" + name.replace("_", "-")


def variable_of(name: str) -> str:
    """Return the environment variable of a field."""
    return ENVIRONMENT_PREFIX + name.upper()


def _value(
    parser: argparse.ArgumentParser, field: dataclasses.Field[Any], source: str, texts: list[str]
) -> object:
    parse_text: Callable[[str], object] = field.metadata["parse"]
    # Only lists add up when they are repeated; of anything else the last one counts, as in Go.
    text = ",".join(texts) if parse_text is parse_namespaces else texts[-1]
    try:
        return parse_text(text)
    except ValueError as error:
        parser.error(f"{source}: {error} (got {text!r})")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m app",
        description="The worker pool operator: answers Metacontroller's hooks and runs the MQTT agent.",
        epilog="Each flag has an environment variable: --hook-bind-address is WORKERPOOL_HOOK_BIND_ADDRESS.",
        allow_abbrev=False,
    )
    for field in dataclasses.fields(Settings):
        default = field.metadata["default"]
        boolean = field.metadata["parse"] is parse_boolean
        parser.add_argument(
            flag_of(field.name),
            dest=field.name,
            action="append",
            nargs="?" if boolean else None,
            const="true" if boolean else None,
            metavar="BOOL" if boolean else "VALUE",
            help=f"{field.metadata['help']} (default {default or 'empty'})",
        )
    return parser


class _Parser(argparse.ArgumentParser):
    """Says what was wrong in one line; the full usage is for --help."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (--help lists the flags)\n")
