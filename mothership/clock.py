"""Time and identifiers: the only places where the mothership reads a clock or draws randomness for names."""

import datetime as dt
import time
from typing import Protocol

from ulid import ULID


class Clock(Protocol):
    """What tells the time, as seconds since 1970."""

    def now(self) -> float:
        """Return the time."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> float:
        """Return the time."""
        return time.time()


def new_ulid() -> str:
    """Return a fresh ULID, upper-case."""
    return str(ULID())


def rfc3339(seconds: float) -> str:
    """Return a time in the protocol's form, to the millisecond."""
    text = dt.datetime.fromtimestamp(seconds, dt.UTC).isoformat(timespec="milliseconds")
    return text.replace("+00:00", "Z")
