"""Keeps the lease of a granted attempt (fence 7): a thread of its own, so that no slow log upload delays a renewal."""

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from launcher.api_client import LauncherApi
from launcher.clock import boot_hundredths, wait_before
from launcher.credentials import RunToken
from launcher.errors import ApiError, RetryError
from launcher.run_log import note
from protocol.launcher_api import LeaseAction, LeaseAnswer

# A stop is heard of no sooner than the next renewal, so long leases are renewed more often than they need it.
LONGEST_INTERVAL = 5.0
SHORTEST_INTERVAL = 0.2
# After a renewal that could not be passed on, as on a full disk.
RETRY_INTERVAL = 1.0


def renewal_interval(lease_seconds: int) -> float:
    """Return how long to wait between two renewals."""
    return max(SHORTEST_INTERVAL, min(lease_seconds / 3, LONGEST_INTERVAL))


@dataclass(frozen=True, slots=True)
class Renewal:
    """A renewal that the mothership has granted; the times are those of asking, hundredths of a second."""

    counter: int
    asked_boot: int
    asked_epoch: int
    action: LeaseAction


class LeaseKeeper:
    """Renews until told otherwise or the attempt is gone; `on_renewed` is called in the keeper's thread each time.

    When it raises an OSError, the lease is renewed and passed on again soon.
    """

    def __init__(
        self,
        api: LauncherApi,
        token: RunToken,
        on_renewed: Callable[[Renewal], None],
    ) -> None:
        self._api = api
        self._token = token
        self._on_renewed = on_renewed
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lease", daemon=True)
        self._counter = 0
        self._failures = 0
        self._unwritten = False
        self._renewed_at = boot_hundredths()

    def start(self) -> None:
        """Begin; the first renewal is asked for at once."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread; a renewal on its way may outlive this by a request's time."""
        self._ended.set()
        self._thread.join(timeout=1)

    def silent_seconds(self) -> float:
        """Return how long ago the last granted renewal was asked for."""
        return (boot_hundredths() - self._renewed_at) / 100

    def _run(self) -> None:
        wait = 0.0
        while not self._ended.wait(wait):
            wait = self._renew()

    def _renew(self) -> float:
        """Ask once; return the wait before the next time."""
        boot, epoch = boot_hundredths(), int(time.time() * 100)
        try:
            answer = self._api.renew()
        except ApiError as error:
            return self._failed(error)
        if self._failures:
            self._failures = 0
            note("The lease is renewed again")
        return self._granted(answer, boot, epoch)

    def _failed(self, error: ApiError) -> float:
        if not self._failures:
            note(f"The lease can't be renewed: {error}")
        self._failures += 1
        retry_after = error.retry_after if isinstance(error, RetryError) else None
        return wait_before(self._failures, random.random(), retry_after)  # noqa: S311 - spreads load only

    def _granted(self, answer: LeaseAnswer, boot: int, epoch: int) -> float:
        self._token.renew(answer.run_token)
        if answer.action is not LeaseAction.GONE:
            self._counter += 1
            self._renewed_at = boot
        try:
            self._on_renewed(Renewal(self._counter, boot, epoch, answer.action))
        except OSError as error:
            if not self._unwritten:
                note(f"The renewal can't be written: {error.strerror}")
            self._unwritten = True
            return RETRY_INTERVAL
        self._unwritten = False
        if answer.action is LeaseAction.GONE:
            self._ended.set()
        return renewal_interval(answer.lease_seconds)
