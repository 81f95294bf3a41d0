"""Become another program that the kernel kills when the process that started it is gone.

Run as a script, by path: `python -I -S tethered.py <parent pid> <program> <argument>...`. Asking for the signal after
the fork in a program of its own, instead of in the forked child, keeps the parent free to use threads.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main(arguments: list[str]) -> None:
    """Tie this process to its parent and execute the program."""
    parent, program = int(arguments[0]), arguments[1:]
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        # It died before the kernel was asked to tell.
        sys.exit(1)
    try:
        os.execvp(program[0], program)  # noqa: S606 - a shell in between would be one more process
    except OSError as error:
        sys.exit(f"{program[0]}: {error.strerror}")


if __name__ == "__main__":
    main(sys.argv[1:])
