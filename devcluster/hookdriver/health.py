"""`/healthz` and `/readyz`, for those who start the stand-in."""

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class _Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        """Answer a probe."""
        known = self.path in ("/healthz", "/readyz")
        self.send_response(200 if known else 404)
        self.end_headers()
        self.wfile.write(b"ok" if known else b"not found")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the base class's name
        """Say nothing: probes come every few seconds."""


def serve_health(address: str) -> None:
    """Answer probes at host:port until the process ends."""
    host, _, port = address.rpartition(":")
    server = ThreadingHTTPServer((host or "0.0.0.0", int(port)), _Answers)  # noqa: S104  # as Go reads ":8081"
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, name="health", daemon=True).start()
