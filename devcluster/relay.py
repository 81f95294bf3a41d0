"""A TCP relay that can cut, silence and delay what passes through it.

It stands between two parts of a cluster, or as a Service in front of several replicas of one. It knows nothing of what
it carries: TLS goes through untouched. Each relay has one thread with an event loop; its methods may be called from any
thread and return when the fault is in force.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Callable, Coroutine, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

from devcluster.ports import LOOPBACK
from devcluster.progress import ClusterError

Address = tuple[str, int]
MakeSocket = Callable[[], socket.socket]
T = TypeVar("T")
CHUNK = 1 << 16
# How much one direction of one connection may hold back while it is delayed, in chunks.
HELD_CHUNKS = 256
CONNECT_WITHIN = 5.0
CALL_WITHIN = 15.0
# Turns of the loop from a connection's reset until its socket is given back.
TURNS_TO_CLOSE = 3
_RESET = struct.pack("ii", 1, 0)


def tcp_socket() -> socket.socket:
    """Return a TCP socket of this process's own network."""
    return socket.socket(socket.AF_INET, socket.SOCK_STREAM)


class Relay:
    """A relay from one port to the first of its backends, in turn, that takes the connection."""

    def __init__(
        self,
        backends: Sequence[Address],
        host: str = LOOPBACK,
        port: int = 0,
        make_socket: MakeSocket | None = None,
        make_listener: MakeSocket = tcp_socket,
    ) -> None:
        """Describe the relay; port 0 means any free one. Nothing listens before `start`.

        `make_socket` makes the sockets that connect to backends, `make_listener` those that listen: a socket belongs to
        the network namespace it is made in.
        """
        self._make_socket, self._make_listener = make_socket, make_listener
        self._backends = tuple(backends)
        self._host, self._wanted_port = host, port
        self._turn = 0
        self._seconds = 0.0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._guard: socket.socket | None = None
        self._server: asyncio.Server | None = None
        self._links: set[_Link] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._flowing = asyncio.Event()  # of each start anew: it belongs to one loop

    def __enter__(self) -> Self:
        return self if self._loop is not None else self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def port(self) -> int:
        """The port it listens on; the same from `start` to `close`, also while it refuses."""
        if self._guard is None:
            msg = "the relay is not started"
            raise ClusterError(msg)
        found: int = self._guard.getsockname()[1]
        return found

    @property
    def backends(self) -> tuple[Address, ...]:
        """Where new connections are sent."""
        return self._backends

    @property
    def connections(self) -> int:
        """How many connections stand now."""
        return len(self._links)

    def start(self) -> Self:
        """Listen, and return the relay."""
        if self._loop is not None:
            msg = f"the relay on port {self.port} is already started"
            raise ClusterError(msg)
        # A socket that only holds the port: nobody else gets it while the relay refuses connections.
        self._guard = self._bound(self._wanted_port)
        self._loop, self._flowing = asyncio.new_event_loop(), asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"relay-{self.port}", daemon=True)
        self._thread.start()
        self._call(self._heal())
        return self

    def close(self) -> None:
        """Reset every connection, give the port back and end the thread. Closing twice is no error."""
        if self._loop is None or self._thread is None or self._guard is None:
            return
        self._call(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CALL_WITHIN)
        self._loop.close()
        self._guard.close()
        self._loop, self._thread, self._guard = None, None, None

    def set_backends(self, backends: Sequence[Address]) -> None:
        """Send new connections to these; standing ones stay where they are."""
        self._backends = tuple(backends)

    def cut(self) -> None:
        """Reset every connection and refuse new ones, as when the other side's process is gone."""
        self._call(self._cut())

    def reset(self) -> None:
        """Reset every connection; new ones are taken as before."""
        self._call(self._reset())

    def blackhole(self) -> None:
        """Let connections stand, and take new ones, but pass nothing on: no byte, no end, no reset.

        What was sent meanwhile is passed on when the relay is healed, as TCP would send it again.
        """
        self._call(self._blackhole())

    def delay(self, seconds: float) -> None:
        """Pass everything on this much later, in each direction, in order."""
        self._seconds = seconds

    def heal(self) -> None:
        """End every fault."""
        self._call(self._heal())

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        if self._loop is None:
            work.close()
            msg = "the relay is not started"
            raise ClusterError(msg)
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(CALL_WITHIN)

    def _bound(self, port: int) -> socket.socket:
        bound = self._make_listener()
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            bound.bind((self._host, port))
        except OSError as error:
            bound.close()
            msg = f"no relay on {self._host}:{port}: {error.strerror}"
            raise ClusterError(msg) from None
        return bound

    async def _heal(self) -> None:
        self._seconds = 0.0
        self._flowing.set()
        await self._listen()

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, sock=self._bound(self.port), backlog=512)

    async def _blackhole(self) -> None:
        self._flowing.clear()
        await self._listen()

    async def _cut(self) -> None:
        await self._reset()
        if self._server is None:
            return
        # A connection that is being taken is known to the loop alone for a turn or two; a server that is closed then
        # leaves its socket open (CPython asserts that it isn't). So it comes through first, and is reset.
        while asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.sleep(0)
            await self._reset()
        self._server.close()
        self._server = None

    async def _reset(self) -> None:
        for link in list(self._links):
            link.abort()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _close(self) -> None:
        await self._cut()
        for _ in range(TURNS_TO_CLOSE):
            await asyncio.sleep(0)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = _Link(_Side(reader, writer), self._flowing, lambda: self._seconds)
        task = asyncio.get_running_loop().create_task(self._carry(link))
        self._links.add(link)
        self._tasks.add(task)

        def over(done: asyncio.Task[None]) -> None:
            # Here, not in the task: one that is cancelled before its first turn would end nothing. It has no effect on
            # an end that came in order.
            link.abort()
            self._links.discard(link)
            self._tasks.discard(done)

        task.add_done_callback(over)

    async def _carry(self, link: _Link) -> None:
        await self._flowing.wait()
        backend = await self._connect()
        if backend is not None and await link.carry(backend):
            link.end()

    async def _connect(self) -> _Side | None:
        """Connect to the next backend that takes it; None when none does."""
        backends = self._backends
        for _ in backends:
            host, port = backends[self._turn % len(backends)]
            self._turn += 1
            try:
                async with asyncio.timeout(CONNECT_WITHIN):
                    return _Side(*await self._open(host, port))
            except OSError:
                continue
        return None

    async def _open(self, host: str, port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._make_socket is None:
            return await asyncio.open_connection(host, port)
        made = self._make_socket()
        try:
            made.setblocking(False)
            await asyncio.get_running_loop().sock_connect(made, (host, port))
            return await asyncio.open_connection(sock=made)
        except BaseException:
            made.close()
            raise


class _Side:
    """One end of a connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer
        found: socket.socket = writer.get_extra_info("socket")
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._socket = found

    def abort(self) -> None:
        """End it with a reset, unless it is closed or closing."""
        if not self.writer.transport.is_closing():
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            self.writer.transport.abort()


class _Link:
    """A client, its backend, and what is on its way between them."""

    def __init__(self, client: _Side, flowing: asyncio.Event, delay: Callable[[], float]) -> None:
        self._client = client
        self._backend: _Side | None = None
        self._flowing, self._delay = flowing, delay

    def end(self) -> None:
        """Close both ends in order: what was written still arrives."""
        for side in (self._client, self._backend):
            if side is not None:
                side.writer.close()

    def abort(self) -> None:
        """Reset both ends, unless they are closed."""
        self._client.abort()
        if self._backend is not None:
            self._backend.abort()

    async def carry(self, backend: _Side) -> bool:
        """Carry both directions until both have ended; False when one was reset instead."""
        self._backend = backend
        whole = True
        try:
            async with asyncio.TaskGroup() as group:
                for source, target in ((self._client, backend), (backend, self._client)):
                    held: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(HELD_CHUNKS)
                    group.create_task(self._take(source, held))
                    group.create_task(self._give(held, target))
        except* OSError:
            whole = False
        # In a silence the other end doesn't learn of this one's reset either.
        await self._flowing.wait()
        return whole

    async def _take(self, source: _Side, held: asyncio.Queue[tuple[float, bytes]]) -> None:
        now = asyncio.get_running_loop().time
        while True:
            await self._flowing.wait()
            data = await source.reader.read(CHUNK)
            await held.put((now() + self._delay(), data))
            if not data:
                return

    async def _give(self, held: asyncio.Queue[tuple[float, bytes]], target: _Side) -> None:
        now = asyncio.get_running_loop().time
        while True:
            due, data = await held.get()
            # A loop, because silence and delay may come while this waits for the other.
            while (wait := due - now()) > 0 or not self._flowing.is_set():
                await asyncio.sleep(max(wait, 0))
                await self._flowing.wait()
            if not data:
                target.writer.write_eof()
                return
            target.writer.write(data)
            await target.writer.drain()
