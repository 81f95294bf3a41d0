"""A double of the API, as strict as the real one: served over real HTTP or HTTPS, and it keeps the sharp edges.

graphql-core parses and validates each document against the schema and selects exactly the fields that were asked for.
GraphQL errors come with status 200; a token that isn't accepted is the lower-case text `unauthorized`; operation names,
variables and headers are checked; what is wrong with a request is refused in words.
"""

from __future__ import annotations

import contextlib
import gzip
import json
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from graphql import GraphQLSchema, build_schema, graphql_sync

from tests.unit.launcher.certificates import Certificates

SCHEMA = """
type Query {
  publicWorkerPool: PublicWorkerPool
  workerPools: [WorkerPool!]!
  usage: Usage!
  metrics: Metrics
}
type Mutation { apiKeyUser(id: ID!, secret: String!): User }
type User { jwt: String! validUntil: Int! }
type PublicWorkerPool { parallelism: Int! busyWorkers: Int! pendingRuns: Int! usersCount: Int! schedulableRunsCount: Int! }
type WorkerPool {
  id: ID! name: String! pendingRuns: Int! busyWorkers: Int! schedulableRunsCount: Int! workers: [Worker!]!
}
type Worker { id: ID! drained: Boolean! busy: Boolean! }
type Usage {
  billingPeriodStart: Int! billingPeriodEnd: Int! usedPrivateMinutes: Int! usedPublicMinutes: Int! usedSeats: Int!
}
type Metrics {
  stacksCountByState: [DataPoint!]! resourcesCountByDrift: [DataPoint!]! avgStackSizeByResourceCount: [DataPoint!]!
  averageRunDuration: [DataPoint!]! medianRunDuration: [DataPoint!]!
  needsApprovalRuns: [Run!]! runsRequiringAttention: [Run!]!
}
type DataPoint { value: Float! labels: [String!]! }
type Run { id: ID! }
"""

KEY_ID, KEY_SECRET = "01JKEY", "key-secret-5f1d9c"
Json = dict[str, Any]


def account() -> Json:
    """Return the data of an account with one pool."""
    return {
        "publicWorkerPool": {
            "parallelism": 3,
            "busyWorkers": 1,
            "pendingRuns": 2,
            "usersCount": 9,
            "schedulableRunsCount": 1,
        },
        "workerPools": [pool("01JPOOL", "my-pool", pending=7, schedulable=4)],
        "usage": {
            "billingPeriodStart": 1780000000,
            "billingPeriodEnd": 1782600000,
            "usedPrivateMinutes": 10,
            "usedPublicMinutes": 20,
            "usedSeats": 5,
        },
        "metrics": {
            "stacksCountByState": [{"value": 4.0, "labels": ["FINISHED", "ignored"]}],
            "resourcesCountByDrift": [{"value": 2.0, "labels": ["DRIFTED"]}, {"value": 9.0, "labels": []}],
            "avgStackSizeByResourceCount": [{"value": 12.5, "labels": []}, {"value": 99.0, "labels": []}],
            "averageRunDuration": [{"value": 6e10, "labels": []}],
            "medianRunDuration": [{"value": 5e10, "labels": []}],
            "needsApprovalRuns": [{"id": "r1"}, {"id": "r2"}],
            "runsRequiringAttention": [{"id": "r3"}],
        },
    }


def pool(identity: str, name: str, *, pending: int = 0, schedulable: int = 0, drained: int = 1) -> Json:
    """Return a pool with two workers."""
    workers = [{"id": f"w{number}", "drained": number < drained, "busy": False} for number in range(2)]
    return {
        "id": identity,
        "name": name,
        "pendingRuns": pending,
        "busyWorkers": 1,
        "schedulableRunsCount": schedulable,
        "workers": workers,
    }


@dataclass
class Request:
    """What was asked."""

    headers: Mapping[str, str]
    body: Json


@dataclass
class Script:
    """What the API is and does; tests change it while it runs."""

    data: Json = field(default_factory=account)
    lacking: tuple[str, ...] = ()
    """Fields that this backend's schema doesn't have."""

    gated: bool = False
    """API keys get nothing but the pools."""

    token_seconds: float = 3600
    secret: str = KEY_SECRET
    key_is_refused: str = ""
    """`null` or the text of an error."""

    status: int = 200
    """Status of queries; the exchange still works."""

    plain_status: int = 0
    """A status without a GraphQL answer, to everything."""

    raw: bytes | None = None
    """The answer to queries, as it is."""

    delay: float = 0.0
    drip: float = 0.0
    """Seconds between the bytes of an answer."""

    redirect: str = ""
    base: str = ""
    """What comes before the path: a proxy is asked for whole addresses."""

    hang_up: int = 0
    """How many of the next requests are answered by closing the connection."""

    tokens: dict[str, float] = field(default_factory=dict)
    issued: int = 0
    requests: list[Request] = field(default_factory=list)

    def revoke(self) -> None:
        """Accept none of the tokens any more, though their time isn't up."""
        self.tokens.clear()

    def operations(self) -> list[str]:
        """Return the names of what was asked, `` for exchanges, and forget it."""
        found = [request.body.get("operationName", "") for request in self.requests]
        self.requests.clear()
        return found


class ApiDouble:
    """A running double."""

    def __init__(self, certificates: Certificates | None = None) -> None:
        self.script = Script()
        script = self.script

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                _post(self, script)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        scheme = "http"
        if certificates:
            scheme = "https"
            context = certificates.server_context()
            self._server.socket = context.wrap_socket(
                self._server.socket, server_side=True, do_handshake_on_connect=False
            )
        self.endpoint = f"{scheme}://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    def close(self) -> None:
        """Stop it."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextlib.contextmanager
def serving(certificates: Certificates | None = None) -> Iterator[ApiDouble]:
    """Serve while a test runs."""
    double = ApiDouble(certificates)
    try:
        yield double
    finally:
        double.close()


def _post(handler: BaseHTTPRequestHandler, script: Script) -> None:
    body = handler.rfile.read(int(handler.headers["Content-Length"]))
    if script.hang_up:
        script.hang_up -= 1
        handler.close_connection = True
        return
    if script.redirect:
        handler.send_response(307)
        handler.send_header("Location", script.redirect)
        handler.send_header("Content-Length", "0")
        handler.end_headers()
        return
    request = Request({name.title(): value for name, value in handler.headers.items()}, json.loads(body))
    script.requests.append(request)
    status, answer = _answer(handler.path, request, script)
    time.sleep(script.delay)
    with contextlib.suppress(OSError):
        _send(handler, status, answer, script)


def _send(handler: BaseHTTPRequestHandler, status: int, answer: bytes, script: Script) -> None:
    handler.send_response(status)
    handler.send_header("Content-Type", "application/json")
    if "gzip" in handler.headers.get("Accept-Encoding", "") and not script.drip:
        answer = gzip.compress(answer)
        handler.send_header("Content-Encoding", "gzip")
    handler.send_header("Content-Length", str(len(answer)))
    handler.end_headers()
    if not script.drip:
        handler.wfile.write(answer)
    for byte in answer if script.drip else b"":
        handler.wfile.write(bytes([byte]))
        time.sleep(script.drip)


def _answer(path: str, request: Request, script: Script) -> tuple[int, bytes]:
    if script.plain_status:
        return script.plain_status, b"Unauthorized" if script.plain_status == 401 else b"<html>oops</html>"
    exchange = "apiKeyUser" in request.body["query"]
    if script.raw is not None and not exchange:
        return script.status, script.raw
    problem = _problem(path.removeprefix(script.base), request, exchange=exchange) or _refusal(
        request, script, exchange=exchange
    )
    if problem:
        return 200, json.dumps({"errors": [{"message": problem}], "data": None}).encode()
    result = graphql_sync(
        _schema(script.lacking),
        request.body["query"],
        root_value={**script.data, "apiKeyUser": lambda _, id, secret: _user(script, id, secret)},  # noqa: A006
        variable_values=request.body.get("variables"),
        operation_name=request.body.get("operationName"),
    )
    return 200 if exchange else script.status, json.dumps(
        {**result.formatted, "extensions": {"took": 1}}
    ).encode()


def _problem(path: str, request: Request, *, exchange: bool) -> str:
    """Return what is wrong with a request, whatever it asks."""
    headers, body = request.headers, request.body
    if path != "/graphql":
        return f"there is nothing at {path}"
    if headers.get("Content-Type") != "application/json":
        return "the content type must be application/json"
    if set(body) - {"query", "variables", "operationName"}:
        return "the body has a key that isn't known"
    if exchange:
        return "an exchange has no Authorization header" if "Authorization" in headers else ""
    if headers.get("Spacelift-Client-Type") != "prometheus-exporter":
        return "which client is it?"
    return "" if str(body.get("operationName", "")).startswith("PrometheusExporter") else "no operation name"


def _refusal(request: Request, script: Script, *, exchange: bool) -> str:
    if exchange:
        return script.key_is_refused if script.key_is_refused != "null" else ""
    token = request.headers.get("Authorization", "").removeprefix("Bearer ")
    if script.tokens.get(token, 0) <= time.time():
        return "unauthorized"
    if script.gated and any(
        root in request.body["query"] for root in ("usage", "metrics", "publicWorkerPool")
    ):
        return "usage is not available for machine sessions"
    return ""


def _user(script: Script, key: str, secret: str) -> Json | None:
    if script.key_is_refused == "null" or (key, secret) != (KEY_ID, script.secret):
        return None
    script.issued += 1
    until = time.time() + script.token_seconds
    script.tokens[f"jwt-{script.issued}-a8c3e7"] = until
    return {"jwt": f"jwt-{script.issued}-a8c3e7", "validUntil": int(until)}


def _schema(lacking: tuple[str, ...]) -> GraphQLSchema:
    text = SCHEMA
    for name in lacking:
        before, after = text.split(f" {name}:", 1)
        kind, rest = after.strip().split(" ", 1)
        assert kind
        text = f"{before} {rest}"
    return build_schema(text)
