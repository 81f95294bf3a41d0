"""The load: runs triggered one after the other while faults go on, each under a name of its own."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.faults.clients import CallError, JsonClient
from tests.faults.journal import Journal, name_of

LIST_LIMIT = 1000
"""How many runs of a pool the mothership lists; a load is no larger, or not every run would be seen."""
RETRY_AFTER = 0.3


@dataclass(frozen=True)
class Work:
    """What is asked for: how many runs, how fast, and what each does."""

    runs: int
    command: str = "sleep 0.3"
    """A shell command; `{beat}` in it becomes the command that writes a line to the journal."""
    interval: float = 0.1
    """Seconds between two triggers; what the workers can't take yet is queued."""


class Load:
    """Triggers the runs in a thread of its own.

    A trigger without an answer may have made a run. It isn't repeated under its name: another name takes its place, and
    whether the first became a run is seen in the end, in the mothership's list.
    """

    def __init__(self, mothership: JsonClient, pool: str, journal: Journal, work: Work) -> None:
        if work.runs > LIST_LIMIT // 2:
            raise ValueError(f"at most {LIST_LIMIT // 2} runs in one load, not {work.runs}")
        self.work = work
        self.triggered: dict[str, str] = {}
        self.unsure: set[str] = set()
        self._mothership, self._pool, self._journal = mothership, pool, journal
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._go_on, name="load", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def finish(self, seconds: float) -> None:
        """Wait until every run is triggered; fail after so many seconds."""
        self._thread.join(seconds)
        if self._thread.is_alive():
            self._ended.set()
            raise AssertionError(
                f"only {len(self.triggered)} of {self.work.runs} runs could be triggered in {seconds:.0f} s"
            )

    def abandon(self) -> None:
        """Trigger no more."""
        self._ended.set()
        if self._thread.is_alive():
            self._thread.join(30)

    def shown(self) -> list[dict[str, Any]]:
        """Return what the mothership says of every run of the pool, with its `name`."""
        listed = self._mothership.call(
            "GET", "/v1/runs", query={"pool": self._pool, "limit": str(LIST_LIMIT)}
        )["runs"]
        return [run | {"name": name_of(run["commands"])} for run in listed]

    def trigger(self, name: str, work: str | None = None, **fields: object) -> str | None:
        """Trigger one run; return its id, None when no answer came."""
        commands = self._journal.commands(name, self.work.command if work is None else work)
        try:
            made = self._mothership.call(
                "POST", "/v1/runs", {"pool": self._pool, "commands": commands, **fields}
            )
        except CallError as error:
            if error.status is not None and error.status < 500:
                raise
            self.unsure.add(name)
            return None
        self.triggered[name] = made["id"]
        return str(made["id"])

    def _go_on(self) -> None:
        numbers = iter(range(1, 10 * LIST_LIMIT))
        while len(self.triggered) < self.work.runs and not self._ended.is_set():
            answered = self.trigger(f"r{next(numbers)}") is not None
            self._ended.wait(self.work.interval if answered else RETRY_AFTER)


def settled(load: Load, ids: Callable[[], set[str]] | None = None) -> bool:
    """Say whether every run that the mothership knows has its verdict."""
    shown = load.shown()
    wanted = ids() if ids else set(load.triggered.values())
    return wanted <= {run["id"] for run in shown} and all(run["finished"] for run in shown)
