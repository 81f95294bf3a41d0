"""A proxy between a hook driver and a hook service that records the calls as they go by.

It changes nothing, and knows no kinds. While nobody has told it where the hooks are, it answers 503, which hook
drivers take for a hook that is not up yet.
"""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler

import urllib3

from tests.http_parts import LoopbackServer, body_of, send
from tests.replay.recording import PARENTS, Call, Recording

_TIMEOUT = 30.0
"""Seconds that a hook may take: longer than any driver waits by default."""


class Recorder:
    """Listens on loopback; `url` is what the controllers' hooks are set to."""

    def __init__(self, port: int = 0) -> None:
        self._target = ""
        self._pool = urllib3.PoolManager(maxsize=32)
        self._lock = threading.Lock()
        self._recording = Recording()
        self._server = LoopbackServer(self._relay, only="POST", port=port)
        self.url = self._server.url

    def forward_to(self, url: str) -> None:
        """Say where the hooks are."""
        self._target = url.rstrip("/")

    def take(self) -> Recording:
        """Return what was recorded so far, and begin anew."""
        with self._lock:
            taken, self._recording = self._recording, Recording()
        return taken

    def close(self) -> None:
        """Stop listening."""
        self._server.close()
        self._pool.clear()

    def _relay(self, handler: BaseHTTPRequestHandler) -> None:
        body = body_of(handler)
        status, answer = self._ask(handler.path, body)
        if status == 200:
            self._note(handler.path, body, answer)
        send(handler, status, [("Content-Type", "application/json")], answer)

    def _ask(self, path: str, body: bytes) -> tuple[int, bytes]:
        if not self._target:
            return 503, b'{"error": "the hooks are not known yet"}'
        try:
            answer = self._pool.request(
                "POST",
                self._target + path,
                body=body,
                headers={"Content-Type": "application/json"},
                retries=False,
                timeout=_TIMEOUT,
            )
        except urllib3.exceptions.HTTPError as error:
            return 502, json.dumps({"error": type(error).__name__}).encode()
        return answer.status, answer.data

    def _note(self, path: str, body: bytes, answer: bytes) -> None:
        request = json.loads(body)
        if not any(key in request for key in PARENTS):
            return
        # The controller is the installation's, not a part of what a hook decides by.
        request.pop("controller", None)
        with self._lock:
            self._recording.calls.append(Call(path, request, json.loads(answer)))
