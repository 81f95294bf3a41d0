"""Serves the metrics over plain HTTP, in threads of its own: a slow scraper holds no hook up."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import structlog
from prometheus_client import start_http_server

from app.settings import Address

if TYPE_CHECKING:
    from wsgiref.simple_server import WSGIServer

    from prometheus_client import CollectorRegistry

_log = structlog.get_logger(__name__)


class MetricsServer:
    """Answers GET on every path; started and stopped by the composition root."""

    def __init__(self, address: Address, registry: CollectorRegistry) -> None:
        self._address, self._registry = address, registry
        self._running: tuple[WSGIServer, threading.Thread] | None = None

    def start(self) -> None:
        """Begin to listen. An address that can't be had is logged: runs matter more than their figures."""
        host = self._address.host or "0.0.0.0"  # noqa: S104 - asked for
        try:
            self._running = start_http_server(self._address.port, host, self._registry)
        except OSError as error:
            _log.error("metrics_not_served", address=str(self._address), error=str(error))
            return
        _log.info("metrics_served", address=str(Address(self._address.host, self.port)))

    @property
    def port(self) -> int:
        """Return the port that is listened on, 0 while there is none."""
        return int(self._running[0].server_port) if self._running else 0

    def stop(self) -> None:
        """Stop listening; the thread ends."""
        if self._running is None:
            return
        (server, thread), self._running = self._running, None
        server.shutdown()
        server.server_close()
        thread.join()
