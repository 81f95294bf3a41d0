"""Structured logs on standard error: JSON lines, or readable ones for development; secrets are taken out by value."""

from __future__ import annotations

import logging
import sys
import threading
from collections import deque
from collections.abc import Callable, MutableMapping
from typing import Any, Final, TextIO

import structlog

REDACTED: Final = "[redacted]"
"""What stands in the place of a secret."""

_REMEMBERED: Final = 8
_SHORTEST: Final = 4
_LONGEST: Final = 2000


class Secrets:
    """The values that must not be told: the key's secret and the last tokens. Safe for several threads."""

    def __init__(self) -> None:
        self._values: deque[str] = deque(maxlen=_REMEMBERED)
        self._lock = threading.Lock()

    def add(self, value: str) -> str:
        """Remember a value, and return it; the last eight are kept. What is shorter than four characters would garble texts."""
        with self._lock:
            if value in self._values:
                self._values.remove(value)
            if len(value) >= _SHORTEST:
                self._values.append(value)
        return value

    def without(self, text: str) -> str:
        """Return the text with none of the values in it, cut to a bearable length."""
        with self._lock:
            values = sorted(self._values, key=len, reverse=True)
        for value in values:
            text = text.replace(value, REDACTED)
        # Cut afterwards: a secret cut in half would not look like one any more.
        return text[:_LONGEST]


def configure(secrets: Secrets, *, development: bool = False, stream: TextIO | None = None) -> None:
    """Set structlog up for this process."""
    output = stream or sys.stderr
    renderer: Any = (
        structlog.dev.ConsoleRenderer(
            colors=output.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
        if development
        else structlog.processors.JSONRenderer()
    )
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.format_exc_info,
            _redaction(secrets),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.DEBUG if development else logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(output),
        cache_logger_on_first_use=False,
    )


def _redaction(secrets: Secrets) -> Callable[..., MutableMapping[str, Any]]:
    def redact(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        for name, value in event.items():
            if not isinstance(value, bool | int | float | None):
                event[name] = secrets.without(str(value))
        return event

    return redact
