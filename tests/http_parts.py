"""Parts for servers that tests put beside, or between, the real ones: any request goes to one function."""

import threading
from collections.abc import Callable, Iterable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from urllib3 import BaseHTTPResponse

from devcluster.ports import LOOPBACK

_HOP_BY_HOP = {"connection", "transfer-encoding", "content-length", "host", "keep-alive"}

Header = tuple[str, str]
Answer = Callable[[BaseHTTPRequestHandler], None]
"""Reads the rest of a request and writes the whole answer."""


def handled_by(answer: Answer, only: str | None = None) -> type[BaseHTTPRequestHandler]:
    """Return a handler class that gives requests of every method, or of one only, to a function."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Else each answer waits 40 ms for a delayed acknowledgement.
        disable_nagle_algorithm = True

        def _answer(self) -> None:
            answer(self)

        def __getattr__(self, name: str) -> Callable[[], None]:
            # http.server asks for do_GET and the like, and answers 501 itself when there is none.
            method = name.removeprefix("do_")
            if method != name and only in (None, method):
                return self._answer
            raise AttributeError(name)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
            pass

    return Handler


class LoopbackServer:
    """Plain HTTP on loopback, from its making until `close`; `url` has no slash at its end."""

    def __init__(self, answer: Answer, *, only: str | None = None, port: int = 0) -> None:
        self._server = ThreadingHTTPServer((LOOPBACK, port), handled_by(answer, only))
        self._server.daemon_threads = True
        self.url = f"http://{LOOPBACK}:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Stop answering."""
        self._server.shutdown()
        self._server.server_close()


def body_of(handler: BaseHTTPRequestHandler) -> bytes:
    """Read a request's body."""
    return handler.rfile.read(int(handler.headers.get("Content-Length") or 0))


def end_to_end(headers: Iterable[Header]) -> list[Header]:
    """Return the headers that a proxy passes on; the body's length is its own to tell."""
    return [(name, value) for name, value in headers if name.lower() not in _HOP_BY_HOP]


def send(handler: BaseHTTPRequestHandler, status: int, headers: Iterable[Header], body: bytes) -> None:
    """Answer with a body of known length."""
    handler.send_response(status)
    for name, value in headers:
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()
    handler.wfile.write(body)


def stream(handler: BaseHTTPRequestHandler, response: BaseHTTPResponse) -> None:
    """Pass an answer on in chunks, each as soon as it comes."""
    handler.send_response(response.status)
    for name, value in end_to_end(response.headers.items()):
        handler.send_header(name, value)
    handler.send_header("Transfer-Encoding", "chunked")
    handler.end_headers()
    for chunk in response.stream(1 << 16, decode_content=False):
        handler.wfile.write(b"%x\r\n%s\r\n" % (len(chunk), chunk))
        handler.wfile.flush()
    handler.wfile.write(b"0\r\n\r\n")
