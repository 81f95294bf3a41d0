"""The first process of a node's namespaces: prepares mounts and network, then collects zombies until it is killed.

Run as a script, by path, as the child of `unshare --pid --net --mount --fork`: `python -I -S pid1.py <plan>`. The plan
is a JSON file (see namespaces.py); its `ready` names a file that is made when all is prepared. When this process ends, the kernel kills every other one in its process namespace,
and with the last of them mounts, bridge, routes and packet filters are gone.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

MS_BIND = 4096
MS_REC = 16384


def main(plan: dict[str, Any]) -> None:
    """Carry the plan out and wait."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD, signal.SIGTERM})
    for number, target in enumerate(plan["tmpfs"]):
        if not Path(target).is_dir():
            _cover(Path(target).parent, Path(plan["covers"], str(number)))
            Path(target).mkdir()
        _mount("tmpfs", target, "tmpfs", 0)
    for source, target in plan["binds"]:
        _bind(Path(source), Path(target))
    for path, value in plan["sysctls"].items():
        Path("/proc/sys", path).write_text(value)
    for argv in plan["commands"]:
        done = subprocess.run(argv, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            sys.exit(f"{' '.join(argv)}: {done.stderr.strip() or done.stdout.strip()}")
    Path(plan["ready"]).touch()
    _collect()


def _cover(folder: Path, work: Path) -> None:
    """Let what is made in a folder of the machine's be seen here alone."""
    for name in ("upper", "work"):
        (work / name).mkdir(parents=True)
    options = f"lowerdir={folder},upperdir={work / 'upper'},workdir={work / 'work'}"
    _mount("overlay", str(folder), "overlay", 0, options)


def _bind(source: Path, target: Path) -> None:
    # /etc/resolv.conf may be a link into a directory that is empty here.
    target = target.resolve()
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            target.mkdir()
        else:
            target.touch()
    _mount(str(source), str(target), None, MS_BIND | MS_REC)


def _mount(source: str, target: str, kind: str | None, flags: int, options: str = "") -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if (
        libc.mount(source.encode(), target.encode(), kind.encode() if kind else None, flags, options.encode())
        != 0
    ):
        sys.exit(f"mounting {source} at {target}: {os.strerror(ctypes.get_errno())}")


def _collect() -> None:
    while True:
        if signal.sigwait({signal.SIGCHLD, signal.SIGTERM}) == signal.SIGTERM:
            return
        try:
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        except ChildProcessError:
            continue


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text()))
