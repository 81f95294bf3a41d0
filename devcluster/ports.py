"""Loopback ports that stay a cluster's own while it lives, however many clusters start at once."""

from __future__ import annotations

import random
import socket
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import TracebackType
from typing import Self

from devcluster.progress import ClusterError

LOOPBACK = "127.0.0.1"
# Below the range that kernels hand out to outgoing connections and to bind(0), so that nothing takes a port by chance
# while its component is down between a kill and a restart.
FIRST, LAST = 20000, 29999


class Ports(Mapping[str, int]):
    """The ports of one cluster by purpose, reserved until `release`.

    The reservation is a socket in Linux's abstract namespace: it has the scope of a port (one network namespace, all
    users), vanishes with its process, and leaves no file.
    """

    def __init__(self, purposes: Iterable[str]) -> None:
        """Reserve a free port for each purpose."""
        self._marks: list[socket.socket] = []
        candidates = _candidates()
        self._ports = {purpose: self._reserve(purpose, candidates) for purpose in purposes}

    def __getitem__(self, purpose: str) -> int:
        return self._ports[purpose]

    def __iter__(self) -> Iterator[str]:
        return iter(self._ports)

    def __len__(self) -> int:
        return len(self._ports)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def release(self) -> None:
        """Give the ports back."""
        for mark in self._marks:
            mark.close()
        self._marks.clear()

    def _reserve(self, purpose: str, candidates: Iterator[int]) -> int:
        for port in candidates:
            mark = mark_of(port)
            if mark is None:
                continue
            self._marks.append(mark)
            if is_free(port):
                return port
        msg = f"no free port for {purpose} on {LOOPBACK} between {FIRST} and {LAST}"
        raise ClusterError(msg)


def mark_of(port: int) -> socket.socket | None:
    """Take the mark that says a cluster owns `port`; None when another has it."""
    mark = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    if sys.platform != "linux":
        return mark
    try:
        mark.bind(f"\0spacelift-workerpool/port/{port}")
    except OSError:
        mark.close()
        return None
    return mark


def is_free(port: int) -> bool:
    """Say whether nothing listens on the port."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # What every server here does too: a connection of a former owner in TIME_WAIT is no obstacle.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError:
            return False
        return True


def _candidates(pick: Callable[[int, int], int] = random.randint) -> Iterator[int]:
    start = pick(FIRST, LAST)
    span = LAST - FIRST + 1
    return (FIRST + (start - FIRST + step) % span for step in range(span))
