"""Time and identifiers: the only places where the mothership reads a clock or draws randomness for names."""

import datetime as dt
import time
from collections.abc import Callable
from typing import Protocol

import structlog
from ulid import ULID

_log = structlog.get_logger(component="clock")


class Clock(Protocol):
    """What tells the time, as seconds since 1970."""

    def now(self) -> float:
        """Return the time."""


class SteadyClock:
    """Begins at the machine's time and goes on evenly: setting the machine's clock moves no lease and no token.

    Never begins before `reached`, the time that the process before had come to: what is stored isn't in the future.
    """

    def __init__(
        self,
        reached: float = 0.0,
        wall: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._monotonic = monotonic
        start, began = wall(), monotonic()
        self._base = max(start, reached) - began
        if reached > start:
            _log.warning("the machine's clock was set back", seconds=round(reached - start))

    def now(self) -> float:
        """Return the time."""
        return self._base + self._monotonic()


def new_ulid() -> str:
    """Return a fresh ULID, upper-case."""
    return str(ULID())


def rfc3339(seconds: float) -> str:
    """Return a time in the protocol's form, to the millisecond."""
    text = dt.datetime.fromtimestamp(seconds, dt.UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")
