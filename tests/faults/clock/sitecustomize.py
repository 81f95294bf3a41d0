"""Loaded by every Python that has this folder in PYTHONPATH: the wall clock is off by what a file says, in seconds.

Clocks for durations (`time.monotonic`) are left alone, as a machine's are when its time is set.
"""

import os
import time
from pathlib import Path

_OFFSET = Path(os.environ.get("FAULTS_CLOCK_OFFSET", os.devnull))
_true_time = time.time


def _shifted() -> float:
    try:
        return _true_time() + float(_OFFSET.read_text() or 0)
    except (OSError, ValueError):
        return _true_time()


time.time = _shifted
