"""Where things are: the repository, the cache outside of it, the clusters' state inside of it."""

from __future__ import annotations

import os
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent
PACKAGE = Path(__file__).resolve().parent
TOOLS_MODULE = PACKAGE / "tools"
NODE_TOOLS_MODULE = PACKAGE / "nodetools"
OLDEST_MODULE = PACKAGE / "oldest"
CLUSTERS = REPOSITORY / ".cluster"


def cache() -> Path:
    """Return the directory for what is built once and used by every cluster."""
    base = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(base) / "spacelift-workerpool"


def cluster_directory(where: str | Path) -> Path:
    """Return the directory of a cluster: a bare name lives below .cluster, a path is itself."""
    if isinstance(where, Path):
        return where.absolute()
    if not where or "/" in where or where.startswith("."):
        msg = f"cluster name {where!r}: give a plain name, or a Path for a directory"
        raise ValueError(msg)
    return CLUSTERS / where
