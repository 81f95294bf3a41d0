"""Container logs: written as a container runtime writes them, read as a kubelet reads them."""

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from devcluster.node.logs import LINE_LIMIT, LogFile, LogOptions, read_log, tail_of


@pytest.fixture
def log(tmp_path: Path) -> Iterator[LogFile]:
    """Return a log that is being written."""
    file = LogFile(tmp_path / "c" / "0.log")
    yield file
    file.close()


def shown(log: LogFile, options: LogOptions | None = None) -> bytes:
    """Return what a reader sees now."""
    return b"".join(read_log(log.path, None, options or LogOptions()))


def test_entries_have_time_stream_and_tag(log: LogFile) -> None:
    """The format is the CRI's."""
    log.append("stderr", b"hello\n")
    _, stream, tag, text = log.path.read_text().split(" ")
    assert (stream, tag, text) == ("stderr", "F", "hello\n")


def test_a_line_comes_in_pieces_and_ends_with_the_container(log: LogFile) -> None:
    """What has no end of line is kept until the log closes."""
    log.append("stdout", b"one\ntw")
    assert shown(log) == b"one\n"
    log.append("stdout", b"o\nthree")
    log.close()
    assert shown(log) == b"one\ntwo\nthree"


def test_a_long_line_is_cut_and_put_together_again(log: LogFile) -> None:
    """Readers don't notice the parts."""
    line = b"x" * (2 * LINE_LIMIT + 5) + b"\n"
    log.append("stdout", line)
    assert shown(log) == line
    assert log.path.read_bytes().count(b" P ") == 2


def test_readers_choose_tail_stream_bytes_and_timestamps(log: LogFile) -> None:
    """The options of `kubectl logs`."""
    log.append("stdout", b"one\ntwo\n")
    log.append("stderr", b"three\n")
    assert shown(log, LogOptions(tail=2)) == b"two\nthree\n"
    assert shown(log, LogOptions(stream="Stderr")) == b"three\n"
    assert shown(log, LogOptions(limit_bytes=5)) == b"one\nt"
    assert shown(log, LogOptions(timestamps=True)).count(b"Z ") == 3
    assert shown(log, LogOptions(since=4e9)) == b""


def test_a_follower_sees_what_comes_and_ends_with_the_log(log: LogFile) -> None:
    """It waits without polling."""
    log.append("stdout", b"one\n")
    seen: list[bytes] = []
    first = threading.Event()

    def follow() -> None:
        for piece in read_log(log.path, log, LogOptions(follow=True)):
            seen.append(piece)
            first.set()

    follower = threading.Thread(target=follow)
    follower.start()
    assert first.wait(10)
    log.append("stdout", b"two\n")
    log.close()
    follower.join(10)
    assert b"".join(seen) == b"one\ntwo\n"


def test_the_tail_of_a_log_is_limited_in_bytes(log: LogFile) -> None:
    """For FallbackToLogsOnError."""
    log.append("stdout", b"one\ntwo\n")
    log.close()
    assert tail_of(log.path, 1, 100) == "two\n"
    assert tail_of(log.path, 80, 3) == "wo\n"
    assert tail_of(log.path.with_name("none"), 80, 3) == ""
