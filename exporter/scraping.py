"""One scrape: the API is asked, and its answers become metrics, all within one deadline."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Protocol, TypeVar

import structlog
from prometheus_client.core import Metric

from exporter.answers import Json
from exporter.documents import POOLS_ONLY, SCHEDULABLE, SCRAPE, WAITING, Operation
from exporter.errors import ApiError, UnsupportedError
from exporter.families import Build, Outcome, Scrape, metrics_of
from exporter.snapshot import Snapshot, schedulable_of, snapshot_of, waiting_of

ASK_AGAIN_SECONDS: Final = 600.0
"""After so long a backend is asked again for what it didn't have: it may have been upgraded."""

_T = TypeVar("_T")
_log = structlog.get_logger(__name__)


class Api(Protocol):
    """What answers."""

    def query(self, operation: Operation, deadline: float) -> Json:
        """Return data; raises ApiError. `deadline` is on time.monotonic's clock."""
        ...


class Scraper:
    """Scrapes one API; safe for several threads."""

    def __init__(
        self,
        api: Api,
        timeout: float,
        build: Build,
        *,
        runs_by_need: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._api, self._timeout, self._build, self._runs_by_need = api, timeout, build, runs_by_need
        self._clock = clock
        self._lacking: dict[str, float] = {}
        self._lock = threading.Lock()

    def scrape(self) -> list[Metric]:
        """Return the metrics as they are now; raises ApiError: part of the pools would look like empty queues."""
        began = time.monotonic()
        deadline = began + self._timeout
        outcomes: dict[str, Outcome] = {}
        schedulable = waiting = None
        if self._runs_by_need:
            with ThreadPoolExecutor(max_workers=2, thread_name_prefix="scrape") as beside:
                first = beside.submit(
                    self._optional, "schedulableruns", SCHEDULABLE, schedulable_of, deadline
                )
                second = beside.submit(self._optional, "waitingruns", WAITING, waiting_of, deadline)
                snapshot = self._snapshot(deadline, outcomes)
            schedulable, outcomes["schedulableruns"] = first.result()
            waiting, outcomes["waitingruns"] = second.result()
        else:
            snapshot = self._snapshot(deadline, outcomes)
        return metrics_of(
            Scrape(
                snapshot=snapshot,
                build=self._build,
                seconds=time.monotonic() - began,
                outcomes=outcomes,
                schedulable=schedulable,
                waiting=waiting,
            )
        )

    def _snapshot(self, deadline: float, outcomes: dict[str, Outcome]) -> Snapshot:
        """Ask for all, or for the pools alone where the backend keeps the rest from API keys."""
        missing = Outcome.FAILED
        try:
            snapshot = self._unless_lacking("account", lambda: snapshot_of(self._api.query(SCRAPE, deadline)))
        except UnsupportedError:
            missing = Outcome.UNSUPPORTED
            snapshot = snapshot_of(self._api.query(POOLS_ONLY, deadline))
        outcomes["workerpools"] = Outcome.GOT
        for part, root in (
            ("publicworkerpool", snapshot.public_pool),
            ("usage", snapshot.usage),
            ("aggregates", snapshot.statistics),
        ):
            outcomes[part] = missing if root is None else Outcome.GOT
        return snapshot

    def _optional(
        self, part: str, operation: Operation, read: Callable[[Json], _T], deadline: float
    ) -> tuple[_T | None, Outcome]:
        """Ask for what only some backends have; a failure costs its series and no others."""
        try:
            return self._unless_lacking(part, lambda: read(self._api.query(operation, deadline))), Outcome.GOT
        except UnsupportedError:
            return None, Outcome.UNSUPPORTED
        except ApiError as error:
            _log.warning("part_not_scraped", collector=part, error=str(error))
            return None, Outcome.FAILED

    def _unless_lacking(self, part: str, ask: Callable[[], _T]) -> _T:
        """Ask, but not again soon for what the backend has said that it doesn't have; raises ApiError."""
        with self._lock:
            asked = self._lacking.get(part)
        if asked is not None and self._clock() - asked < ASK_AGAIN_SECONDS:
            raise UnsupportedError(f"{part}: not there when it was last asked for")
        try:
            found = ask()
        except UnsupportedError as error:
            with self._lock:
                self._lacking[part] = self._clock()
            _log.warning("part_not_supported", collector=part, reason=str(error))
            raise
        with self._lock:
            self._lacking.pop(part, None)
        return found
