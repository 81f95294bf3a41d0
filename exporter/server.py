"""Serves `/metrics`, `/health` and a page, over plain HTTP/1.1 with a thread for each connection."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Final
from urllib.parse import urlsplit

import structlog
from prometheus_client.core import Metric
from prometheus_client.exposition import choose_encoder

from exporter import __version__
from exporter.errors import ApiError
from exporter.families import OneScrape
from exporter.settings import Address

SILENT_SECONDS: Final = 5
"""How long a client may take for its request; idle connections are closed after it."""

PAGE: Final = (
    "<!DOCTYPE html><html><head><title>Prometheus exporter</title></head>"
    '<body>The metrics are at <a href="/metrics">/metrics</a>.</body></html>\n'
)
READY: Final = "Ready to serve metrics.\n"
FAILED: Final = "An error has occurred while serving metrics:\n\n"
"""Begins the body of a scrape that failed, as users know it."""

_TEXT: Final = "text/plain; charset=utf-8"
_log = structlog.get_logger(__name__)


class ExporterServer(ThreadingHTTPServer):
    """Listens from its making on; raises OSError when the address can't be had."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(
        self, address: Address, scrape: Callable[[], list[Metric]], redact: Callable[[str], str]
    ) -> None:
        self.scrape, self.redact = scrape, redact
        self._busy, self._changed = 0, threading.Condition()
        both = not address.host and socket.has_dualstack_ipv6()
        host = "::" if both else address.host
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        super().__init__((host, address.port), _Handler, bind_and_activate=False)
        try:
            if both:
                self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            self.server_bind()
            self.server_activate()
        except OSError:
            self.server_close()
            raise

    def begin(self) -> None:
        """Note that a request is being answered."""
        with self._changed:
            self._busy += 1

    def end(self) -> None:
        """Note that it has been."""
        with self._changed:
            self._busy -= 1
            self._changed.notify_all()

    def leave(self, patience: float) -> bool:
        """Stop listening, and wait for the answers under way; tell whether all were given within `patience` seconds."""
        self.shutdown()
        self.server_close()
        deadline = time.monotonic() + patience
        with self._changed:
            return self._changed.wait_for(lambda: self._busy == 0, max(0.0, deadline - time.monotonic()))

    def handle_error(self, request: object, client_address: object) -> None:  # noqa: ARG002 - the standard library's
        """Say that a connection broke, without a traceback: it is the client's affair."""
        _log.debug("connection_broken", client=str(client_address))


class _Handler(BaseHTTPRequestHandler):
    """Answers GET and HEAD; every other path has the page, as users know it."""

    protocol_version = "HTTP/1.1"
    server_version = f"spacelift-promex/{__version__}"
    sys_version = ""
    timeout = SILENT_SECONDS
    server: ExporterServer

    def do_GET(self) -> None:
        """Answer."""
        self.server.begin()
        try:
            path = urlsplit(self.path).path
            if path == "/metrics":
                self._metrics()
            elif path == "/health":
                self._answer(HTTPStatus.OK, _TEXT, READY.encode())
            else:
                self._answer(HTTPStatus.OK, "text/html; charset=utf-8", PAGE.encode())
        finally:
            self.server.end()

    do_HEAD = do_GET  # noqa: N815 - a name of the standard library

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002 - the standard library's name
        """Log through the one chain, for development."""
        _log.debug("request", line=format % arguments)

    def _metrics(self) -> None:
        try:
            found = self.server.scrape()
        except ApiError as error:
            text = self.server.redact(str(error))
            _log.error("scrape_failed", error=text)
            self._answer(HTTPStatus.INTERNAL_SERVER_ERROR, _TEXT, f"{FAILED}{text}\n".encode())
            return
        except Exception:  # noqa: BLE001 - a scrape that fails in any way is answered and logged
            _log.exception("scrape_failed")
            self._answer(
                HTTPStatus.INTERNAL_SERVER_ERROR,
                _TEXT,
                f"{FAILED}a fault of the exporter; see its log\n".encode(),
            )
            return
        encode, kind = choose_encoder(self.headers.get("Accept", ""))
        self._answer(HTTPStatus.OK, kind, encode(OneScrape(found).registry()))

    def _answer(self, status: HTTPStatus, kind: str, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Content-Type-Options", "nosniff")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
