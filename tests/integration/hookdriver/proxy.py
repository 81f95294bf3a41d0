"""A proxy between a hook driver and the API server that records the driver's writes."""

import json
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import urllib3

from devcluster.hookdriver.objects import Json

# What a driver tells about itself isn't what is compared.
_SILENT = ("/events", "/leases", "selfsubjectaccessreviews")
_HOP_BY_HOP = {"connection", "transfer-encoding", "content-length", "host", "keep-alive"}


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
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Else each answer waits 40 ms for a delayed acknowledgement.
            disable_nagle_algorithm = True

            def _relay(self) -> None:
                outer._relay(self)

            def __getattr__(self, name: str) -> Callable[[], None]:
                # One handler for every method that http.server asks for.
                if name.startswith("do_"):
                    return self._relay
                raise AttributeError(name)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class's name
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stop relaying."""
        self._server.shutdown()
        self._server.server_close()

    def _relay(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        headers = {name: value for name, value in handler.headers.items() if name.lower() not in _HOP_BY_HOP}
        response = self._pool.request(
            handler.command,
            self._target + handler.path,
            body=body or None,
            headers=headers,
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
    handler.send_response(response.status)
    for name, value in response.headers.items():
        if name.lower() not in _HOP_BY_HOP:
            handler.send_header(name, value)
    length = response.headers.get("Content-Length")
    if length is not None:
        handler.send_header("Content-Length", length)
        handler.end_headers()
        handler.wfile.write(response.read(decode_content=False))
        return
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    for chunk in response.stream(1 << 16, decode_content=False):
        handler.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
        handler.wfile.flush()
    handler.wfile.write(b"0\r\n\r\n")
