"""The logs of Deployments, one file each, as components that are processes have: lines as the containers wrote them.

The kubelet removes a Pod's log with the Pod. A thread reads what the containers write and keeps it, so that the log of
a component has everything since the cluster's start, of all of its Pods.
"""

from __future__ import annotations

import contextlib
import re
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

EVERY = 0.2
"""Seconds between two looks. What lives and is removed between two of them is not seen."""


def plain(line: bytes) -> bytes:
    """Return what a container wrote, of a line as the runtime keeps it: `<time> <stream> <tag> <text>`.

    The tag P marks a part of a line that was too long for one; the line goes on with the next.
    """
    _time, _stream, tag, text = line.split(b" ", 3)
    return text.removesuffix(b"\n") if tag.startswith(b"P") else text


class PodLogs:
    """Copies the logs of Pods into one file for each component."""

    def __init__(self, source: Path, patterns: Mapping[str, re.Pattern[str]], target: Path) -> None:
        """Read below `source`, the kubelet's folder of logs, and write `<component>.log` into `target`.

        By component, `patterns` match the folders of its Pods, `<namespace>_<name of the Pod>_<uid>`.
        """
        self._source, self._patterns, self._target = source, dict(patterns), target
        self._readers: dict[str, dict[int, _Reader]] = {name: {} for name in patterns}
        # By inode: the kubelet renames a log that has grown long, and removes those of Pods that are gone.
        self._logs: dict[str, BinaryIO] = {}
        self._lock = threading.Lock()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="pod-logs", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Copy what is left and end the thread. Stopping what was not started is no error."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join()
        self.collect()
        with self._lock:
            for readers in self._readers.values():
                for reader in readers.values():
                    reader.file.close()
                readers.clear()
            for log in self._logs.values():
                log.close()
            self._logs.clear()

    def path(self, component: str) -> Path:
        """Return where a component's log is, with all in it that was written until now."""
        self.collect()
        return self._target / f"{component}.log"

    def folders(self, component: str) -> list[Path]:
        """Return the kubelet's folders of a component's Pods, of those alone that it hasn't forgotten."""
        return [each for each in self._source.glob("*") if self._patterns[component].fullmatch(each.name)]

    def collect(self) -> None:
        """Copy what was written since the last time."""
        with self._lock:
            for component in self._patterns:
                self._collect(component)

    def _collect(self, component: str) -> None:
        readers = self._readers[component]
        present = set()
        for path in sorted(file for each in self.folders(component) for file in each.glob("*/*.log")):
            # It may go in any moment, and is a link to nothing for one when its container is made.
            with contextlib.suppress(FileNotFoundError):
                number = path.stat().st_ino
                present.add(number)
                if number not in readers:
                    readers[number] = _Reader(path.open("rb"))
        if component not in self._logs:
            # Kept open, as processes keep theirs: it may be moved away before the end.
            self._logs[component] = (self._target / f"{component}.log").open("ab")
        log = self._logs[component]
        for reader in readers.values():
            log.writelines(reader.lines())
        log.flush()
        for number in readers.keys() - present:
            readers.pop(number).file.close()

    def _run(self) -> None:
        while not self._ended.wait(EVERY):
            self.collect()


class _Reader:
    """Reads a growing file by whole lines."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self._rest = b""

    def lines(self) -> Iterator[bytes]:
        """Yield the lines that were added since the last time, as the container wrote them."""
        *whole, self._rest = (self._rest + self.file.read()).split(b"\n")
        return (plain(line + b"\n") for line in whole)
