"""Waiting that shows what it waits for, and ends."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

Say = Callable[[str], None]

REPORT_EVERY = 5.0


class ClusterError(Exception):
    """Something the user of the local cluster has to know; the text says what to do where that is known."""


class NotReadyError(ClusterError):
    """A condition did not come true before its deadline."""


def say_to_stderr(text: str) -> None:
    """Print one line of progress."""
    sys.stderr.write(f"devcluster: {text}\n")
    sys.stderr.flush()


def say_nothing(_text: str) -> None:
    """Swallow progress, for callers that show their own."""


def wait_until(
    condition: Callable[[], bool],
    what: str,
    *,
    within: float,
    say: Say = say_nothing,
    pause: float = 0.02,
) -> None:
    """Return once `condition` holds; say every few seconds that it does not yet, and raise at the deadline."""
    started = time.monotonic()
    spoken = started
    while not condition():
        now = time.monotonic()
        if now - started >= within:
            msg = f"{what}: not within {within:.0f} s"
            raise NotReadyError(msg)
        if now - spoken >= REPORT_EVERY:
            say(f"{what}: waiting, {now - started:.0f} s of at most {within:.0f} s")
            spoken = now
        time.sleep(pause)
