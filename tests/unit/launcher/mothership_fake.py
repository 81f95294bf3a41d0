"""A mothership for the launcher's tests: a real HTTPS server that counts, keeps sharp edges, and fails when told to."""

import gzip
import json
import ssl
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.unit.launcher.certificates import Certificates

RUN = "01JD0000000000000000000000"
SEQUENCE = 3
POD_UID = "6f0e1b52-0c8b-4a53-9f57-1c8d1c2ad001"
TOKEN = "first-token-7c1e"

Json = dict[str, Any]


@dataclass
class Script:
    """What the mothership is and does; tests change it while it runs."""

    details: Json = field(default_factory=dict)
    claims: list[int] = field(default_factory=list)
    """Statuses of the next claims, before they are granted."""

    action: str = "continue"
    lease_seconds: int = 1
    lost_after: int = 60
    next_token: str | None = None
    """Handed out by the next renewal; the old one is refused from then on."""

    down: frozenset[str] = frozenset()
    """Calls that break off without an answer; `*` is all."""

    failing: dict[str, int] = field(default_factory=dict)
    """Calls that are answered with this status."""

    lose_answers: int = 0
    """How many of the next log chunks are stored, but their answer lost."""

    forget_log_once: int | None = None
    """The log shrinks to this length before the next chunk, as after a backup: a gap."""

    most_at_once: int | None = None
    """Larger log bodies are refused with 413."""

    slow: float = 0.0
    """Seconds that each log call takes."""

    slow_lease: float = 0.0
    """Seconds that each renewal takes."""

    held: frozenset[str] = frozenset()
    """Calls that get no answer while they are named here: the connection stands and nothing comes."""


class MothershipFake:
    """The server and all that it was told."""

    def __init__(self, certificates: Certificates) -> None:
        self.script = Script()
        self.log = b""
        self.results: list[Json] = []
        self.calls: Counter[str] = Counter()
        self.tried: Counter[str] = Counter()
        self.streams: set[str] = set()
        self.encodings: Counter[str] = Counter()
        self.token = TOKEN
        self.former_token: str | None = None
        """Valid until the new one is used for the first time: the answer that carried it may be on its way."""
        self.granted_to: str | None = None
        self.lock = threading.RLock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self._server.socket = certificates.server_context().wrap_socket(
            self._server.socket, server_side=True, do_handshake_on_connect=False
        )
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()

    @property
    def endpoint(self) -> str:
        """Its address."""
        return f"https://127.0.0.1:{self._server.server_address[1]}"

    def close(self) -> None:
        """End it."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, call: str, handler: BaseHTTPRequestHandler, body: bytes) -> tuple[int, Json] | None:
        """Return status and body of an answer; None breaks the connection off."""
        given_up = time.monotonic() + 60
        while call in self.script.held and time.monotonic() < given_up:
            time.sleep(0.02)
        with self.lock:
            self.tried[call] += 1
            if call in self.script.down or "*" in self.script.down:
                return None
            if call in self.script.failing:
                return self.script.failing[call], {"error": f"told to fail {call}"}
            shown = handler.headers["Authorization"]
            if shown == f"Bearer {self.token}":
                self.former_token = None
            elif self.former_token is None or shown != f"Bearer {self.former_token}":
                return 401, {"error": "unknown run token"}
            self.calls[call] += 1
        return {
            "claim": self._claim,
            "details": self._details,
            "lease": self._lease,
            "logs": self._logs,
            "result": self._result,
        }[call](handler, body)

    def _claim(self, _: BaseHTTPRequestHandler, body: bytes) -> tuple[int, Json]:
        with self.lock:
            if self.script.claims:
                status = self.script.claims.pop(0)
                return status, {"error": f"scripted {status}"}
            self.granted_to = json.loads(body)["podUID"]
            return 200, {"granted": True, "leaseSeconds": self.script.lease_seconds}

    def _details(self, _: BaseHTTPRequestHandler, __: bytes) -> tuple[int, Json]:
        return 200, self.script.details

    def _lease(self, _: BaseHTTPRequestHandler, __: bytes) -> tuple[int, Json]:
        time.sleep(self.script.slow_lease)
        with self.lock:
            if self.script.next_token:
                self.former_token = self.token
                self.token, self.script.next_token = self.script.next_token, None
            return 200, {
                "action": self.script.action,
                "runToken": self.token,
                "leaseSeconds": self.script.lease_seconds,
                "lostAfterSeconds": self.script.lost_after,
            }

    def _logs(self, handler: BaseHTTPRequestHandler, body: bytes) -> tuple[int, Json] | None:
        time.sleep(self.script.slow)
        with self.lock:
            if self.script.most_at_once is not None and len(body) > self.script.most_at_once:
                return 413, {"error": "too large"}
            encoding = handler.headers.get("Content-Encoding", "plain")
            self.encodings[encoding] += 1
            data = gzip.decompress(body) if encoding == "gzip" else body
            if self.script.forget_log_once is not None:
                self.log, self.script.forget_log_once = self.log[: self.script.forget_log_once], None
            offset = int(parse_qs(urlsplit(handler.path).query)["offset"][0])
            if offset > len(self.log):
                return 409, {"error": "gap", "offset": len(self.log)}
            self.streams.add(handler.headers["X-Stream"])
            self.log += data[len(self.log) - offset :]
            if self.script.lose_answers:
                self.script.lose_answers -= 1
                return None
            return 200, {"offset": len(self.log)}

    def _result(self, _: BaseHTTPRequestHandler, body: bytes) -> tuple[int, Json]:
        self.results.append(json.loads(body))
        return 200, {}


def _handler(fake: MothershipFake) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # A client that was killed must not keep a thread of the test process.
        timeout = 5

        def _serve(self) -> None:
            prefix = f"/v1/runs/{RUN}/stages/{SEQUENCE}/"
            path = urlsplit(self.path).path
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            answer = (
                fake.answer(path.removeprefix(prefix), self, body) if path.startswith(prefix) else (404, {})
            )
            if answer is None:
                self.close_connection = True
                return
            status, content = answer
            data = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = _serve  # noqa: N815 - the names that http.server looks for

        def handle(self) -> None:
            try:
                super().handle()
            except (ConnectionError, TimeoutError, ssl.SSLError):
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    return Handler
