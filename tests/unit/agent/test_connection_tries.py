"""A connection counts the tries in a row that failed, for whoever must say how bad it is."""

import contextlib
import socket
import ssl
import time
from collections.abc import Callable, Iterator

import pytest

from app.agent.connection import Connection
from app.agent.link import AckToken, ConnectionSettings


class Listener:
    """Notes, on the connection's own thread, what the state says whenever it hears of a failure."""

    def __init__(self) -> None:
        self.connection: Connection | None = None
        self.counts: list[int] = []

    def on_message(self, topic: str, payload: bytes, token: AckToken) -> None:
        """Never comes."""

    def on_ready(self) -> None:
        """Never comes."""

    def on_lost(self) -> None:
        """Note the count."""
        assert self.connection is not None
        self.counts.append(self.connection.state.failures)


@contextlib.contextmanager
def connecting(port: int, listener: Listener) -> Iterator[Connection]:
    """Give a connection to a port of this machine that is tried again at once."""
    settings = ConnectionSettings(
        host="127.0.0.1",
        port=port,
        client_id="pool-uid",
        subscription="spacelift/readonly/pool/+",
        tls=ssl.create_default_context(),
        will_topic="t",
        will_payload=b"",
        farewell=lambda: ("t", b""),
        backoff_first=0.01,
        backoff_most=0.02,
    )
    connection = listener.connection = Connection(settings, listener)
    assert connection.state.failures == 0
    connection.start()
    try:
        yield connection
    finally:
        assert connection.stop()


def eventually(holds: Callable[[], bool], seconds: float = 10.0) -> None:
    """Wait until it holds."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end
        time.sleep(0.005)


@pytest.fixture
def closed_port() -> Iterator[int]:
    """Give a port that nobody listens on."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def test_failed_tries_are_counted_and_each_is_announced(closed_port: int) -> None:
    """The listener hears of each, and the count is there by then: it decides what users are told."""
    listener = Listener()
    with connecting(closed_port, listener) as connection:
        eventually(lambda: len(listener.counts) >= 5)
        assert "refused" in connection.state.error
        assert not connection.state.ready
    assert listener.counts == list(range(1, len(listener.counts) + 1))


def test_the_count_stays_while_the_next_try_is_made(closed_port: int) -> None:
    """Whoever looks between two failures sees how many there were, never none."""
    listener = Listener()
    with connecting(closed_port, listener) as connection:
        eventually(lambda: len(listener.counts) >= 1)
        seen = [connection.state.failures]
        while len(listener.counts) < 20:
            seen.append(connection.state.failures)
    assert seen == sorted(seen)
    assert seen[0] >= 1
