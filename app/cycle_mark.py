"""The mark that a cycle leaves on its pool: which Workers are to be replaced; pure, shared by agent and hook.

The agent writes it (``app.agent.cycling``), the pool hook obeys it (``app.reconcile.scaling``). It stays for good:
Workers with a number at or below it are never wanted again, so that a request is carried out however often the hook
is called and whoever restarts.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import orjson

from app.contract.fields import object_in

MOST_SEQUENCE: Final = 2**40
"""Above this a number is somebody's slip: Workers' ULIDs have room for 48 bits of it."""


@dataclass(frozen=True, slots=True)
class CycleMark:
    """The request (a ULID) and the highest sequence number that a Worker of the pool had when it came."""

    id: str
    sequence: int

    def text(self) -> str:
        """Return the annotation's value."""
        return orjson.dumps({"id": self.id, "sequence": self.sequence}).decode()


def read_mark(annotation: str | None) -> CycleMark | None:
    """Return what the annotation says, None when there is none or somebody has made nonsense of it."""
    found = object_in(annotation)
    if found is None:
        return None
    request, sequence = found.get("id"), found.get("sequence")
    if not isinstance(request, str) or not isinstance(sequence, int) or isinstance(sequence, bool):
        return None
    return CycleMark(request, sequence) if request and 0 <= sequence <= MOST_SEQUENCE else None


def is_news(request: str, mark: CycleMark | None) -> bool:
    """Return whether a request is newer than the one that was carried out last. ULIDs sort by age."""
    return mark is None or request > mark.id


def next_mark(request: str, mark: CycleMark | None, sequences: Iterable[int]) -> CycleMark | None:
    """Return the mark that a request leaves on a pool with Workers of these numbers, None when it is no news.

    The number never falls: what an earlier request wanted replaced stays so.
    """
    if not is_news(request, mark):
        return None
    return CycleMark(request, max([*sequences, mark.sequence if mark else 0], default=0))
