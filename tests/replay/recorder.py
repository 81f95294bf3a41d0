"""A proxy between a hook driver and a hook service that records the calls as they go by.

It changes nothing, and knows no kinds. While nobody has told it where the hooks are, it answers 503, which hook
drivers take for a hook that is not up yet.
"""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import urllib3

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
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            # Else each answer waits 40 ms for a delayed acknowledgement.
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                outer._relay(self)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, name="recorder", daemon=True).start()

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
        self._server.shutdown()
        self._server.server_close()
        self._pool.clear()

    def _relay(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        status, answer = self._ask(handler.path, body)
        if status == 200:
            self._note(handler.path, body, answer)
        handler.send_response(status)
        handler.send_header("Content-Type", "application/json")
        handler.send_header("Content-Length", str(len(answer)))
        handler.end_headers()
        handler.wfile.write(answer)

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
