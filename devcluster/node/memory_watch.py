"""Memory limits where control groups can't be had: a thread looks how much containers use and kills what is over.

It counts anonymous and shared memory of a process and its descendants. Pages that a parent shares with its children count
for each of them, and what happens between two looks isn't seen: near enough to find a limit that is too low, and on the
safe side. Under proot a process whose parent has ended isn't found any more.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

log = logging.getLogger(__name__)

LOOK_SECONDS = 0.1
_COUNTED = ("RssAnon:", "RssShmem:")


@dataclass
class Watched:
    """A container under watch; `out_of_memory` says whether it was killed for its limit."""

    pid: int
    limit: int
    kill: Callable[[], None]
    out_of_memory: bool = False
    ended: threading.Event = field(default_factory=threading.Event)


class MemoryWatch:
    """Watches containers, all of them from one thread that ends when there are none."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._watched: list[Watched] = []
        self._thread: threading.Thread | None = None

    def watch(self, pid: int, limit: int, kill: Callable[[], None]) -> Watched:
        """Begin to watch a process with a limit in bytes; `kill` must end it and its descendants."""
        entry = Watched(pid, limit, kill)
        with self._lock:
            self._watched.append(entry)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="memory watch", daemon=True)
                self._thread.start()
        return entry

    def _run(self) -> None:
        """Look at every container again and again, until there is none."""
        while True:
            with self._lock:
                self._watched = [each for each in self._watched if not each.ended.is_set()]
                if not self._watched:
                    self._thread = None
                    return
                now = list(self._watched)
            for entry in now:
                self._look(entry)
            time.sleep(LOOK_SECONDS)

    def _look(self, entry: Watched) -> None:
        """Kill a container that is over its limit."""
        used = memory_of(entry.pid)
        if used > entry.limit and not entry.ended.is_set():
            log.info("container over its memory limit: pid=%d used=%d limit=%d", entry.pid, used, entry.limit)
            entry.out_of_memory = True
            entry.kill()


def memory_of(pid: int) -> int:
    """Return the bytes that a process and its descendants use, 0 when there is none."""
    return sum(_own_memory(each) for each in _family(pid))


def _family(pid: int) -> Iterator[int]:
    """Yield a process and its descendants."""
    yield pid
    for tasks in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            for child in tasks.read_text().split():
                yield from _family(int(child))


def _own_memory(pid: int) -> int:
    """Return the bytes of one process."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) * 1024 for line in lines if line.startswith(_COUNTED))
