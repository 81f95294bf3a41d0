"""A real HTTP server that answers hooks as a scenario says and records every request."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from typing import Any

from tests.http_parts import LoopbackServer, body_of, send

Body = dict[str, Any]


@dataclass(frozen=True)
class Answer:
    """What a hook answers."""

    body: Body
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


Hook = Callable[[Body], Answer]


class HookServer:
    """The server; `hooks` maps paths to what answers them."""

    def __init__(self) -> None:
        self.hooks: dict[str, Hook] = {}
        self.requests: list[tuple[str, Body]] = []
        self._server = LoopbackServer(self._answer, only="POST")
        self.url = self._server.url

    def close(self) -> None:
        """Stop answering."""
        self._server.close()

    def _answer(self, handler: BaseHTTPRequestHandler) -> None:
        request = json.loads(body_of(handler))
        self.requests.append((handler.path, request))
        hook = self.hooks.get(handler.path)
        answer = hook(request) if hook else Answer({"error": "no such hook"}, 404)
        body = json.dumps(answer.body).encode()
        headers = {"Content-Type": "application/json", **answer.headers}
        send(handler, answer.status, headers.items(), body)
