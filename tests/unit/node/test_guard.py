"""What outlives the node kills what it left."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import devcluster.node.guard as module


def test_the_guard_kills_what_is_watched_when_its_input_ends() -> None:
    """A released process is left alone."""
    sleepers = [subprocess.Popen(["sleep", "60"], start_new_session=True) for _ in range(2)]
    kept, killed = sleepers
    lines = f"+{kept.pid}\n+{killed.pid}\n-{kept.pid}\n"
    try:
        subprocess.run(
            [sys.executable, str(Path(module.__file__))], input=lines.encode(), timeout=30, check=True
        )
        assert killed.wait(10) == -signal.SIGKILL
        assert kept.poll() is None
    finally:
        for sleeper in sleepers:
            if sleeper.poll() is None:
                os.kill(sleeper.pid, signal.SIGKILL)
                sleeper.wait(10)
