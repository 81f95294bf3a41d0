"""Identity of Workers: which ULID belongs to a sequence number, and which numbers are used next.

Hooks are called with lagging caches and more than once for one state, so nothing here is invented: a ULID is a
function of the pool object's UID and a sequence number, and the pool's status carries H, the highest *closed*
number. Numbers up to H are never used again; H moves only over the contiguous observed run above it, since a
gap may be a Worker that this view doesn't show yet.
"""

from __future__ import annotations

from collections.abc import Collection
from hashlib import sha256
from itertools import count, islice

from ulid import ULID

_TIME_BYTES = 6
_RANDOM_BYTES = 10


def worker_ulid(pool_uid: str, sequence: int) -> str:
    """Return the ULID of a pool's Worker, upper-case.

    Its time part is the sequence number, so Workers sort by age; its random part is the first 80 bits of
    sha256("<pool uid>:<sequence>"), so two pools never share one.
    """
    digest = sha256(f"{pool_uid}:{sequence}".encode()).digest()
    return str(ULID.from_bytes(sequence.to_bytes(_TIME_BYTES, "big") + digest[:_RANDOM_BYTES]))


def high_water_mark(closed: int, observed: Collection[int]) -> int:
    """Return H after an observation: `closed`, moved over the contiguous observed run that starts above it."""
    while closed + 1 in observed:
        closed += 1
    return closed


def next_sequences(closed: int, observed: Collection[int], missing: int) -> list[int]:
    """Return the `missing` lowest numbers above H that no observed Worker has, terminating ones included."""
    unobserved = (number for number in count(closed + 1) if number not in observed)
    return list(islice(unobserved, max(missing, 0)))
