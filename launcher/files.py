"""The few ways in which the launcher writes files that another process reads."""

import contextlib
import os
from pathlib import Path

# The Pod's containers share a group (fsGroup) even when a user's override gives one of them another UID.
SHARED_DIRECTORY = 0o2770
SHARED_FILE = 0o660
PRIVATE_FILE = 0o600
READ_ONLY_FILE = 0o640
PROGRAM = 0o755


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


def read_text(path: Path) -> str:
    """Return a file's text, empty when it isn't there."""
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""


def size_of(path: Path) -> int:
    """Return a file's size, 0 when it isn't there."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
