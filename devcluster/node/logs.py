"""Container log files in the format of the CRI, and reading them back as a kubelet serves them."""

import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path

from devcluster.node.times import parse, rfc3339_nano

# A longer line is cut into parts tagged P, the last one F, as a container runtime does it.
LINE_LIMIT = 16 * 1024


class LogFile:
    """The log of one container while it runs: written by one thread, followed by any number."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._file = path.open("ab", buffering=0)
        self._rest = {"stdout": b"", "stderr": b""}
        self._grown = threading.Condition()
        self._version = 0
        self.closed = False

    def append(self, stream: str, data: bytes) -> None:
        """Take bytes from a stream and write the lines that they complete."""
        *lines, rest = (self._rest[stream] + data).split(b"\n")
        stamp = rfc3339_nano(time.time_ns())
        out = b"".join(_entry(stamp, stream, line) for line in lines)
        while len(rest) >= LINE_LIMIT:
            out += f"{stamp} {stream} P ".encode() + rest[:LINE_LIMIT] + b"\n"
            rest = rest[LINE_LIMIT:]
        self._rest[stream] = rest
        if out:
            self._file.write(out)
            self._tell()

    def close(self) -> None:
        """Write what has no end of line yet and let followers go; closing again does nothing."""
        if self.closed:
            return
        stamp = rfc3339_nano(time.time_ns())
        for stream, rest in self._rest.items():
            if rest:
                self._file.write(f"{stamp} {stream} P ".encode() + rest + b"\n")
        self._file.close()
        self.closed = True
        self._tell()

    def version(self) -> int:
        """Return a number that grows whenever the log does."""
        return self._version

    def wait_beyond(self, version: int, seconds: float) -> bool:
        """Wait until the log has grown beyond a version; return False when the time is over."""
        with self._grown:
            return self._grown.wait_for(lambda: self._version > version, seconds)

    def _tell(self) -> None:
        """Wake whoever follows the log."""
        with self._grown:
            self._version += 1
            self._grown.notify_all()


def _entry(stamp: str, stream: str, line: bytes) -> bytes:
    """Return a whole line, in parts when it is too long."""
    out = b""
    while len(line) > LINE_LIMIT:
        out += f"{stamp} {stream} P ".encode() + line[:LINE_LIMIT] + b"\n"
        line = line[LINE_LIMIT:]
    return out + f"{stamp} {stream} F ".encode() + line + b"\n"


@dataclass(frozen=True)
class LogOptions:
    """What a reader of a log asked for."""

    follow: bool = False
    timestamps: bool = False
    tail: int | None = None
    since: float | None = None
    limit_bytes: int | None = None
    stream: str = "All"


def read_log(path: Path, live: LogFile | None, options: LogOptions) -> Iterator[bytes]:
    """Yield the log as a client wants to see it; following ends when the container does."""
    budget = options.limit_bytes
    for piece in _pieces(path, live, options):
        if budget is not None:
            if budget <= 0:
                return
            piece = piece[:budget]
            budget -= len(piece)
        yield piece


def _pieces(path: Path, live: LogFile | None, options: LogOptions) -> Iterator[bytes]:
    """Yield rendered entries: those that are there, then those that come."""
    with path.open("rb") as file:
        version = live.version() if live else 0
        entries = (_render(line, options) for line in _whole_lines(file))
        shown = (entry for entry in entries if entry is not None)
        yield from shown if options.tail is None else deque(shown, maxlen=options.tail)
        while options.follow and live is not None:
            last = live.closed
            for line in _whole_lines(file):
                entry = _render(line, options)
                if entry is not None:
                    yield entry
            if last:
                return
            # Waking now and then lets a thread go whose client has left.
            if not live.wait_beyond(version, 30.0):
                yield b""
            version = live.version()


def _whole_lines(file: BufferedReader) -> Iterator[bytes]:
    """Yield the lines that are complete; one being written is left for the next time."""
    while line := file.readline():
        if not line.endswith(b"\n"):
            file.seek(-len(line), 1)
            return
        yield line


def _render(line: bytes, options: LogOptions) -> bytes | None:
    """Return one entry as it is shown, None when it was not asked for."""
    stamp, stream, tag, content = line.rstrip(b"\n").split(b" ", 3)
    if options.stream != "All" and stream.decode() != options.stream.lower():
        return None
    if options.since is not None and parse(stamp.decode()) < options.since:
        return None
    text = content if tag == b"P" else content + b"\n"
    return stamp + b" " + text if options.timestamps else text


def tail_of(path: Path, limit_lines: int, limit_bytes: int) -> str:
    """Return the end of a log, for FallbackToLogsOnError."""
    if not path.exists():
        return ""
    text = b"".join(read_log(path, None, LogOptions(tail=limit_lines)))
    return text[-limit_bytes:].decode("utf-8", "replace")
