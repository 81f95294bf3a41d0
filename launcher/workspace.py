"""Lays the Pod's workspace out: `project` for the source, `socket` for the exchange, `binaries` for the executor."""

import os
import shutil
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from launcher.exchange import Exchange, check_commands, environment_text, settings_text
from launcher.files import (
    PROGRAM,
    READ_ONLY_FILE,
    SHARED_DIRECTORY,
    SHARED_FILE,
    append,
    make_shared,
    write_whole,
)
from launcher.lifeline import make_lifeline
from protocol.launcher_api import RunDetails

EXECUTOR = "spacelift-worker"

_STALE = ("settings", "environment", "lease", "stop", "alive", "exit")


@dataclass(frozen=True, slots=True)
class Workspace:
    """The workspace volume as `init` and `grpc-server` see it."""

    root: Path

    @property
    def project(self) -> Path:
        """The source; the worker container sees it as /mnt/workspace."""
        return self.root / "project"

    @property
    def exchange(self) -> Exchange:
        """The files shared with the executor, which sees them in /var/spacelift/socket."""
        return Exchange(self.root / "socket")

    @property
    def renewed_token(self) -> Path:
        """The run token after a renewal in `init`, for `grpc-server`.

        It lies outside the three directories that the worker container mounts: the run's commands can't read it.
        """
        return self.root / ".run-token"

    @property
    def binaries(self) -> Path:
        """The executor and tools; the worker container sees them in /opt/spacelift/binaries."""
        return self.root / "binaries"


def lay_out(workspace: Workspace) -> None:
    """Make the directories and an empty project, whatever an earlier try of the same Pod left behind."""
    for directory in (workspace.exchange.root, workspace.project):
        directory.mkdir(parents=True, exist_ok=True)
        make_shared(directory, SHARED_DIRECTORY)
    workspace.binaries.mkdir(exist_ok=True)
    make_shared(workspace.binaries, PROGRAM)
    _empty(workspace.project)
    for name in _STALE:
        (workspace.exchange.root / name).unlink(missing_ok=True)
    make_lifeline(workspace.exchange.life)
    # The spool stays: an earlier try may have delivered from it, and offsets must go on.
    workspace.exchange.phases.unlink(missing_ok=True)
    for shared in (workspace.exchange.spool, workspace.exchange.phases):
        append(shared, b"")
        make_shared(shared, SHARED_FILE)


def write_work(workspace: Workspace, details: RunDetails, root: str) -> None:
    """Write what the executor needs: settings, environment, commands, and the executor itself."""
    exchange = workspace.exchange
    check_commands(details.commands)
    environment = environment_text(details.environment)
    exchange.commands.mkdir(exist_ok=True)
    make_shared(exchange.commands, SHARED_DIRECTORY)
    _empty(exchange.commands)
    for number, command in enumerate(details.commands, 1):
        write_whole(exchange.commands / str(number), command, READ_ONLY_FILE)
    write_whole(exchange.environment, environment, READ_ONLY_FILE)
    _install_executor(workspace.binaries)
    # Last: the executor takes this file for the sign that the workspace is whole.
    write_whole(exchange.settings, settings_text(details.settings, len(details.commands), root))


def _install_executor(binaries: Path) -> None:
    source = resources.files("launcher").joinpath("executor", EXECUTOR)
    write_whole(binaries / EXECUTOR, source.read_text(encoding="utf-8"), PROGRAM)


def _empty(directory: Path) -> None:
    """Remove what is in a directory, not the directory: it may be a mount already."""
    with os.scandir(directory) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path)
            else:
                Path(entry.path).unlink()
