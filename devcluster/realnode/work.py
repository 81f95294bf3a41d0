"""Commands that take long: run with their progress shown, and with the end of their output in the error."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from devcluster.progress import REPORT_EVERY, ClusterError, Say

LAST_LINES = 30
SHOWN = 100


def run(
    what: str, argv: Sequence[str], say: Say, *, cwd: Path | None = None, env: Mapping[str, str] | None = None
) -> str:
    """Run a command, saying every few seconds that `what` is being done and the last line it wrote; return its output."""
    started = time.monotonic()
    process = subprocess.Popen(
        argv,
        cwd=cwd,
        env={**os.environ, **(env or {})},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    )
    lines: list[str] = []
    stream = process.stdout
    reader = threading.Thread(target=lambda: lines.extend(stream or ()), daemon=True)
    reader.start()
    try:
        while reader.is_alive():
            reader.join(REPORT_EVERY)
            if reader.is_alive():
                last = lines[-1].strip()[:SHOWN] if lines else ""
                say(f"{what}, {time.monotonic() - started:.0f} s{': ' if last else ''}{last}")
    finally:
        if process.poll() is None and reader.is_alive():
            process.terminate()
        process.wait()
        reader.join()
        if stream is not None:
            stream.close()
    if process.returncode != 0:
        msg = f"{what}: {' '.join(argv)} exited with {process.returncode}:\n{''.join(lines[-LAST_LINES:])}"
        raise ClusterError(msg)
    return "".join(lines)
