"""The README's way from a clean cluster to a finished run, as a script: its shell blocks and nothing else."""

from __future__ import annotations

from collections.abc import Sequence

from devcluster.paths import REPOSITORY
from devcluster.realnode import images
from tests.unit.docs.shell import shell_blocks

README = REPOSITORY / "README.md"
SECTION = "Install on a cluster"
STANDS_IN = {
    "registry.example.com/workerpool-operator:0.1.0": images.OPERATOR,
    "registry.example.com/workerpool-launcher:0.1.0": images.LAUNCHER,
    "docker.io/library/alpine:3.22.1": images.RUNNER,
}
"""Where no registry can be reached, images that the commands name are on the node already: the same, built here from the
same Dockerfiles (`make images` is the same build, with an engine's own store), and for Alpine another with a shell."""


def blocks() -> list[str]:
    """Return the shell blocks of the README's section, in order."""
    return shell_blocks(README.read_text(encoding="utf-8"), SECTION)


def script(wanted: Sequence[str] | None = None) -> str:
    """Return the blocks, or some, as one script: it ends at a command that fails, and ends what it started behind it."""
    lines = "".join(blocks() if wanted is None else wanted)
    return f"set -o errexit -o pipefail\ntrap 'jobs -p | xargs -r kill' EXIT\nset -o xtrace\n{lines}"
