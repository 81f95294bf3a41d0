"""Starts proot so that it works with today's programs; a program of its own, run as `proot_start.py PROOT ARGS...`.

proot translates the paths of system calls, and the releases that distributions ship don't know the newer ones: those
would reach the host's files untranslated. A seccomp filter makes them fail with ENOSYS, upon which the C library
uses the older ones. It also asks the kernel to kill proot when its parent dies.
"""

import ctypes
import errno
import os
import platform
import signal
import struct
import sys

_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _FILTER_MODE = 1, 38, 22, 2
_LOAD, _JUMP_IF_EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000

# statx has a number of its own on each machine; openat2, faccessat2 and fchmodat2 are the same everywhere.
_STATX = {"x86_64": 332, "aarch64": 291}
_NEWER = (437, 439, 452)


def program(numbers: list[int]) -> bytes:
    """Return a filter that answers these system calls with ENOSYS and allows all others."""
    code = [(_LOAD, 0, 0, 0)]
    for position, number in enumerate(numbers):
        code.append((_JUMP_IF_EQUAL, len(numbers) - position, 0, number))
    code += [(_RETURN, 0, 0, _ALLOW), (_RETURN, 0, 0, _ERRNO | errno.ENOSYS)]
    return b"".join(struct.pack("=HBBI", *instruction) for instruction in code)


def main(argv: list[str]) -> None:
    """Install the filter and become proot."""
    libc = ctypes.CDLL(None, use_errno=True)
    code = program(
        [*_NEWER, *(number for machine, number in _STATX.items() if machine == platform.machine())]
    )
    text = ctypes.create_string_buffer(code, len(code))
    head = ctypes.create_string_buffer(struct.pack("@HP", len(code) // 8, ctypes.addressof(text)))
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL.value, 0, 0, 0)
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if libc.prctl(_PR_SET_SECCOMP, _FILTER_MODE, head, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "the system call filter was refused")
    os.execv(argv[0], argv)  # noqa: S606 - becoming the program is the point


if __name__ == "__main__":
    main(sys.argv[1:])
