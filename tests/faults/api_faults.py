"""A proxy in front of the API server that answers in its place, loses answers, and ends watches.

It serves TLS with the API server's own certificate, so that its clients notice nothing, and passes the tokens on that
they send.
"""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import urllib3
from urllib3.exceptions import HTTPError

from devcluster.cluster import Cluster
from devcluster.ports import LOOPBACK
from devcluster.site import Site
from tests.http_parts import body_of, end_to_end, handled_by, send, stream

REASONS = {
    409: "Conflict",
    410: "Expired",
    429: "TooManyRequests",
    500: "InternalError",
    503: "ServiceUnavailable",
}
WATCH_SECONDS = 3600


@dataclass(frozen=True)
class Call:
    """One request as it came."""

    method: str
    path: str
    query: str

    @property
    def watches(self) -> bool:
        """Whether it opens a watch."""
        return "watch=true" in self.query or "watch=1" in self.query

    @property
    def writes(self) -> bool:
        """Whether it changes something."""
        return self.method != "GET"


@dataclass(frozen=True)
class Refusal:
    """An answer in the API server's place: nothing is done."""

    status: int
    retry_after: int | None = None


@dataclass(frozen=True)
class LostAnswer:
    """The API server does what it is asked, and its answer never arrives."""


Rule = Callable[[Call], Refusal | LostAnswer | None]
"""Decides over each call; None lets it pass."""


class ApiFaults:
    """The proxy; `rule` may be changed at any time."""

    def __init__(self, cluster: Cluster, rule: Rule) -> None:
        """Describe it; it listens in the network of the cluster's parts."""
        site = cluster.site
        self.rule = rule
        self.refused = 0
        """How many calls had another end than the API server gave them."""
        self._pool = urllib3.PoolManager(maxsize=64, ca_certs=str(site.certs / "ca.crt"))
        self._target = site.url("kube-apiserver")
        self._server = _Server(cluster.make_socket(), handled_by(self.relay))
        self._server.tls = _own_tls(site)
        self._streams: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._server.serve_forever, name="api-faults", daemon=True)

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens."""
        return LOOPBACK, self._server.server_address[1]

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def close(self) -> None:
        """Stop answering and drop what stands."""
        self._server.shutdown()
        self._server.server_close()
        self.drop_watches()
        self._pool.clear()

    def drop_watches(self) -> int:
        """End every watch without a word; return how many there were."""
        with self._lock:
            for stream in self._streams:
                with contextlib.suppress(OSError):
                    stream.shutdown(socket.SHUT_RDWR)
            return len(self._streams)

    def relay(self, handler: BaseHTTPRequestHandler) -> None:
        """Answer one request, as the rule has it."""
        path, _, query = handler.path.partition("?")
        call = Call(handler.command, path, query)
        body = body_of(handler)
        fault = self.rule(call)
        if isinstance(fault, Refusal):
            self.refused += 1
            _refuse(handler, fault)
            return
        try:
            response = self._forward(handler, body, call)
            if isinstance(fault, LostAnswer):
                self.refused += 1
                _ = response.data
                handler.close_connection = True
                return
            self._pass_on(handler, response, call)
        except (OSError, HTTPError):
            # One of the two went away: so does this connection.
            handler.close_connection = True

    def _forward(self, handler: BaseHTTPRequestHandler, body: bytes, call: Call) -> urllib3.BaseHTTPResponse:
        return self._pool.request(
            call.method,
            self._target + handler.path,
            body=body or None,
            headers=dict(end_to_end(handler.headers.items())),
            preload_content=False,
            decode_content=False,
            retries=False,
            timeout=urllib3.Timeout(connect=5, read=WATCH_SECONDS if call.watches else 60),
        )

    def _pass_on(
        self, handler: BaseHTTPRequestHandler, response: urllib3.BaseHTTPResponse, call: Call
    ) -> None:
        if not call.watches:
            data = response.read(decode_content=False)
            response.release_conn()
            send(handler, response.status, end_to_end(response.headers.items()), data)
            return
        with self._lock:
            self._streams.add(handler.connection)
        try:
            stream(handler, response)
        finally:
            with self._lock:
                self._streams.discard(handler.connection)
            response.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128
    tls: ssl.SSLContext

    def __init__(self, own: socket.socket, handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__((LOOPBACK, 0), handler, bind_and_activate=False)
        # Made here, it would belong to this process's network.
        self.socket.close()
        self.socket = own
        self.server_bind()
        self.server_activate()

    def get_request(self) -> tuple[Any, Any]:
        """Accept, and leave the handshake to the connection's own thread."""
        connection, address = super().get_request()
        return self.tls.wrap_socket(connection, server_side=True, do_handshake_on_connect=False), address

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing: connections break here on purpose."""


def _own_tls(site: Site) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(site.certs / "kube-apiserver.crt", site.certs / "kube-apiserver.key")
    return context


def _refuse(handler: BaseHTTPRequestHandler, refusal: Refusal) -> None:
    body = json.dumps(
        {
            "kind": "Status",
            "apiVersion": "v1",
            "status": "Failure",
            "message": "injected by the fault suite",
            "reason": REASONS[refusal.status],
            "code": refusal.status,
        }
    ).encode()
    headers = [("Content-Type", "application/json")]
    if refusal.retry_after is not None:
        headers.append(("Retry-After", str(refusal.retry_after)))
    send(handler, refusal.status, headers, body)
