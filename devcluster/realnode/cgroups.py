"""The control group below which every container of a node is; removed with all that is in it when the node is gone."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterable
from pathlib import Path

TOP = Path("/sys/fs/cgroup")
PREFIX = "devcluster-"
CONTROLLERS = ("cpu", "cpuset", "memory", "pids")
"""What the kubelet needs."""
REMOVED_WITHIN = 10.0


def unified() -> bool:
    """Say whether the machine has version 2 alone."""
    return (TOP / "cgroup.controllers").exists()


def hierarchies() -> list[Path]:
    """Return the places where groups can be made: one in version 2, one for each set of controllers in version 1."""
    if unified():
        return [TOP]
    found = {path.resolve() for path in TOP.iterdir() if path.is_dir() and (path / "cgroup.procs").exists()}
    return sorted(found)


def missing_controllers() -> list[str]:
    """Return the controllers that the kubelet needs and the machine doesn't offer."""
    if not TOP.is_dir():
        return list(CONTROLLERS)
    offered = (
        (TOP / "cgroup.controllers").read_text().split()
        if unified()
        else [path.name for path in TOP.iterdir()]
    )
    return [name for name in CONTROLLERS if name not in offered]


def make(name: str) -> None:
    """Make the group in every hierarchy."""
    for top in hierarchies():
        folder = top / name
        folder.mkdir(exist_ok=True)
        if unified():
            for controller in CONTROLLERS:
                with contextlib.suppress(OSError):
                    (top / "cgroup.subtree_control").write_text(f"+{controller}")
        # A group of version 1 has no processors of its own at first, and takes no process without.
        for setting in ("cpuset.cpus", "cpuset.mems"):
            if not unified() and (top / setting).exists():
                (folder / setting).write_text((top / setting).read_text())


def remove(name: str) -> list[Path]:
    """Kill what lives in the group and remove it everywhere; return what could not be removed."""
    folders = [top / name for top in hierarchies() if (top / name).is_dir()]
    deadline = time.monotonic() + REMOVED_WITHIN
    while folders:
        for folder in folders:
            _remove(folder)
        folders = [folder for folder in folders if folder.exists()]
        if time.monotonic() > deadline:
            break
        if folders:
            time.sleep(0.05)
    return folders


def _remove(folder: Path) -> None:
    # From the leaves up; a group that still has processes stays until they have died.
    for inner in sorted(_below(folder), key=lambda path: len(path.parts), reverse=True):
        for pid in _processes(inner):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(OSError):
            inner.rmdir()


def _below(folder: Path) -> Iterable[Path]:
    return [Path(found) for found, _, _ in os.walk(folder)]


def _processes(folder: Path) -> list[int]:
    try:
        return [int(line) for line in (folder / "cgroup.procs").read_text().split()]
    except OSError:
        return []


def processes_of_pod(name: str, uid: str) -> list[int]:
    """Return the processes of a Pod's containers, as this machine counts them, the oldest first."""
    top = TOP if unified() else TOP / "memory"
    # Groups come and go meanwhile: a walk passes over what is gone.
    folders = [each for each in _below(top / name / "kubepods") if each.parent.name == f"pod{uid}"]
    return sorted(pid for folder in folders for pid in _processes(folder))
