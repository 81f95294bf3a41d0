"""What is told of a pool's Workers on the pool itself: type, reason and text of each Event; pure."""

from collections.abc import Iterator, Sequence
from typing import Final

from app import vocabulary as words
from app.agent.decisions import leaving
from app.agent.decisions.worker_events import EventText
from app.agent.pool_state import PoolView
from app.agent.worker_state import WorkerView
from app.reasons import EVENTS

NAMED: Final = 5
"""Workers that an Event names; the rest is a number."""


def of_workers(pool: PoolView, workers: Sequence[WorkerView]) -> Iterator[EventText]:
    """Return what there is to tell: whom a deleted pool waits for, and orphans of an earlier pool of its name."""
    own = [each for each in workers if leaving.belongs(each, pool.uid)]
    busy = [each for each in own if each.in_flight]
    if pool.deleting and busy:
        runs = [f"{each.name} (run {each.run.run})" if each.run else each.name for each in busy]
        text = f"The pool is deleted and waits for runs in flight on {_names(runs)}"
        yield _event(words.DELETION_WAITS_EVENT, text)
    orphans = sorted({each.owner_uid for each in workers if not leaving.belongs(each, pool.uid)})
    for owner in orphans:
        names = [each.name for each in workers if each.owner_uid == owner]
        text = (
            f"Workers of an earlier WorkerPool of this name are left and take no runs: {_names(names)}. "
            f"Delete them: kubectl delete workers -n {pool.namespace} -l {words.OWNER_LABEL}={owner}"
        )
        yield _event(words.ORPHANED_EVENT, text)


def _names(names: Sequence[str]) -> str:
    named = ", ".join(sorted(names)[:NAMED])
    return named if len(names) <= NAMED else f"{named} and {len(names) - NAMED} more"


def _event(reason: str, text: str) -> EventText:
    kind, _ = EVENTS[words.WORKER_POOL_KIND, reason]
    return kind, reason, text
