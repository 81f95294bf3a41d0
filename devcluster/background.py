"""Clusters that outlive the command that starts them: starting the supervisor, watching it, ending it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import IO

from devcluster import clusters, python, state
from devcluster.cluster import Options
from devcluster.paths import REPOSITORY, cluster_directory
from devcluster.progress import ClusterError, NotReadyError, Say, say_to_stderr, wait_until
from devcluster.state import OWNER_LOG, State

DEFAULT_LIFETIME = 12 * 3600.0
DOWN_WITHIN = 90.0


class BackgroundCluster:
    """A cluster that goes on when the process that started it has ended, until `down` or the end of its lifetime."""

    def __init__(
        self, where: str | Path = "default", options: Options | None = None, *, say: Say = say_to_stderr
    ) -> None:
        """Describe a cluster, by its name below .cluster or by a directory of its own."""
        self.options = options or Options()
        self.directory = cluster_directory(where)
        self._say = say
        self._supervisor: subprocess.Popen[bytes] | None = None

    @property
    def logs_dir(self) -> Path:
        """Where each component's log is, `<component>.log`."""
        return self.directory / "logs"

    def up(self, lifetime: float = DEFAULT_LIFETIME) -> None:
        """Start it and return when it is ready."""
        self._supervisor = up(self.directory, self.options, lifetime, self._say)

    def down(self) -> None:
        """Stop everything and remove everything."""
        down(self.directory, self._say)
        if self._supervisor is not None:
            self._supervisor.wait()

    def env(self) -> dict[str, str]:
        """Return the environment variables that its clients need."""
        return running(self.directory).env


def running(root: Path) -> State:
    """Return the state of the cluster that is up in a directory."""
    saved = State.read(root)
    if saved is None or not state.owned(root):
        msg = f"no cluster is up in {root}"
        raise ClusterError(msg)
    return saved


def up(root: Path, options: Options, lifetime: float, say: Say) -> subprocess.Popen[bytes] | None:
    """Start a supervisor and return it when its cluster is ready, showing its progress; None when there is one."""
    if state.owned(root):
        say(f"already up: {root}")
        return None
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    with (root / OWNER_LOG).open("ab") as log, (root / OWNER_LOG).open() as progress:
        progress.seek(0, os.SEEK_END)
        supervisor = subprocess.Popen(
            python.module("devcluster", "supervise", *_arguments(root, options, lifetime)),
            env=_environment(options),
            cwd=REPOSITORY,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            _follow(supervisor, root, progress, say)
        except KeyboardInterrupt:
            supervisor.terminate()
            supervisor.wait()
            raise
    return supervisor


def down(root: Path, say: Say) -> None:
    """End the cluster in a directory, whatever state it and its supervisor are in, and remove the directory."""
    if not root.is_dir():
        return
    saved = State.read(root)
    if saved is not None:
        if state.owned(root):
            _end(root, saved, say)
        _outlast(saved)
        clusters.sweep(saved)
    if state.owned(root):
        msg = f"{root} belongs to a cluster that is just starting: try again"
        raise ClusterError(msg)
    state.remove(root)


def _arguments(root: Path, options: Options, lifetime: float) -> list[str]:
    if (
        options.arguments
        or options.environment
        or options.hooks_endpoint
        or options.relays
        or options.audit
        or options.overlay
    ):
        msg = "a cluster in the background takes components, allowed paths and Metacontroller, and no other options"
        raise ValueError(msg)
    parts = ",".join(sorted(options.components))
    allowed = [part for path in options.allow_paths for part in ("--allow-path", str(path))]
    return [
        "--dir",
        str(root),
        "--parts",
        parts,
        "--lifetime",
        str(lifetime),
        *allowed,
        "--node",
        options.node,
        "--replicas",
        str(options.replicas),
    ]


def _environment(options: Options) -> dict[str, str]:
    return {**os.environ, "METACONTROLLER_BIN": options.metacontroller or ""}


def _follow(supervisor: subprocess.Popen[bytes], root: Path, progress: IO[str], say: Say) -> None:
    while True:
        ended = supervisor.poll() is not None
        saved = State.read(root)
        ready = saved is not None and saved.ready and saved.owner.pid == supervisor.pid
        # Read last, so that what was written before either of them is shown.
        for line in progress:
            say(line.rstrip("\n").removeprefix("devcluster: "))
        if ready:
            return
        if ended:
            msg = f"the cluster did not start; logs are in {root / 'logs'}"
            raise ClusterError(msg)
        time.sleep(0.05)


def _end(root: Path, saved: State, say: Say) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(saved.owner.pid, signal.SIGTERM)
    try:
        wait_until(lambda: not state.owned(root), "stopping", within=DOWN_WITHIN, say=say)
    except NotReadyError:
        say("the supervisor does not end, killing it")
        os.kill(saved.owner.pid, signal.SIGKILL)
        wait_until(lambda: not state.owned(root), "the supervisor's end", within=10)


def _outlast(saved: State) -> None:
    """Wait for the children of an owner that was killed: the kernel kills them, but not before it returns."""
    wait_until(
        lambda: not any(record.alive for record in saved.components.values()),
        "the end of the components' processes",
        within=10,
    )
