"""Become, or start, another program inside a node's namespaces.

Run as a script, by path: `python -I -S enter.py net|all <pid file> <program> <argument>...`. With `net` this process
itself becomes the program, in the network namespace of the process that the file names. With `all` the program is a child, because a process
namespace is only entered by children; this process passes signals on to it, ends as it ends, and the kernel kills it
when this process is gone.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1
PASSED_ON = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)
SPACES = {"net": ("net",), "all": ("net", "pid", "mnt")}


def main(arguments: list[str]) -> int:
    """Enter and run; return the exit code."""
    where = os.getcwd()  # noqa: PTH109 - pathlib would make up most of this script's time
    which, pid_file, program = arguments[0], arguments[1], arguments[2:]
    with open(pid_file) as file:  # noqa: PTH123 - as above
        pid = int(file.read())
    # All are opened first: the mount namespace's /proc knows no processes of this one.
    spaces = [os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY | os.O_CLOEXEC) for name in SPACES[which]]
    libc = ctypes.CDLL(None, use_errno=True)
    for space in spaces:
        if libc.setns(space, 0) != 0:
            sys.exit(f"entering the namespaces of process {pid}: {os.strerror(ctypes.get_errno())}")
    os.chdir(where)
    if which == "net":
        _execute(program)
    return _run(program, libc)


def _run(program: list[str], libc: ctypes.CDLL) -> int:
    signal.pthread_sigmask(signal.SIG_BLOCK, PASSED_ON)
    child = os.fork()
    if child == 0:
        libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED_ON)
        _execute(program)
    for number in PASSED_ON:
        signal.signal(number, lambda received, _frame: os.kill(child, received))
    signal.pthread_sigmask(signal.SIG_UNBLOCK, PASSED_ON)
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status):
        ended_by = os.WTERMSIG(status)
        if ended_by in PASSED_ON:
            signal.signal(ended_by, signal.SIG_DFL)
        os.kill(os.getpid(), ended_by)
    return os.waitstatus_to_exitcode(status)


def _execute(program: list[str]) -> None:
    try:
        os.execvp(program[0], program)  # noqa: S606 - a shell in between would be one more process
    except OSError as error:
        sys.exit(f"{program[0]}: {error.strerror}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
