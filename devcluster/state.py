"""A cluster's directory: who owns it, and what other processes may know about the cluster."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

from devcluster.processes import start_ticks
from devcluster.progress import ClusterError

FILE = "state.json"
# Written by whoever starts the owner, before there is an owner.
OWNER_LOG = "supervisor.log"


@dataclass(frozen=True)
class ProcessRecord:
    """A process, told from a later one of the same id by its start."""

    pid: int
    started: int | None
    log: str = ""

    @classmethod
    def of(cls, pid: int, log: Path | str = "") -> Self:
        """Record a living process."""
        return cls(pid, start_ticks(pid), str(log))

    @property
    def alive(self) -> bool:
        """Whether it is still that process."""
        return self.started is not None and start_ticks(self.pid) == self.started


@dataclass(frozen=True)
class State:
    """What the owner of a cluster tells others."""

    owner: ProcessRecord
    ready: bool
    node_name: str
    env: dict[str, str]
    components: dict[str, ProcessRecord]

    def write(self, root: Path) -> None:
        """Replace the file in one step."""
        unfinished = root / f".{FILE}"
        unfinished.touch(mode=0o600)
        unfinished.write_text(json.dumps(asdict(self), indent=2) + "\n")
        unfinished.rename(root / FILE)

    @classmethod
    def read(cls, root: Path) -> Self | None:
        """Return the state, None when there is no cluster."""
        try:
            values: dict[str, Any] = json.loads((root / FILE).read_text())
        except FileNotFoundError:
            return None
        components = {name: ProcessRecord(**record) for name, record in values.pop("components").items()}
        return cls(owner=ProcessRecord(**values.pop("owner")), components=components, **values)


class Claim:
    """The ownership of a cluster's directory: a lock on it that the kernel drops when the owner is gone."""

    def __init__(self, root: Path) -> None:
        """Take the directory, making it; raise when a living process owns it."""
        root.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._descriptor = os.open(root, os.O_RDONLY)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._descriptor)
            state = State.read(root)
            msg = f"a cluster is already up in {root}" + (
                f", owned by process {state.owner.pid}" if state else ""
            )
            raise ClusterError(msg) from None

    def release(self) -> None:
        """Give the directory up."""
        os.close(self._descriptor)


def owned(root: Path) -> bool:
    """Say whether a living process owns the directory."""
    if not root.is_dir():
        return False
    try:
        claim = Claim(root)
    except ClusterError:
        return True
    claim.release()
    return False


def clear(root: Path) -> None:
    """Empty the directory, so that a cluster that was killed leaves nothing to the next one."""
    for path in root.iterdir():
        if path.name == OWNER_LOG:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()


def remove(root: Path) -> None:
    """Remove the directory, and the one that holds all clusters when this was the last."""
    shutil.rmtree(root, ignore_errors=True)
    if root.exists():
        # What is being killed may write once more.
        shutil.rmtree(root)
    if root.parent.name == ".cluster":
        with contextlib.suppress(OSError):
            root.parent.rmdir()
