"""Durations as Go programs and Kubernetes manifests write them: ``90s``, ``24h``, ``1h30m``, ``1.5h``.

Source: Go's ``time.ParseDuration``. Used for flags and for the history times of a pool.
"""

from __future__ import annotations

import re
from typing import Final

_SECONDS: Final = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART: Final = re.compile(r"([0-9]+(?:\.[0-9]*)?|\.[0-9]+)(ns|us|µs|ms|s|m|h)")


def parse_duration(text: str) -> float:
    """Return a duration in seconds; raise ValueError, with the fix, when `text` is not one. ``0`` needs no unit."""
    if text == "0":
        return 0.0
    seconds, end = 0.0, 0
    for part in _PART.finditer(text):
        if part.start() != end:
            break
        seconds, end = seconds + float(part[1]) * _SECONDS[part[2]], part.end()
    if not text or end != len(text):
        raise ValueError("expected a duration such as 30s, 5m or 1h30m")
    return seconds
