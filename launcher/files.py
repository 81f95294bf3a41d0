"""The few ways in which the launcher writes and reads files that another process reads and writes."""

import contextlib
import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO

# The Pod's containers share a group (fsGroup) even when a user's override gives one of them another UID.
SHARED_DIRECTORY = 0o2770
SHARED_FILE = 0o660
PRIVATE_FILE = 0o600
READ_ONLY_FILE = 0o640
PROGRAM = 0o755

# Far more than any of the small exchange files holds.
_LONGEST_TEXT = 64 * 1024


def write_whole(path: Path, text: str, mode: int = READ_ONLY_FILE) -> None:
    """Put a file in place by rename: readers see the old one or the whole new one."""
    draft = path.with_name(f".{path.name}.new")
    draft.unlink(missing_ok=True)
    # Born with its mode: at no moment can others read it.
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as stream:
        os.fchmod(stream.fileno(), mode)
        stream.write(text.encode("utf-8"))
    draft.replace(path)


def append(path: Path, data: bytes) -> None:
    """Add to a file that several processes append to."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, SHARED_FILE)
    with os.fdopen(descriptor, "wb", buffering=0) as stream:
        stream.write(data)


def make_shared(path: Path, mode: int) -> None:
    """Give a directory or file the mode that the Pod's other containers need, where it is ours to give."""
    # A directory that the kubelet has made belongs to root and has the mode already.
    with contextlib.suppress(PermissionError):
        path.chmod(mode)


def open_plain(path: Path) -> BinaryIO:
    """Open a file to read it; raise OSError when it isn't a plain one.

    The run's command can put anything in the place of an exchange file: a link would lead to what the launcher's
    container alone may read, and a pipe would block for ever.
    """
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "not a plain file", str(path))
    return os.fdopen(descriptor, "rb")


def read_text(path: Path) -> str:
    """Return the text of a small file, empty when it isn't there, no plain file or not readable."""
    try:
        with open_plain(path) as stream:
            return stream.read(_LONGEST_TEXT).decode("utf-8", "replace")
    except OSError:
        return ""


def size_of(path: Path) -> int:
    """Return a file's size, 0 when it isn't there or no plain file."""
    try:
        found = path.lstat()
    except OSError:
        return 0
    return found.st_size if stat.S_ISREG(found.st_mode) else 0
