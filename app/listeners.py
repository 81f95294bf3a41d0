"""Gunicorn's worker with one listener that speaks TLS: the hooks'; the kubelet's probes stay plain.

Gunicorn itself has TLS for all listeners or for none, from files that are named before the fork.
"""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Callable
from typing import Any, Final

from gunicorn.http.errors import NoMoreData
from gunicorn.workers import gthread

TlsSettings = Callable[[], ssl.SSLContext | None]
"""Returns the TLS settings for a new connection; None while there is no certificate: it is closed."""

HANDSHAKE_SECONDS: Final = 5.0
"""How long a client may take for the handshake: a thread waits for it."""


class HookWorker(gthread.ThreadWorker):  # type: ignore[misc] # gunicorn has no types
    """One process, threads for requests."""

    secure_port: int | None = None
    """Port whose connections are TLS; set in the worker process, once."""

    tls: TlsSettings

    @classmethod
    def serve_securely(cls, port: int, tls: TlsSettings) -> None:
        """Have connections to this port wrapped; called before any is accepted."""
        cls.secure_port, cls.tls = port, staticmethod(tls)

    def enqueue_req(self, conn: Any) -> None:  # noqa: ANN401 - gunicorn's connection
        """Take a connection over, or one of its further requests."""
        if (
            self.secure_port is not None
            and type(conn) is gthread.TConn
            and conn.server[1] == self.secure_port
        ):
            conn = _TlsConnection(conn, type(self).tls)
        super().enqueue_req(conn)


class _TlsConnection(gthread.TConn):  # type: ignore[misc] # gunicorn has no types
    """A connection that begins with a handshake, in the thread that will answer it."""

    def __init__(self, plain: Any, tls: TlsSettings) -> None:  # noqa: ANN401 - gunicorn's connection
        super().__init__(plain.cfg, plain.sock, plain.client, plain.server)
        self.sock: Any
        self._tls = tls

    def init(self) -> None:
        """Do the handshake; a client that can't is not an error of ours."""
        if not self.initialized:
            self._wrap()
        super().init()

    def close(self, graceful: bool = False) -> None:
        """Close; a handshake that failed may have closed already."""
        with contextlib.suppress(OSError):
            super().close(graceful)

    def _wrap(self) -> None:
        context = self._tls()
        if context is None:
            raise NoMoreData(b"")
        self.sock.settimeout(HANDSHAKE_SECONDS)
        try:
            # In two steps: whatever fails, the connection holds the socket that is to be closed.
            self.sock = context.wrap_socket(self.sock, server_side=True, do_handshake_on_connect=False)
            self.sock.do_handshake()
        except (OSError, ValueError) as error:
            raise NoMoreData(b"") from error
        self.sock.settimeout(None)
