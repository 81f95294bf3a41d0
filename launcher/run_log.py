"""The launcher's own lines: to the container's output for the cluster's people, and to the run's log for the user."""

import sys
from pathlib import Path

from launcher.files import append


def note(line: str) -> None:
    """Write a line to the container's output only."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


class RunLog:
    """Lines that the run's user should see as well."""

    def __init__(self, spool: Path) -> None:
        self._spool = spool

    def say(self, line: str) -> None:
        """Write a line to the container's output and to the run's log."""
        note(line)
        append(self._spool, f"{line}\n".encode("utf-8", "replace"))
