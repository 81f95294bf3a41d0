"""How the repository's own programs are run: by the interpreter that runs the cluster, from the repository's root."""

from __future__ import annotations

import subprocess
import sys

from devcluster.paths import REPOSITORY
from devcluster.progress import ClusterError


def module(name: str, *arguments: str) -> tuple[str, ...]:
    """Return the command line of `python -m <name>`."""
    return (sys.executable, "-m", name, *arguments)


def run(argv: tuple[str, ...]) -> str:
    """Run a command that ends by itself, and return what it printed."""
    done = subprocess.run(
        argv, cwd=REPOSITORY, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        msg = f"{' '.join(argv)} failed:\n{done.stderr.strip() or done.stdout.strip()}"
        raise ClusterError(msg)
    return done.stdout
