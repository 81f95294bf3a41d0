"""An API server made of http.server that counts what it is asked and can be told to misbehave."""

from __future__ import annotations

import json
import threading
from collections import deque
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

Object = dict[str, Any]


class FakeApi:
    """Keeps Workers; every change has the next resourceVersion and goes to the watches."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.objects: dict[tuple[str, str], Object] = {}
        self.history: list[tuple[int, str, Object]] = []
        self.version = 100
        self.oldest = 0
        self.page_size: int | None = None
        self.requests: list[tuple[str, str]] = []
        self.headers: list[dict[str, str]] = []
        self.bodies: list[Any] = []
        self.answers: deque[tuple[int, dict[str, str], bytes] | str] = deque()
        self.generation = 0
        self.cut_next_event = False
        self.closing = False
        self._server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"api": self}))
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """End every answer and the server."""
        with self.changed:
            self.closing = True
            self.changed.notify_all()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def put(self, name: str, namespace: str = "default", **spec: object) -> Object:
        """Create or change a Worker."""
        with self.changed:
            self.version += 1
            key = (namespace, name)
            kind = "MODIFIED" if key in self.objects else "ADDED"
            metadata = {
                "name": name,
                "namespace": namespace,
                "resourceVersion": str(self.version),
                "managedFields": [{"manager": "x" * 100}],
            }
            self.objects[key] = item = {"metadata": metadata, "spec": spec}
            self._record(kind, item)
            answer: dict[str, Any] = json.loads(json.dumps(item))
            return answer

    def remove(self, name: str, namespace: str = "default", *, silently: bool = False) -> None:
        """Delete a Worker; silently: no watch hears of it."""
        with self.changed:
            self.version += 1
            item = json.loads(json.dumps(self.objects.pop((namespace, name))))
            item["metadata"]["resourceVersion"] = str(self.version)
            if not silently:
                self._record("DELETED", item)

    def bookmark(self) -> None:
        """Tell the watches how far they are."""
        with self.changed:
            self.version += 1
            self._record("BOOKMARK", {"metadata": {"resourceVersion": str(self.version)}})

    def forget_history(self) -> None:
        """Compact: whoever watches from an older version gets 410."""
        with self.changed:
            self.version += 1
            self.oldest = self.version
            self.history.clear()

    def drop_watches(self) -> None:
        """Break every open watch without a goodbye."""
        with self.changed:
            self.generation += 1
            self.changed.notify_all()

    def answer_next(self, status: int, body: object = b"", **headers: str) -> None:
        """Give the next request this answer instead of the right one."""
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.answers.append((status, {k.replace("_", "-"): v for k, v in headers.items()}, raw))

    def break_next(self) -> None:
        """Close the connection of the next request without an answer."""
        self.answers.append("break")

    def count(self, method: str, fragment: str = "") -> int:
        """Return how many requests of that method had the fragment in their URL."""
        return sum(1 for verb, url in self.requests if verb == method and fragment in url)

    def _record(self, kind: str, item: Object) -> None:
        self.history.append((self.version, kind, item))
        self.changed.notify_all()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    api: FakeApi

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        generation = self.api.generation  # before the answers are looked at: a drop after them counts
        if self._taken():
            return
        url = urlsplit(self.path)
        query = {k: v[0] for k, v in parse_qs(url.query).items()}
        parts = url.path.split("/")
        namespace = parts[parts.index("namespaces") + 1] if "namespaces" in parts else None
        if "watch" in query:
            self._watch(namespace, int(query["resourceVersion"]), generation)
        else:
            self._list(namespace, query)

    def do_POST(self) -> None:
        if not self._taken():
            self._send(200, self.api.bodies[-1])

    do_PATCH = do_POST  # noqa: N815 - names of http.server
    do_DELETE = do_POST  # noqa: N815

    def _taken(self) -> bool:
        """Note the request, and give it the prepared answer if there is one."""
        length = int(self.headers.get("Content-Length") or 0)
        if length:
            self.api.bodies.append(json.loads(self.rfile.read(length)))
        self.api.requests.append((self.command, self.path))
        self.api.headers.append(dict(self.headers))
        if not self.api.answers:
            return False
        answer = self.api.answers.popleft()
        if isinstance(answer, str):
            self.close_connection = True
            return True
        status, headers, body = answer
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)
        return True

    def _send(self, status: int, document: object) -> None:
        body = json.dumps(document).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _list(self, namespace: str | None, query: dict[str, str]) -> None:
        with self.api.changed:
            items = [i for (ns, _), i in sorted(self.api.objects.items()) if namespace in (None, ns)]
            version = str(self.api.version)
        start = int(query.get("continue", "0"))
        size = self.api.page_size or int(query["limit"])
        metadata = {"resourceVersion": version}
        if start + size < len(items):
            metadata["continue"] = str(start + size)
        document = {"kind": "WorkerList", "apiVersion": "workers.spacelift.io/v1beta1", "metadata": metadata}
        self._send(200, {**document, "items": items[start : start + size]})

    def _watch(self, namespace: str | None, version: int, generation: int) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        while True:
            with self.api.changed:
                if version < self.api.oldest:
                    self._event(
                        "ERROR", {"kind": "Status", "code": 410, "reason": "Expired", "message": "too old"}
                    )
                    self.wfile.write(b"0\r\n\r\n")
                    return
                fresh = [entry for entry in self.api.history if entry[0] > version]
                if not fresh:
                    self.api.changed.wait(0.5)
                if self.api.generation != generation or self.api.closing:
                    self.close_connection = True
                    return
            for entry_version, kind, item in fresh:
                version = entry_version
                if kind != "BOOKMARK" and namespace not in (None, item["metadata"]["namespace"]):
                    continue
                if self.api.cut_next_event:
                    self._half_an_event(kind, item)
                    return
                self._event(kind, item)

    def _half_an_event(self, kind: str, item: Object) -> None:
        self.api.cut_next_event = False
        line = json.dumps({"type": kind, "object": item}).encode()[:20]
        self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
        self.close_connection = True

    def _event(self, kind: str, item: Object) -> None:
        line = json.dumps({"type": kind, "object": item}).encode() + b"\n"
        # Two chunks for one event: a line need not come in one piece.
        for piece in (line[:15], line[15:]):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Say nothing: a client that hangs up is expected."""
