"""Counts of what was dropped, by kind, for the health page; the first of each kind is logged."""

import threading
from collections import Counter
from collections.abc import Mapping


class Counters:
    """Counts by kind; `count` says whether this was the first."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._lock = threading.Lock()

    def count(self, kind: str) -> bool:
        """Add one."""
        with self._lock:
            self._counts[kind] += 1
            return self._counts[kind] == 1

    def totals(self) -> Mapping[str, int]:
        """Return what was counted so far."""
        with self._lock:
            return dict(self._counts)
