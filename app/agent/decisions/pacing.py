"""When the next publish may go out, and when the next connection is tried; pure."""

from dataclasses import dataclass

LEAST_PAUSE = 1.0
"""Seconds between two tries of a connection at least, unless the settings say less."""

AWS_RATE = 100.0
"""Publishes that AWS IoT Core takes of one connection in a second; facts/mqtt.md, row 2."""

_AWS_SUFFIXES = (".amazonaws.com", ".amazonaws.com.cn")


def publish_rate(host: str, wanted: float | None) -> float:
    """Return how many publishes a second the broker at `host` is sent, 0: no limit; `wanted` None: as it takes them."""
    if wanted is not None:
        return wanted
    return AWS_RATE if host.lower().endswith(_AWS_SUFFIXES) else 0.0


@dataclass(frozen=True, slots=True)
class Bucket:
    """Tokens of a bucket that fills at `rate` a second (0: never empty) up to a second's worth; `at` is monotonic."""

    rate: float
    tokens: float
    at: float

    @classmethod
    def full(cls, rate: float, at: float) -> "Bucket":
        """Return a bucket that holds a tenth of a second's worth, one token at least.

        A connection that comes back often would otherwise send a whole second's worth each time.
        """
        return cls(rate, max(rate / 10, 1.0), at)

    def refilled(self, now: float) -> "Bucket":
        """Return the bucket as it is `now`; a tenth of a second's worth is the most it holds."""
        most = max(self.rate / 10, 1.0)
        return Bucket(self.rate, min(self.tokens + max(now - self.at, 0.0) * self.rate, most), now)

    def taken(self) -> "Bucket":
        """Return the bucket with a token less."""
        return self if self.rate == 0 else Bucket(self.rate, self.tokens - 1.0, self.at)

    def wait(self) -> float:
        """Return after how many seconds there is a token, 0: now."""
        if self.rate == 0 or self.tokens >= 1.0:
            return 0.0
        return (1.0 - self.tokens) / self.rate


@dataclass(frozen=True, slots=True)
class Backoff:
    """Pauses between tries of a connection, in seconds."""

    first: float = LEAST_PAUSE
    most: float = 60.0
    taken_over: float = 15.0

    def pause(self, failures: int, chance: float, *, taken_over: bool) -> float:
        """Return how long to wait after so many `failures` in a row; `chance` (0..1) is the jitter.

        Exponential, with full jitter above the first pause. Who lost its session to another client of its id waits
        long, for two of them would kick each other out for ever (facts/mqtt.md, row 10).
        """
        if taken_over:
            return self.taken_over * (1.0 + chance)
        most = max(min(self.most, self.first * 2.0 ** min(failures, 10)), self.first)
        return self.first + chance * (most - self.first)
