"""Kills the node's containers when the node dies, however it dies.

A process of its own: it reads pids from its standard input, which only the node holds open, and at its end kills
those that live. The kernel's parent-death signal alone isn't enough: bubblewrap's outer process has dropped its
capabilities, so a signal from it to a container that runs as another user is refused.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from typing import BinaryIO


class Guard:
    """The node's end: tells the guard what to kill."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # A session of its own: whoever kills the node's process group must not kill the guard before its work.
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd="/",
            start_new_session=True,
        )

    def watch(self, pid: int) -> None:
        """Have a process killed when the node dies; raises OSError when the guard itself is gone."""
        self._tell(f"+{pid}\n")

    def release(self, pid: int) -> None:
        """Forget a process that has ended."""
        with contextlib.suppress(OSError):
            self._tell(f"-{pid}\n")

    def _tell(self, line: str) -> None:
        """Write one line to the guard."""
        pipe = self._process.stdin
        if pipe is not None:
            with self._lock:
                pipe.write(line.encode())
                pipe.flush()


def main(lines: BinaryIO) -> None:
    """Follow the node until its end of the pipe closes, then kill what is left."""
    watched: dict[int, int] = {}
    for line in lines:
        sign, pid = line[:1], int(line[1:])
        if sign == b"-":
            descriptor = watched.pop(pid, None)
            if descriptor is not None:
                os.close(descriptor)
        else:
            with contextlib.suppress(ProcessLookupError):
                watched[pid] = os.pidfd_open(pid)
    for pid, descriptor in watched.items():
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            # Under proot a container's processes have no PID namespace that dies with the first of them.
            os.killpg(pid, signal.SIGKILL)


if __name__ == "__main__":
    main(sys.stdin.buffer)
