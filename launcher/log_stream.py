"""Carries the run's log from the spool to the mothership: at an offset, in order, as often as it takes.

The spool is the buffer: while the mothership is away or slow nothing is read and nothing is lost. One chunk is on
its way at a time. A chunk whose answer was lost is sent again at the same offset; the mothership skips what it has.
"""

import random
import time
from contextlib import suppress
from dataclasses import dataclass

from launcher.api_client import LauncherApi
from launcher.clock import wait_before
from launcher.errors import AnswerError, ApiError, ConflictError, RetryError
from launcher.exchange import Exchange, parse_number
from launcher.files import SHARED_FILE, open_plain, read_text, size_of, write_whole

CHUNK = 256 * 1024
_SMALLEST_CHUNK = 1024

# A trickle of output goes out as few small calls, without a reader noticing the delay.
GATHER_SECONDS = 0.5
_FULL_ENOUGH = 32 * 1024


@dataclass(slots=True)
class Pace:
    """When the next chunk may go; times are monotonic seconds."""

    next_try: float = 0.0
    last_sent: float = float("-inf")
    failures: int = 0

    def is_due(self, waiting: int, now: float, *, hurry: bool) -> bool:
        """Say whether `waiting` bytes are worth a call now."""
        if waiting <= 0 or now < self.next_try:
            return False
        return hurry or waiting >= _FULL_ENOUGH or now - self.last_sent >= GATHER_SECONDS

    def sent(self, now: float) -> None:
        """Note a success."""
        self.next_try, self.last_sent, self.failures = now, now, 0

    def failed(self, now: float, jitter: float, retry_after: float | None) -> None:
        """Note a failure and put the next try off."""
        self.next_try = now + wait_before(self.failures, jitter, retry_after)
        self.failures += 1


class LogStream:
    """One attempt's log on its way."""

    def __init__(self, api: LauncherApi, exchange: Exchange) -> None:
        self._api = api
        self._exchange = exchange
        self._offset = parse_number(read_text(exchange.delivered))
        self._chunk = CHUNK
        self._pace = Pace()
        self.trouble: ApiError | None = None
        """The last failure, None after a success."""

    @property
    def waiting(self) -> int:
        """How many bytes are not delivered."""
        return max(0, size_of(self._exchange.spool) - self._offset)

    def step(self, *, hurry: bool = False) -> bool:
        """Send one chunk if it is time for one; say whether something was delivered."""
        if not self._pace.is_due(self.waiting, time.monotonic(), hurry=hurry):
            return False
        data = self._read()
        if not data:
            return False
        try:
            following = self._api.append_log(self._offset, data)
        except ApiError as error:
            return self._failed(error, error.offset if isinstance(error, ConflictError) else None)
        if following <= self._offset:
            return self._failed(AnswerError("logs: the answer's offset doesn't move on"), following)
        self._pace.sent(time.monotonic())
        self.trouble = None
        self._move(following)
        return True

    def flush(self, deadline: float) -> bool:
        """Deliver everything that is in the spool; say whether that succeeded before `deadline` (monotonic)."""
        while self.waiting:
            if time.monotonic() >= deadline:
                return False
            if not self.step(hurry=True):
                time.sleep(0.02)
        return True

    def _read(self) -> bytes:
        """Return the next chunk, empty when the run's command has spoiled the spool meanwhile."""
        with suppress(OSError), open_plain(self._exchange.spool) as spool:
            spool.seek(self._offset)
            return spool.read(self._chunk)
        return b""

    def _failed(self, error: ApiError, offset: int | None) -> bool:
        self.trouble = error
        if isinstance(error, AnswerError):
            # A body that is too large for something on the way is the one such refusal that can be helped.
            self._chunk = max(_SMALLEST_CHUNK, self._chunk // 2)
        retry_after = error.retry_after if isinstance(error, RetryError) else None
        if offset is not None and offset != self._offset:
            self._move(offset)
        self._pace.failed(time.monotonic(), random.random(), retry_after)  # noqa: S311 - spreads load only
        return False

    def _move(self, offset: int) -> None:
        """Go on from where the mothership says."""
        self._offset = offset
        # On a full disk the offset in memory has to do; a restart without the file costs a repetition.
        with suppress(OSError):
            write_whole(self._exchange.delivered, f"{offset}\n", SHARED_FILE)
