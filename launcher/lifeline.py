"""The pipe that shows at once when the executor is dead: the executor holds it open, and nobody writes to it.

The kernel tells a reader when the last holder is gone, also across containers of one node, and whatever ended it. Where
a pipe can't be had or doesn't reach across (some file systems, some sandboxes), the heartbeat tells, half a minute later.
"""

import contextlib
import os
import select
import stat
from pathlib import Path

from launcher.files import SHARED_FILE, make_shared


def make_lifeline(path: Path) -> None:
    """Make the pipe; where the file system has none, there is none."""
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)
        os.mkfifo(path, SHARED_FILE)
        make_shared(path, SHARED_FILE)


class Lifeline:
    """The reader's end, opened as soon as it is there."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def is_cut(self) -> bool:
        """Return whether the executor held it and doesn't any more."""
        if self._descriptor is None:
            self._descriptor = _open(self._path)
        if self._descriptor is None:
            return False
        # A hang-up is told only of a pipe that somebody has held since this end was opened.
        poll = select.poll()
        poll.register(self._descriptor, 0)
        return any(event & select.POLLHUP for _, event in poll.poll(0))


def _open(path: Path) -> int | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    if stat.S_ISFIFO(os.fstat(descriptor).st_mode):
        return descriptor
    # The run's commands can put anything in its place.
    os.close(descriptor)
    return None
