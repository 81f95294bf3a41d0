"""Settings of `init` and `grpc-server`: the environment of the run Pod, parsed once.

Everything comes from environment variables; there are no flags. Times are seconds.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from launcher.errors import SettingsError

DEFAULT_TERMINATION_LOG: Final = Path("/dev/termination-log")


@dataclass(frozen=True, slots=True)
class Settings:
    """Who this Pod is, where things are, and how long to wait.

    The first group is required; it comes from the operator. The rest has defaults that fit the Pod the operator
    builds, and `SPACELIFT_LAUNCHER_*` variables to change them.
    """

    run: str
    stage: str
    sequence: int
    pod_uid: str
    credentials_dir: Path
    """Holds `run-token`, `api-endpoint` and `ca.crt`."""

    workspace: Path = Path("/opt/spacelift/workspace")
    """The Pod's workspace volume with `project`, `socket` and `binaries`."""

    termination_log: Path = DEFAULT_TERMINATION_LOG
    """Where Kubernetes picks up the container's last word."""

    start_timeout: float = 600
    """How long `init` waits for the grant and the details before it gives up."""

    checkout_timeout: float = 1800
    """How long the source's checkout may take."""

    flush_timeout: float = 60
    """How long `grpc-server` tries to deliver log and result once the run has ended."""

    termination_timeout: float = 25
    """The same after a SIGTERM, executor's end included; a Pod's default grace is 30 s."""

    worker_silence: float = 30
    """After this long without a heartbeat of the executor it is taken for dead."""

    request_timeout: float = 10
    """Of one call: for the connection, and for each wait for bytes."""


_SECONDS = {
    "SPACELIFT_LAUNCHER_START_TIMEOUT": "start_timeout",
    "SPACELIFT_LAUNCHER_CHECKOUT_TIMEOUT": "checkout_timeout",
    "SPACELIFT_LAUNCHER_FLUSH_TIMEOUT": "flush_timeout",
    "SPACELIFT_LAUNCHER_TERMINATION_TIMEOUT": "termination_timeout",
    "SPACELIFT_LAUNCHER_WORKER_SILENCE": "worker_silence",
    "SPACELIFT_LAUNCHER_REQUEST_TIMEOUT": "request_timeout",
}
_PATHS = {"SPACELIFT_WORKSPACE_DIR": "workspace", "SPACELIFT_TERMINATION_LOG": "termination_log"}


def termination_log(environ: Mapping[str, str]) -> Path:
    """Return where the last word goes, for the time before the settings are known to be good."""
    return Path(environ.get("SPACELIFT_TERMINATION_LOG") or DEFAULT_TERMINATION_LOG)


def parse_settings(environ: Mapping[str, str]) -> Settings:
    """Return the settings; raise SettingsError, naming the variable."""
    sequence = _required(environ, "SPACELIFT_RUN_SEQUENCE")
    if not (sequence.isascii() and sequence.isdigit()):
        raise SettingsError("SPACELIFT_RUN_SEQUENCE must be a whole number")
    optional: dict[str, Any] = {
        field: _seconds(environ, name) for name, field in _SECONDS.items() if environ.get(name)
    }
    optional |= {field: Path(environ[name]) for name, field in _PATHS.items() if environ.get(name)}
    return Settings(
        run=_required(environ, "SPACELIFT_RUN_ID"),
        stage=_required(environ, "SPACELIFT_RUN_STAGE"),
        sequence=int(sequence),
        pod_uid=_required(environ, "SPACELIFT_POD_UID"),
        credentials_dir=Path(_required(environ, "SPACELIFT_CREDENTIALS_DIR")),
        **optional,
    )


def _required(environ: Mapping[str, str], name: str) -> str:
    value = environ.get(name)
    if not value:
        raise SettingsError(f"{name} is not set")
    return value


def _seconds(environ: Mapping[str, str], name: str) -> float:
    try:
        value = float(environ[name])
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and value > 0):
        raise SettingsError(f"{name} must be a number of seconds above 0")
    return value
