"""One watch: a stream of JSON lines that either side may end at any time. Deciding what to do then is the informer's."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Final

import orjson
import urllib3
from urllib3.exceptions import HTTPError

from app.cluster.errors import Unavailable, error_from_status
from app.cluster.objects import KubernetesObject

SILENCE_SECONDS: Final = 100.0
"""Longest time between two bytes; the API server sends a bookmark every minute, so this is a dead connection."""

_LINE_LIMIT: Final = 16 * 1024 * 1024
"""Longest event; etcd refuses objects a tenth of this size, so more is not a Kubernetes API."""

_CHUNK: Final = 64 * 1024


class Watch(Iterator[tuple[str, KubernetesObject]]):
    """Iterates over (type, object); types are ADDED, MODIFIED, DELETED and BOOKMARK. Ends when the server ends it.

    Raises Gone when the server forgot the resourceVersion, Unavailable when the connection broke. ``close`` may be called
    from any thread and wakes the one that waits for the next event.
    """

    def __init__(
        self, response: urllib3.BaseHTTPResponse, request: str, silence_seconds: float = SILENCE_SECONDS
    ) -> None:
        self._response = response
        self._request = request
        self._closed = threading.Event()
        self._events = self._read()
        self.last_byte = time.monotonic()
        """When anything was last received, bookmarks included (monotonic clock)."""
        sock = getattr(response.connection, "sock", None)
        if sock is not None:
            sock.settimeout(silence_seconds)

    def __next__(self) -> tuple[str, KubernetesObject]:
        return next(self._events)

    def close(self) -> None:
        """End the iteration now."""
        self._closed.set()
        with contextlib.suppress(ValueError, RuntimeError, OSError):
            self._response.shutdown()

    def _read(self) -> Iterator[tuple[str, KubernetesObject]]:
        try:
            for line in self._lines():
                yield self._event(line)
        except (HTTPError, OSError, ValueError) as error:
            # ValueError: http.client reads from a file object that close() took away.
            if not self._closed.is_set():
                raise Unavailable(str(error) or type(error).__name__, request=self._request) from error
        finally:
            # A watch that ended early leaves bytes in the connection, so it can't go back to the pool.
            self._response.close()

    def _lines(self) -> Iterator[bytes]:
        """Yield whole lines; a last one without its newline was cut off and isn't an event."""
        pending: list[bytes] = []
        size = 0
        for chunk in self._response.stream(_CHUNK, decode_content=False):
            self.last_byte = time.monotonic()
            head, *rest = chunk.split(b"\n")
            pending.append(head)
            size += len(head)
            for tail in rest:
                yield b"".join(pending)
                pending, size = [tail], len(tail)
            if size > _LINE_LIMIT:
                raise Unavailable(f"an event of more than {_LINE_LIMIT} bytes", request=self._request)

    def _event(self, line: bytes) -> tuple[str, KubernetesObject]:
        try:
            event = orjson.loads(line)
            kind, item = str(event["type"]), event["object"]
        except (orjson.JSONDecodeError, KeyError, TypeError) as error:
            raise Unavailable("an event that isn't JSON of a watch", request=self._request) from error
        if kind == "ERROR":
            raise error_from_status(self._request, int(item.get("code") or 0), item)
        return kind, item
