"""Queries with a token that is had for an API key, renewed before it ends or when the API says that it has ended."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from exporter.answers import Json
from exporter.documents import EXCHANGE, Operation
from exporter.errors import AnswerError, ApiError, StartupError, UnauthorizedError
from exporter.logs import Secrets
from exporter.transport import Transport

EARLY_SECONDS: Final = 30
"""How long before its end a token is renewed."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Token:
    """What an API key was exchanged for."""

    jwt: str
    valid_until: float
    """Seconds since 1970."""


NO_TOKEN: Final = Token("", 0)


class KeySecret:
    """The secret of the API key: given, or in a file that may change."""

    def __init__(self, given: str, file: Path | None) -> None:
        self._given, self._file = given, file

    def read(self) -> str:
        """Return the secret as it is now; raises StartupError without its text."""
        if self._file is None:
            return self._given
        try:
            found = self._file.read_text(encoding="utf-8").strip()
        except OSError as error:
            raise StartupError(f"--api-key-secret-file: {self._file}: {error.strerror}") from None
        except ValueError:
            raise StartupError(f"--api-key-secret-file: {self._file} isn't text") from None
        if not found:
            raise StartupError(f"--api-key-secret-file: {self._file} is empty")
        return found


class Session:
    """Asks the API in the name of one API key; safe for several threads, which share one token."""

    def __init__(
        self,
        transport: Transport,
        key_id: str,
        secret: KeySecret,
        secrets: Secrets,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._transport, self._key_id, self._secret = transport, key_id, secret
        self._secrets, self._clock = secrets, clock
        self._lock = threading.Lock()
        self._token = NO_TOKEN

    def exchange(self, deadline: float) -> None:
        """Get a first token; raises ApiError or StartupError."""
        self._renew(self._token, deadline)

    def query(self, operation: Operation, deadline: float) -> Json:
        """Return what the API answers; raises ApiError. `deadline` is on time.monotonic's clock."""
        token = self._token
        if self._clock() + EARLY_SECONDS >= token.valid_until:
            token = self._renew(token, deadline)
        try:
            return self._transport.send(operation, deadline, token=token.jwt)
        except UnauthorizedError:
            _log.warning("token_refused", operation=operation.name)
        return self._transport.send(operation, deadline, token=self._renew(token, deadline).jwt)

    def _renew(self, used: Token, deadline: float) -> Token:
        """Return a token newer than the one that was used; of several threads, one gets it."""
        if not self._lock.acquire(timeout=max(0.0, deadline - time.monotonic())):
            raise ApiError("another request still waits for a new token")
        try:
            if self._token is used:
                self._token = self._exchanged(deadline)
            return self._token
        finally:
            self._lock.release()

    def _exchanged(self, deadline: float) -> Token:
        try:
            secret = self._secrets.add(self._secret.read())
        except StartupError as error:
            raise ApiError(str(error)) from None
        variables = {"id": self._key_id, "secret": secret}
        try:
            found = self._transport.send(EXCHANGE, deadline, variables=variables).get("apiKeyUser")
        except ApiError as error:
            raise type(error)(f"the API key can't be exchanged for a token: {error}") from None
        if found is None:
            raise UnauthorizedError("the API key isn't accepted: check --api-key-id and its secret")
        jwt = found.get("jwt") if isinstance(found, dict) else None
        until = found.get("validUntil") if isinstance(found, dict) else None
        if not isinstance(jwt, str) or not jwt:
            raise AnswerError("apiKeyUser.jwt: expected a token")
        self._secrets.add(jwt)
        # Without an end, each query gets a token of its own.
        valid_until = until if isinstance(until, int) and not isinstance(until, bool) else 0
        _log.info("token_received", valid_until=valid_until)
        return Token(jwt, valid_until)
