"""Switches in the executor, which is a shell script: a line of it is changed, and a real process runs what is left."""

from __future__ import annotations

from collections.abc import Iterator

from tests.mutations.executor import changed
from tests.mutations.registry import EXECUTOR, fence


@fence(
    "the executor makes its marker before the first command",
    "Fence 6",
    f"{EXECUTOR}a second container in the same workspace",
)
def marker() -> Iterator[None]:
    """Look elsewhere for it."""
    with changed('$sl_socket/started"', '$sl_socket/started.$$"'):
        yield


@fence(
    "a run that can't renew its lease stops itself",
    "Fence 7: self-stop",
    f"{EXECUTOR}a lease that nobody renews",
)
def self_stop() -> Iterator[None]:
    """Take any lease for a good one."""
    with changed("-ge $((sl_lost_after * 100)) ]", "-ge $((sl_lost_after * 100000)) ]"):
        yield
