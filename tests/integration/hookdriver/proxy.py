"""A proxy between a hook driver and the API server that records the driver's writes."""

import json
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler

import urllib3

from devcluster.hookdriver.objects import Json
from tests.http_parts import LoopbackServer, body_of, end_to_end, send, stream

# What a driver tells about itself isn't what is compared.
_SILENT = ("/events", "/leases", "selfsubjectaccessreviews")


@dataclass(frozen=True)
class Write:
    """One write as it went by."""

    method: str
    path: str
    body: Json
    status: int


class RecordingProxy:
    """Plain HTTP towards the driver, the cluster's own TLS and credentials towards the API server."""

    def __init__(self, target: str, pool: urllib3.PoolManager) -> None:
        self.writes: list[Write] = []
        self._target, self._pool = target.rstrip("/"), pool
        self._server = LoopbackServer(self._relay)
        self.url = self._server.url

    def close(self) -> None:
        """Stop relaying."""
        self._server.close()

    def _relay(self, handler: BaseHTTPRequestHandler) -> None:
        body = body_of(handler)
        response = self._pool.request(
            handler.command,
            self._target + handler.path,
            body=body or None,
            headers=dict(end_to_end(handler.headers.items())),
            preload_content=False,
            decode_content=False,
            retries=False,
            timeout=urllib3.Timeout(connect=5, read=900),
        )
        self._record(handler, body, response.status)
        try:
            _pass_on(handler, response)
        except (OSError, urllib3.exceptions.HTTPError):
            # One of the two went away: so does this connection.
            handler.close_connection = True
            response.close()
        else:
            response.release_conn()

    def _record(self, handler: BaseHTTPRequestHandler, body: bytes, status: int) -> None:
        path = handler.path.partition("?")[0]
        if handler.command == "GET" or any(part in path for part in _SILENT):
            return
        self.writes.append(Write(handler.command, path, json.loads(body) if body else None, status))


def _pass_on(handler: BaseHTTPRequestHandler, response: urllib3.BaseHTTPResponse) -> None:
    if response.headers.get("Content-Length") is None:
        stream(handler, response)
        return
    send(handler, response.status, end_to_end(response.headers.items()), response.read(decode_content=False))
