"""Memory limits by control groups, of either version, where the node may make them (as root).

Where it may not, `memory_watch` stands in. A container that runs out of memory is killed whole, as a kubelet has it on
version 2; version 1 knows only how to kill one process, so there the node listens for the kernel's word and kills the rest.
"""

import contextlib
import os
import signal
from dataclasses import dataclass
from pathlib import Path

_V1 = Path("/sys/fs/cgroup/memory")
_V2 = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class MemoryGroup:
    """A control group of one container."""

    folder: Path
    unified: bool

    def add(self, pid: int) -> None:
        """Move a process into the group; its children are born in it."""
        (self.folder / "cgroup.procs").write_text(str(pid))

    def killed(self) -> bool:
        """Return whether the kernel killed something in the group for want of memory."""
        counters = self.folder / ("memory.events" if self.unified else "memory.oom_control")
        try:
            words = dict(line.split() for line in counters.read_text().splitlines())
        except OSError:
            return False
        return int(words.get("oom_kill", "0")) > 0

    def listen(self) -> int | None:
        """Return an eventfd that the kernel writes to when memory runs out; None in version 2, which needs none."""
        if self.unified:
            return None
        heard = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        try:
            with (self.folder / "memory.oom_control").open("rb") as control:
                (self.folder / "cgroup.event_control").write_text(f"{heard} {control.fileno()}")
        except OSError:
            os.close(heard)
            return None
        return heard

    def kill(self) -> None:
        """Kill every process of the group."""
        for line in (self.folder / "cgroup.procs").read_text().split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(line), signal.SIGKILL)

    def remove(self) -> None:
        """Remove the group; one that still has processes stays until the node ends."""
        with contextlib.suppress(OSError):
            self.folder.rmdir()


class MemoryLimits:
    """Makes control groups below one of the node's own; `available` is False where that isn't allowed."""

    def __init__(self, name: str, *, wanted: bool = True) -> None:
        self._unified = (_V2 / "cgroup.controllers").exists()
        self._base = (_V2 if self._unified else _V1) / f"process-node-{name}"
        self.available = wanted and self._prepare()

    def _prepare(self) -> bool:
        """Make the node's own group and hand the memory controller down to it."""
        if os.geteuid() != 0:
            return False
        try:
            if self._unified:
                (_V2 / "cgroup.subtree_control").write_text("+memory")
            self._base.mkdir(exist_ok=True)
            if self._unified:
                (self._base / "cgroup.subtree_control").write_text("+memory")
        except OSError:
            return False
        return True

    def create(self, container_id: str, limit: int) -> MemoryGroup | None:
        """Return a new group with a limit in bytes, None when it can't be had."""
        if not self.available:
            return None
        group = MemoryGroup(self._base / container_id, self._unified)
        group.folder.mkdir()
        if self._unified:
            (group.folder / "memory.max").write_text(str(limit))
            (group.folder / "memory.oom.group").write_text("1")
        else:
            (group.folder / "memory.limit_in_bytes").write_text(str(limit))
        return group

    def close(self) -> None:
        """Remove the node's group, with what an earlier run of the node left in it."""
        if not self.available:
            return
        with contextlib.suppress(OSError):
            for folder in self._base.iterdir():
                if folder.is_dir():
                    MemoryGroup(folder, self._unified).remove()
            self._base.rmdir()
