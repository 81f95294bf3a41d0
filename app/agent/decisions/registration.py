"""When a Worker is registered with the mothership, and when it is let go; pure.

No more than ``poolSize`` Workers are ever registered (a shrinking pool's busy ones apart): surplus Worker objects,
which no pure hook can rule out, cost nothing as long as the mothership doesn't know them.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import StrEnum

from app import vocabulary as words
from app.agent.decisions.graces import DEFAULTS, Graces
from app.agent.worker_state import WorkerView


@dataclass(frozen=True, slots=True)
class RosterEntry:
    """What admission needs to know of one Worker.

    `pending`: as far as its status tells, the mothership doesn't know it. `owner` is the UID of the pool object that it
    was made for.
    """

    uid: str
    sequence: int
    occupies: bool
    eligible: bool
    owner: str = ""
    pending: bool = False


class Farewell(StrEnum):
    """What is next for a Worker that leaves."""

    STAY = "stay"
    BEGIN = "begin"
    WAIT = "wait"
    CONFIRMED = "confirmed"
    UNCONFIRMED = "unconfirmed"


def roster_entry(worker: WorkerView) -> RosterEntry:
    """Return what admission needs to know of `worker`."""
    pending = worker.registration == words.REGISTRATION_PENDING
    return RosterEntry(
        uid=worker.uid,
        sequence=worker.sequence,
        occupies=worker.registered,
        eligible=pending and worker.managed and not worker.deleting and worker.understood,
        owner=worker.owner_uid,
        pending=pending,
    )


def of_pool(roster: Iterable[RosterEntry], pool_uid: str) -> list[RosterEntry]:
    """Return the entries of one pool object.

    Orphans of an earlier one of its name take nobody's place: they claim nothing, and leave once their run has ended.
    """
    return [each for each in roster if each.owner in ("", pool_uid)]


def admissible(roster: Iterable[RosterEntry], admitted: Collection[str], pool_size: int) -> set[str]:
    """Return the UIDs of the Workers that may be registered now: the lowest sequences, up to the pool's size.

    `admitted` are those that were registered before in this process; they keep their place while they exist,
    so that a lower sequence that comes back never makes one too many. One that was deleted before `registered` came
    keeps it, too: the mothership may know it, until it is told otherwise.
    """
    entries = list(roster)
    holding = {each.uid for each in entries if each.occupies or (each.pending and each.uid in admitted)}
    free = pool_size - len(holding)
    waiting = sorted(
        (each.sequence, each.uid) for each in entries if each.eligible and each.uid not in holding
    )
    again = {each.uid for each in entries if each.eligible and each.uid in holding}
    return again | {uid for _, uid in waiting[: max(free, 0)]}


def farewell(
    worker: WorkerView,
    *,
    admitted: bool,
    answered: bool,
    waited: float,
    graces: Graces = DEFAULTS,
    orphaned: bool = False,
) -> Farewell:
    """Return what is next for a Worker that may be on its way out.

    `admitted`: this process has sent `register` for it; `answered`: `unregistered` came; `waited`: seconds since
    the agent first saw that it may go.
    """
    if (
        not (worker.deleting or orphaned)
        or worker.in_flight
        or worker.registration == words.REGISTRATION_GONE
    ):
        return Farewell.STAY
    if worker.registration == words.REGISTRATION_PENDING and not admitted:
        return Farewell.CONFIRMED
    if worker.registration != words.REGISTRATION_DEREGISTERING:
        return Farewell.BEGIN
    if answered:
        return Farewell.CONFIRMED
    return Farewell.UNCONFIRMED if waited >= graces.deregistration else Farewell.WAIT
