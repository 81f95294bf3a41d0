"""The two spellings of time that the Kubernetes API uses, and reading them back."""

import datetime as dt
import time


def rfc3339(seconds: float | None = None) -> str:
    """Return a `metav1.Time` (whole seconds, UTC) of the given epoch seconds, or of now."""
    moment = dt.datetime.fromtimestamp(time.time() if seconds is None else seconds, dt.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def rfc3339_micro(seconds: float | None = None) -> str:
    """Return a `metav1.MicroTime`, which Leases and Events want."""
    moment = dt.datetime.fromtimestamp(time.time() if seconds is None else seconds, dt.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def rfc3339_nano(nanoseconds: int) -> str:
    """Return a time with nanoseconds, as a container log line carries it."""
    whole, rest = divmod(nanoseconds, 1_000_000_000)
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(whole)) + f".{rest:09d}Z"


def parse(text: str) -> float:
    """Return the epoch seconds of an RFC 3339 time; fractions beyond microseconds are cut."""
    head, dot, fraction = text.rstrip("Z").partition(".")
    moment = dt.datetime.fromisoformat(head).replace(tzinfo=dt.UTC)
    return moment.timestamp() + (float(f"0.{fraction}") if dot else 0.0)
