"""The files through which `grpc-server` and the executor talk: their names and formats; pure.

They lie in the workspace's `socket` directory, the one place that both containers mount. Each file has one writer:

| file            | writer        | content                                                                        |
|-----------------|---------------|--------------------------------------------------------------------------------|
| `settings`      | `init`        | shell assignments: number of commands, times, project root                      |
| `environment`   | `init`        | shell `export` lines, sourced by each command's shell alone                     |
| `commands/N`    | `init`        | the text of command N, from 1                                                   |
| `spool`         | all, appended | the run's log, byte for byte; offsets in it are the mothership's offsets        |
| `delivered`     | launcher      | how many bytes of the spool the mothership has                                  |
| `phases`        | all, appended | `name exit-code seconds`, a line for each phase that ended                      |
| `lease`         | `grpc-server` | `counter boot epoch`: hundredths since boot and since 1970 of the last renewal  |
| `stop`          | `grpc-server` | `stop` or `gone`                                                                |
| `started`       | executor      | made exclusively before the first command; never removed                        |
| `alive`         | executor      | the heartbeat: who of the executor wrote it, and a counter                      |
| `life`          | nobody        | a pipe that the executor holds open: `lifeline`                                 |
| `exit`          | executor      | `result`, `reason`, `code`, `message`, one a line; the run is over              |

Files that are replaced come by rename, so a reader sees the old or the new one. `alive` is rewritten in place: a
reader may find it empty and takes that for no news. The subdirectory `executor` is the executor's own; in it is the
commands' HOME where the image gives them none that they can write to.
"""

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from launcher.errors import WorkspaceError
from protocol.launcher_api import LeaseAction, PhaseReport, Settings
from protocol.runs import Outcome, Reason, Result

WORKER = "worker"
"""Name of the container whose exit code an outcome carries."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
# Some shell that an image may have as /bin/sh refuses to assign these.
_SHELLS_OWN = frozenset({"BASHOPTS", "BASH_VERSINFO", "EUID", "PPID", "SHELLOPTS", "UID"})
# The kernel takes at most 128 KiB for one argument or variable, its end included.
_LONGEST = 128 * 1024 - 1
_NOT_PASSABLE = f"is longer than {_LONGEST} bytes, or holds a NUL or half a character"


@dataclass(frozen=True, slots=True)
class Exchange:
    """The paths below one socket directory."""

    root: Path

    @property
    def settings(self) -> Path:
        """What the executor needs to know."""
        return self.root / "settings"

    @property
    def environment(self) -> Path:
        """The run's environment."""
        return self.root / "environment"

    @property
    def commands(self) -> Path:
        """Directory of the commands' texts."""
        return self.root / "commands"

    @property
    def spool(self) -> Path:
        """The run's log."""
        return self.root / "spool"

    @property
    def delivered(self) -> Path:
        """How much of the log has been delivered."""
        return self.root / "delivered"

    @property
    def phases(self) -> Path:
        """The phases that ended."""
        return self.root / "phases"

    @property
    def lease(self) -> Path:
        """The last renewal."""
        return self.root / "lease"

    @property
    def stop(self) -> Path:
        """The order to stop."""
        return self.root / "stop"

    @property
    def started(self) -> Path:
        """The marker of fence 6: the run was started in this Pod."""
        return self.root / "started"

    @property
    def alive(self) -> Path:
        """The executor's heartbeat."""
        return self.root / "alive"

    @property
    def life(self) -> Path:
        """The pipe that the executor holds open for as long as it lives."""
        return self.root / "life"

    @property
    def exit(self) -> Path:
        """How the run ended."""
        return self.root / "exit"


def settings_text(settings: Settings, commands: int, project_root: str) -> str:
    """Return the executor's settings.

    A run that ends in a hurry (Pod deleted, lease lost) gets half the grace: the rest of the Pod's own grace is for
    the log, and the mothership must not call the run lost while its commands still work.
    """
    return (
        f"sl_count={commands}\n"
        f"sl_lost_after={settings.lost_after}\n"
        f"sl_stop_grace={settings.stop_grace}\n"
        f"sl_hurried_grace={(settings.stop_grace + 1) // 2}\n"
        f"sl_project_root={shlex.quote(project_root)}\n"
    )


def environment_text(environment: Mapping[str, str]) -> str:
    """Return the shell lines that export the run's environment; raise WorkspaceError for what no shell can export."""
    for name, value in environment.items():
        if not _NAME.fullmatch(name):
            raise WorkspaceError(f"The environment variable name {name!r} can't be used in a shell")
        if name in _SHELLS_OWN:
            raise WorkspaceError(f"The environment variable {name} belongs to the shell and can't be set")
        if not _passable(f"{name}={value}"):
            raise WorkspaceError(f"The value of the environment variable {name} {_NOT_PASSABLE}")
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in environment.items())


def check_commands(commands: Sequence[str]) -> None:
    """Raise WorkspaceError for a command that a shell can't be given."""
    for number, command in enumerate(commands, 1):
        if not _passable(command):
            raise WorkspaceError(f"Command {number} {_NOT_PASSABLE}")


def _passable(text: str) -> bool:
    """Say whether a text can be given to a program as one argument or variable."""
    try:
        return "\0" not in text and len(text.encode()) <= _LONGEST
    except UnicodeEncodeError:
        return False


def lease_text(counter: int, boot_hundredths: int, epoch_hundredths: int) -> str:
    """Return the lease file for a renewal that was *asked for* at these times."""
    return f"{counter} {boot_hundredths} {epoch_hundredths}\n"


def stop_text(action: LeaseAction) -> str:
    """Return the stop file's word."""
    return f"{action.value}\n"


def phase_line(name: str, code: int, seconds: float) -> str:
    """Return the line of a phase that ended."""
    return f"{name} {code} {seconds:.2f}\n"


def parse_phases(text: str) -> tuple[PhaseReport, ...]:
    """Return the phases; a line that isn't whole is left out."""
    phases = []
    for line in text.splitlines():
        match line.split():
            case [name, code, seconds]:
                try:
                    phases.append(PhaseReport(name, int(code), float(seconds)))
                except ValueError:
                    continue
    return tuple(phases)


def parse_exit(text: str) -> Outcome | None:
    """Return the outcome that the executor wrote, or None when the text isn't one."""
    fields = dict(line.split(" ", 1) for line in text.splitlines() if " " in line)
    try:
        return Outcome(
            Result(fields["result"]),
            Reason(fields["reason"]),
            fields["message"],
            {WORKER: int(fields["code"])},
        )
    except (KeyError, ValueError):
        return None


def parse_number(text: str) -> int:
    """Return the number that a file like `delivered` holds; 0 for anything else."""
    text = text.strip()
    return int(text) if text.isascii() and text.isdigit() else 0
