"""The log on its way, against a mothership that misbehaves."""

import time
from collections.abc import Iterator

import pytest

from launcher import log_stream
from launcher.files import append
from launcher.log_stream import CHUNK, LogStream
from tests.unit.launcher.mothership_fake import MothershipFake
from tests.unit.launcher.pod import Pod


@pytest.fixture
def stream(connected: Pod) -> Iterator[LogStream]:
    """Give a stream with an empty spool."""
    connected.exchange.root.mkdir(parents=True)
    api = connected.api()
    yield LogStream(api, connected.exchange)
    api.close()


def flushed(stream: LogStream, within: float = 10) -> bool:
    """Flush with a deadline."""
    return stream.flush(time.monotonic() + within)


def test_a_big_log_arrives_in_chunks(connected: Pod, stream: LogStream, mothership: MothershipFake) -> None:
    """Whole and in order."""
    data = b"".join(b"line %d\n" % number for number in range(100_000))
    append(connected.exchange.spool, data)
    assert flushed(stream)
    assert mothership.log == data
    assert mothership.calls["logs"] == -(-len(data) // CHUNK)
    assert mothership.streams == {"run"}


def test_nothing_is_sent_when_there_is_nothing(stream: LogStream, mothership: MothershipFake) -> None:
    """An idle run costs no calls."""
    assert not stream.step()
    assert flushed(stream)
    assert mothership.tried["logs"] == 0


def test_a_lost_answer_doubles_nothing(connected: Pod, stream: LogStream, mothership: MothershipFake) -> None:
    """The same chunk again at the same offset."""
    mothership.script.lose_answers = 2
    append(connected.exchange.spool, b"once")
    assert flushed(stream)
    assert mothership.log == b"once"
    assert mothership.calls["logs"] == 3


def test_a_gap_is_filled_from_the_spool(
    connected: Pod, stream: LogStream, mothership: MothershipFake
) -> None:
    """The mothership came back from a backup that has less."""
    append(connected.exchange.spool, b"first ")
    assert flushed(stream)
    mothership.script.forget_log_once = 2
    append(connected.exchange.spool, b"second")
    assert flushed(stream)
    assert mothership.log == b"first second"


def test_everything_waits_in_the_spool_while_the_mothership_is_away(
    connected: Pod, stream: LogStream, mothership: MothershipFake
) -> None:
    """And is delivered when it is back."""
    mothership.script.down = frozenset({"logs"})
    append(connected.exchange.spool, b"kept")
    assert not flushed(stream, 0.5)
    assert mothership.tried["logs"] >= 2
    assert stream.waiting == 4
    mothership.script.down = frozenset()
    assert flushed(stream)
    assert mothership.log == b"kept"


def test_a_body_that_is_too_large_is_sent_in_smaller_ones(
    connected: Pod, stream: LogStream, mothership: MothershipFake
) -> None:
    """Something on the way may have a limit."""
    mothership.script.most_at_once = 400
    data = bytes(range(256)) * 16
    append(connected.exchange.spool, data)
    assert flushed(stream, 20)
    assert mothership.log == data


def test_another_process_goes_on_where_the_first_stopped(
    connected: Pod, stream: LogStream, mothership: MothershipFake
) -> None:
    """The two containers send one log."""
    append(connected.exchange.spool, b"init ")
    assert flushed(stream)
    append(connected.exchange.spool, b"server")
    api = connected.api()
    assert flushed(LogStream(api, connected.exchange))
    api.close()
    assert mothership.log == b"init server"
    assert mothership.calls["logs"] == 2


@pytest.mark.parametrize("seen_before", [False, True])
def test_a_spool_replaced_by_a_link_is_not_followed(
    connected: Pod,
    stream: LogStream,
    mothership: MothershipFake,
    monkeypatch: pytest.MonkeyPatch,
    seen_before: bool,
) -> None:
    """It would make the launcher post its own run token; nor when the change comes between looking and reading."""
    connected.exchange.spool.symlink_to(connected.credentials / "run-token")
    if seen_before:
        monkeypatch.setattr(log_stream, "size_of", lambda _: 100)
    assert not stream.step(hurry=True)
    assert mothership.tried["logs"] == 0


def test_an_offset_that_cannot_be_written_holds_nothing_up(
    connected: Pod, stream: LogStream, mothership: MothershipFake
) -> None:
    """As on a full disk: the one in memory goes on."""
    (connected.exchange.root / ".delivered.new").mkdir()
    for part in (b"first ", b"second"):
        append(connected.exchange.spool, part)
        assert flushed(stream)
    assert mothership.log == b"first second"
    assert mothership.calls["logs"] == 2
