"""A data directory on a small disk of its own, which only the process that uses it sees and which goes with it."""

from __future__ import annotations

import contextlib
import os
import subprocess
from pathlib import Path

# The true directory stays reachable beside the small disk: what was stored comes back to it at the end.
_SCRIPT = """
data=$1; size=$2; shift 2
mkdir -p "$data.true" && mount --bind "$data" "$data.true" &&
mount -t tmpfs -o "size=$size" tmpfs "$data" && cp -a "$data.true/." "$data/" || exit 99
"$@" & child=$!
trap 'kill -TERM $child' TERM
wait $child; wait $child; status=$?
rm -f "$data/filler"; cp -a "$data/." "$data.true/"
exit $status
"""
_FILLER = "filler"


def _unshare() -> list[str]:
    own = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    return ["unshare", *own, "--mount", "--propagation", "private"]


def lacking() -> str:
    """Say why this machine can't give a process a disk of its own; empty when it can."""
    try:
        done = subprocess.run([*_unshare(), "mount", "-t", "tmpfs", "tmpfs", "/mnt"], capture_output=True)
    except FileNotFoundError:
        return "unshare (util-linux) is not there"
    return "" if done.returncode == 0 else "mounting needs root or user namespaces"


def on_small_disk(argv: tuple[str, ...], data: Path, size: str) -> tuple[str, ...]:
    """Return the command line that runs `argv` with `data` on a disk of that size."""
    return (*_unshare(), "sh", "-c", _SCRIPT, "sh", str(data), size, *argv)


def fill(pid: int, data: Path) -> None:
    """Use up what is free on the small disk of a process."""
    # Byte by byte in the end, or the last page stays free.
    with contextlib.suppress(OSError), _inside(pid, data).open("ab", buffering=0) as filler:
        for chunk in (1 << 20, 1 << 12, 1):
            with contextlib.suppress(OSError):
                while filler.write(b"x" * chunk):
                    pass


def free(pid: int, data: Path) -> None:
    """Give it back."""
    _inside(pid, data).unlink()


def _inside(pid: int, data: Path) -> Path:
    return Path(f"/proc/{pid}/root{data}/{_FILLER}")
