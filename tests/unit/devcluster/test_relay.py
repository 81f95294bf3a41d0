"""The relay: passes everything on, and each fault does what its name says and nothing else."""

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from devcluster.ports import LOOPBACK
from devcluster.progress import ClusterError
from devcluster.relay import Relay

SILENCE = 0.3
"""Seconds without a byte that count as nothing coming; loopback takes less than a millisecond."""


class Echo:
    """A server that sends back what it gets, with its name in front of the first answer."""

    def __init__(self, name: str = "") -> None:
        self._name = name.encode()
        self._listener = socket.create_server((LOOPBACK, 0))
        self.address: tuple[str, int] = (LOOPBACK, self._listener.getsockname()[1])
        self.ends: list[str] = []
        self._threads: list[threading.Thread] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Stop listening; standing connections go on."""
        # A shutdown wakes the thread in accept(); a close alone would not.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(5)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                thread = threading.Thread(target=self._serve, args=(connection,), daemon=True)
                thread.start()
                self._threads.append(thread)

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            try:
                connection.sendall(self._name)
                while data := connection.recv(1 << 16):
                    connection.sendall(data)
            except OSError:
                self.ends.append("reset")
            else:
                self.ends.append("end")


@pytest.fixture
def echo() -> Iterator[Echo]:
    """Return a server to relay to."""
    server = Echo()
    yield server
    server.close()


@pytest.fixture
def relay(echo: Echo) -> Iterator[Relay]:
    """Return a started relay to the server."""
    with Relay([echo.address]) as started:
        yield started


@pytest.fixture
def client(relay: Relay) -> Iterator[socket.socket]:
    """Return a connection through the relay that has worked."""
    with connect(relay) as connection:
        assert ask(connection, b"hello") == b"hello"
        yield connection


def connect(relay: Relay) -> socket.socket:
    """Connect to the relay."""
    return socket.create_connection((LOOPBACK, relay.port), 5)


def ask(connection: socket.socket, text: bytes) -> bytes:
    """Send, and return an answer of the same length."""
    connection.sendall(text)
    answer = b""
    while len(answer) < len(text):
        answer += connection.recv(len(text) - len(answer)) or pytest.fail(f"ended after {len(answer)} bytes")
    return answer


def is_silent(connection: socket.socket) -> bool:
    """Say whether nothing comes, neither bytes nor an end nor a reset."""
    connection.settimeout(SILENCE)
    try:
        connection.recv(1)
    except TimeoutError:
        return True
    finally:
        connection.settimeout(5)
    return False


def until(condition: Callable[[], bool]) -> None:
    """Wait for what another thread does."""
    deadline = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_everything_passes_in_both_directions_whatever_its_size(client: socket.socket) -> None:
    """More than any buffer holds comes back whole and in order, while both sides send."""
    sent = bytes(number % 251 for number in range(8 << 20))
    sender = threading.Thread(target=client.sendall, args=(sent,))
    sender.start()
    received = bytearray()
    while len(received) < len(sent):
        received += client.recv(1 << 16)
    sender.join()
    assert received == sent


def test_an_end_of_one_direction_leaves_the_other_open(echo: Echo, client: socket.socket) -> None:
    """As TCP has it: the answer to the last words still comes, then the other end."""
    client.sendall(b"last words")
    client.shutdown(socket.SHUT_WR)
    answer = b""
    while data := client.recv(100):
        answer += data
    assert answer == b"last words"
    until(lambda: echo.ends == ["end"])


def test_a_cut_resets_what_stands_refuses_what_comes_and_heals(
    echo: Echo, relay: Relay, client: socket.socket
) -> None:
    """Both sides learn of it at once; the port is the same afterwards."""
    port = relay.port
    relay.cut()
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    until(lambda: echo.ends == ["reset"])
    with pytest.raises(ConnectionRefusedError):
        connect(relay)
    relay.heal()
    assert relay.port == port
    with connect(relay) as again:
        assert ask(again, b"again") == b"again"


def test_a_reset_ends_what_stands_and_takes_what_comes(
    echo: Echo, relay: Relay, client: socket.socket
) -> None:
    """Unlike a cut."""
    relay.reset()
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    until(lambda: echo.ends == ["reset"])
    with connect(relay) as again:
        assert ask(again, b"again") == b"again"


def test_a_black_hole_passes_neither_bytes_nor_ends_until_it_is_healed(
    echo: Echo, relay: Relay, client: socket.socket
) -> None:
    """Standing and new connections are there and say nothing; afterwards what was sent arrives."""
    relay.blackhole()
    client.sendall(b"question")
    assert is_silent(client)
    with connect(relay) as new:
        new.sendall(b"new question")
        assert is_silent(new)
        with connect(relay) as third:
            third.sendall(b"gone before the heal")
        assert echo.ends == []
        relay.heal()
        assert client.recv(100) == b"question"
        assert new.recv(100) == b"new question"


def test_the_other_side_does_not_learn_of_an_end_in_a_black_hole(
    echo: Echo, relay: Relay, client: socket.socket
) -> None:
    """Half-open: the server believes in a client that is long gone."""
    relay.blackhole()
    client.close()
    time.sleep(SILENCE)
    assert echo.ends == []
    relay.heal()
    until(lambda: bool(echo.ends))


def test_a_black_hole_may_turn_into_a_cut(relay: Relay, client: socket.socket) -> None:
    """A cut after a silence resets what stood silent, and a heal makes new connections work."""
    relay.blackhole()
    relay.cut()
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    relay.heal()
    with connect(relay) as again:
        assert ask(again, b"again") == b"again"


def test_a_cut_may_turn_into_a_black_hole(relay: Relay) -> None:
    """Connections are taken again, and nothing passes."""
    relay.cut()
    relay.blackhole()
    with connect(relay) as new:
        new.sendall(b"question")
        assert is_silent(new)


def test_a_delay_comes_once_for_each_direction_however_much_is_sent(
    relay: Relay, client: socket.socket
) -> None:
    """Latency, not a narrow pipe: many messages sent at once come after two delays, not after many."""
    relay.delay(0.15)
    started = time.monotonic()
    for number in range(20):
        client.sendall(b"%02d" % number)
        time.sleep(0.002)
    answer = b""
    while len(answer) < 40:
        answer += client.recv(100)
    took = time.monotonic() - started
    assert answer == b"".join(b"%02d" % number for number in range(20))
    assert 0.3 <= took < 1.0
    relay.heal()
    started = time.monotonic()
    assert ask(client, b"soon") == b"soon"
    assert time.monotonic() - started < 0.15


def test_connections_go_round_the_backends_and_skip_those_that_refuse() -> None:
    """As a Service does for replicas: what is down takes no connection."""
    replicas = [Echo(name) for name in "abc"]
    try:
        with Relay([replica.address for replica in replicas]) as relay:
            assert names(relay, 6) == "abcabc"
            replicas[1].close()
            assert set(names(relay, 6)) == {"a", "c"}
            relay.set_backends([replicas[2].address])
            assert names(relay, 2) == "cc"
            relay.set_backends([replicas[1].address])
            with pytest.raises(ConnectionResetError), connect(relay) as nobody:
                nobody.recv(1)
    finally:
        for replica in replicas:
            replica.close()


def names(relay: Relay, times: int) -> str:
    """Return the names of the backends that so many connections in turn reached."""
    found = ""
    for _ in range(times):
        with connect(relay) as connection:
            found += connection.recv(1).decode()
    return found


def test_closing_ends_the_thread_and_frees_the_port(echo: Echo) -> None:
    """Nothing is left; a relay may be started again."""
    relay = Relay([echo.address])
    relay.start()
    port = relay.port
    with connect(relay) as client:
        assert ask(client, b"hello") == b"hello"
        assert relay.connections == 1
        relay.close()
        relay.close()
        with pytest.raises(ConnectionResetError):
            client.recv(1)
    until(lambda: f"relay-{port}" not in {each.name for each in threading.enumerate()})
    socket.create_server((LOOPBACK, port)).close()
    with relay.start(), connect(relay) as client:
        assert ask(client, b"hello") == b"hello"


def test_a_relay_that_is_not_started_says_so_and_a_taken_port_too(echo: Echo, relay: Relay) -> None:
    """Errors in words."""
    fresh = Relay([echo.address])
    for use in (fresh.heal, fresh.cut, lambda: fresh.port):
        with pytest.raises(ClusterError, match="not started"):
            use()
    with pytest.raises(ClusterError, match="in use"):
        Relay([echo.address], port=echo.address[1]).start()
    with pytest.raises(ClusterError, match="already started"):
        relay.start()


def test_standing_connections_are_counted_until_they_end(relay: Relay, client: socket.socket) -> None:
    """Suites look here for leaked connections."""
    assert relay.connections == 1
    client.close()
    until(lambda: relay.connections == 0)
