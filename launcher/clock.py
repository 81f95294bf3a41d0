"""Clocks: one that both halves of the exchange share, and waits for calls that may be repeated."""

import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from launcher.errors import RetryError

T = TypeVar("T")

_UPTIME = Path("/proc/uptime")

SHORTEST_WAIT = 0.2
LONGEST_WAIT = 2.0


def boot_hundredths() -> int:
    """Return hundredths of a second since boot, as the executor reads them from the same file.

    The containers of a Pod share a kernel, so the number means the same in each of them; it never jumps, as the
    time of day does, and it counts while the machine sleeps.
    """
    seconds, fraction = _UPTIME.read_text(encoding="ascii").split()[0].split(".")
    return int(seconds) * 100 + int(fraction[:2].ljust(2, "0"))


def wait_before(attempt: int, jitter: float, retry_after: float | None = None) -> float:
    """Return the wait before repeating a call for the `attempt`-th time (from 0); `jitter` is in 0..1.

    The wait grows by half each time from 200 ms to 2 s; the jitter takes up to half of it away, so that the Pods of
    a burst don't ask in step. What the mothership asks for is kept, up to a minute.
    """
    if retry_after is not None:
        return min(max(retry_after, SHORTEST_WAIT), 60.0)
    grown = min(SHORTEST_WAIT * 1.5 ** min(attempt, 20), LONGEST_WAIT)
    return max(SHORTEST_WAIT, grown * (1 - jitter / 2))


def repeat(call: Callable[[], T], deadline: float, between: Callable[[], None] = lambda: None) -> T:
    """Return `call()`, repeated after each RetryError until `deadline` (monotonic); then raise that error.

    `between` runs before each try and may raise to give up earlier.
    """
    attempt = 0
    while True:
        between()
        try:
            return call()
        except RetryError as error:
            wait = wait_before(attempt, random.random(), error.retry_after)  # noqa: S311 - spreads load only
            if time.monotonic() + wait > deadline:
                raise
        time.sleep(wait)
        attempt += 1
