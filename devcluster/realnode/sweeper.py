"""Removes what the kernel doesn't remove by itself when a node's supervisor is gone, however it ended.

Run as `python -m devcluster.realnode.sweeper --home DIR --cgroup NAME`, in a session of its own. It waits for the end
of its standard input, a pipe whose other end only the supervisor holds; then it kills what still lives in the node's
control groups, and removes those and the node's directory. Mounts, network and processes go with the namespaces.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from devcluster.paths import REPOSITORY
from devcluster.progress import ClusterError
from devcluster.realnode import cgroups

DONE_WITHIN = 60.0


class Sweeper:
    """The sweeper's process, as its supervisor sees it."""

    def __init__(self, home: Path, cgroup: str) -> None:
        """Start it; it waits until `finish` is called or this process is gone."""
        argv = [sys.executable, "-m", "devcluster.realnode.sweeper", f"--home={home}", f"--cgroup={cgroup}"]
        self._process = subprocess.Popen(
            argv,
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def finish(self) -> None:
        """Let it sweep; raise when something could not be removed."""
        try:
            told = self._process.communicate(timeout=2 * DONE_WITHIN)[1].decode(errors="replace").strip()
        except subprocess.TimeoutExpired:
            self._process.kill()
            told = f"the sweeper did not end within {2 * DONE_WITHIN:.0f} s"
        if told:
            raise ClusterError(told)


def sweep(home: Path, cgroup: str) -> list[str]:
    """Remove everything; return what could not be removed, in words."""
    left = [f"control group {folder}: still has processes" for folder in cgroups.remove(cgroup)]
    deadline = time.monotonic() + DONE_WITHIN
    while home.exists() and time.monotonic() < deadline:
        # What is being killed may still write, and a mount of a dying namespace still hold a folder.
        shutil.rmtree(home, ignore_errors=True)
        if home.exists():
            time.sleep(0.1)
    if home.exists():
        left.append(f"directory {home}: could not be removed")
    return left


def main(arguments: Sequence[str] | None = None) -> int:
    """Wait for the supervisor's end, then sweep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--home", type=Path, required=True)
    parser.add_argument("--cgroup", required=True)
    options = parser.parse_args(arguments)
    # Ctrl-C in a terminal is for the supervisor.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while os.read(sys.stdin.fileno(), 1):
        pass
    left = sweep(options.home, options.cgroup)
    # With the supervisor gone nobody may be reading.
    with contextlib.suppress(OSError):
        os.write(sys.stderr.fileno(), "\n".join(left).encode())
    return 1 if left else 0


if __name__ == "__main__":
    sys.exit(main())
