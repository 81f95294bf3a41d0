"""Who may call the hooks: callers with the token, on the port that is served over TLS."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import structlog
from flask import Response, request

from app.web.answers import error_answer

_SCHEME = "bearer "
_log = structlog.get_logger("web")


class Tokens(Protocol):
    """Who knows the callers' token."""

    @property
    def wants_token(self) -> bool:
        """Whether callers need one."""
        ...

    def accepts(self, token: str) -> bool:
        """Return whether it is right, in a time that tells nothing about it."""
        ...


@dataclass(frozen=True, slots=True)
class Access:
    """`tokens` None: no token is needed. `port` None: every port of the process answers hooks."""

    tokens: Tokens | None = None
    port: int | None = None

    def refuse(self) -> Response | None:
        """Return the answer to a request that may not call hooks, None to one that may."""
        if self.port is not None and request.environ.get("SERVER_PORT") != str(self.port):
            # The probes are plain HTTP: what is meant for TLS must not get around it.
            return error_answer(404, "NotFound", f"hooks are served over TLS, on port {self.port}")
        if self.tokens is None or not self.tokens.wants_token:
            return None
        header = request.headers.get("Authorization", "")
        # A header of another scheme is compared as well: every refusal takes the same way.
        token = header[len(_SCHEME) :].strip() if header.lower().startswith(_SCHEME) else ""
        if self.tokens.accepts(token):
            return None
        _log.warning("hook caller refused", path=request.path, peer=request.remote_addr, sent=bool(header))
        refusal = error_answer(
            401, "Unauthorized", "hook calls need the bearer token of the operator's Secret"
        )
        refusal.headers["WWW-Authenticate"] = "Bearer"
        return refusal
