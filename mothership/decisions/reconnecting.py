"""When the next connection to the broker is tried, and when the next publish may go out; pure."""

from dataclasses import dataclass

FIRST_PAUSE = 1.0
LONGEST_PAUSE = 30.0
TAKEN_OVER_PAUSE = 15.0
STABLE_AFTER = 10.0
"""Seconds that a connection must stand for the pauses to begin anew: one that is closed at once is a failed try."""


def failures_after(failures: int, stood: float) -> int:
    """Return the failed tries in a row once a connection has ended that was up for `stood` seconds."""
    return 1 if stood >= STABLE_AFTER else failures + 1


def pause(failures: int, chance: float, *, taken_over: bool) -> float:
    """Return how many seconds to wait after so many `failures`; `chance` (0..1) is the jitter.

    Two clients of one id would kick each other out for ever: who was told so waits long (facts/mqtt.md, row 10).
    """
    if taken_over:
        return TAKEN_OVER_PAUSE * (1.0 + chance)
    most = min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** min(failures, 10))
    return FIRST_PAUSE + chance * (most - FIRST_PAUSE)


@dataclass(frozen=True, slots=True)
class Pace:
    """How many publishes a second may go out (0: no limit), and how many may now; `at` is monotonic."""

    rate: float
    tokens: float
    at: float

    def at_time(self, now: float) -> "Pace":
        """Return the pace as it is `now`: a tenth of a second's worth is the most that is saved up."""
        most = max(self.rate / 10, 1.0)
        return Pace(self.rate, min(self.tokens + max(now - self.at, 0.0) * self.rate, most), now)

    def wait(self) -> float:
        """Return after how many seconds the next may go out."""
        return 0.0 if self.rate == 0 or self.tokens >= 1.0 else (1.0 - self.tokens) / self.rate

    def after_one(self) -> "Pace":
        """Return the pace once one more went out."""
        return self if self.rate == 0 else Pace(self.rate, self.tokens - 1.0, self.at)
