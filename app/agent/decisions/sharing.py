"""Which replica of the operator works on which pool; pure.

Each replica renews one Lease. The others never compare clocks: a Lease counts as dead only when a look at the API
server, begun a whole duration after they saw it change last, still shows it unchanged. A broken watch or a missed
look therefore keeps a replica alive in their eyes; it never makes two owners.

A replica stops owning ``deadline`` seconds after the start of its last good renewal, which is sooner than the others
may take over (deadline < duration), so ownership that ends by silence never overlaps. Ownership that moves because a
replica joins may overlap for as long as the news travels; the grant and the resourceVersion fence what happens then.
"""

import hashlib
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

ABANDONED_AFTER = 600.0
"""Seconds without a change after which a dead replica's Lease is litter: what was killed can't delete its own."""


@dataclass(frozen=True, slots=True)
class Timing:
    """Seconds. A Lease is good for `duration`, renewed every `interval`, and given up when none succeeded for `deadline`.

    Only with interval < deadline < duration does ownership never overlap; the settings refuse anything else.
    """

    duration: float = 15.0
    deadline: float = 10.0
    interval: float = 5.0
    retry: float = 1.0


@dataclass(frozen=True, slots=True)
class Lease:
    """A replica's Lease as an answer of the API server shows it.

    `version` orders the states of the collection; `duration` is the holder's own, in seconds; `fit` says whether the
    holder can work on pools at all.
    """

    name: str
    replica: str
    holder: str
    uid: str
    version: int
    duration: float
    fit: bool


@dataclass(frozen=True, slots=True)
class Sighting:
    """Another replica's Lease, when this state of it was first seen, and when a live look last began to confirm it.

    Both are times of this process's own monotonic clock.
    """

    lease: Lease
    changed: float
    looked: float

    @property
    def alive(self) -> bool:
        """Whether its replica must be taken to work."""
        return self.looked - self.changed < self.lease.duration

    @property
    def abandoned(self) -> bool:
        """Whether nobody will ever renew it."""
        return self.looked - self.changed >= max(ABANDONED_AFTER, self.lease.duration)


Sightings = Mapping[str, Sighting]
"""The Leases of the other replicas by the Lease's name."""


def noticed(sightings: Sightings, lease: Lease, now: float) -> Sightings:
    """Take in a state that a watch or a look showed; an older one than is known changes nothing."""
    known = sightings.get(lease.name)
    if known is not None and known.lease.version >= lease.version:
        return sightings
    return {**sightings, lease.name: Sighting(lease, now, now)}


def vanished(sightings: Sightings, name: str, version: int) -> Sightings:
    """Take in that a Lease was deleted in the collection's state `version`."""
    known = sightings.get(name)
    if known is None or known.lease.version > version:
        return sightings
    return {key: each for key, each in sightings.items() if key != name}


def looked(sightings: Sightings, leases: Iterable[Lease], began: float, now: float) -> Sightings:
    """Take in all Leases, as a look shows them that began at `began` and was answered at `now`."""
    found = {lease.name: lease for lease in leases}
    # What was first seen after the look began may be younger than its answer.
    kept: Sightings = {
        name: each for name, each in sightings.items() if name in found or each.changed >= began
    }
    for lease in found.values():
        known = kept.get(lease.name)
        if known is not None and lease.version < known.lease.version and known.changed < began:
            # The API server was restored from a backup: what it says now counts, however old its numbers are.
            kept = {**kept, lease.name: Sighting(lease, now, now)}
        else:
            kept = noticed(kept, lease, now)
    return {name: _confirmed(each, found.get(name), began) for name, each in kept.items()}


def _confirmed(sighting: Sighting, found: Lease | None, began: float) -> Sighting:
    if found is None or found.version != sighting.lease.version or began <= sighting.looked:
        return sighting
    return Sighting(sighting.lease, sighting.changed, began)


def next_look(sightings: Sightings) -> float | None:
    """Return when a look can next find a replica dead, or its Lease abandoned; None: it never will as things are."""
    times = (
        each.changed + (each.lease.duration if each.alive else max(ABANDONED_AFTER, each.lease.duration))
        for each in sightings.values()
        if not each.abandoned
    )
    return min(times, default=None)


def members(replica: str, sightings: Sightings, *, fit: bool) -> frozenset[str]:
    """Return the replicas that the pools are divided between, as `replica` sees it.

    Replicas that can work on pools go first: one whose new version doesn't fit this cluster takes nothing from the
    others. When none is fit, all share, so that somebody says what is wrong.
    """
    living = {each.lease.replica: each.lease.fit for each in sightings.values() if each.alive}
    living[replica] = fit
    able = {name for name, can in living.items() if can}
    return frozenset(able or living)


def owner(pool: tuple[str, str], replicas: Collection[str]) -> str | None:
    """Return the replica that works on a pool (namespace, name), None when there is none.

    Rendezvous hashing: every replica has a weight for every pool and the heaviest wins, so a replica that comes
    or goes moves no pools but its own.
    """
    return max(replicas, key=lambda replica: (_weight(replica, pool), replica), default=None)


def _weight(replica: str, pool: tuple[str, str]) -> bytes:
    namespace, name = pool
    # No part can hold a slash, so no two pairs are written alike.
    text = f"{replica}/{namespace}/{name}".encode()
    return hashlib.blake2b(text, digest_size=8).digest()
