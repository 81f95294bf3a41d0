"""What holds a Worker that is to go, and whose it is; pure.

A Worker belongs to the WorkerPool object that it was made for, known by its UID. One whose pool object is gone, as
after ``kubectl delete workerpool --cascade=orphan``, is an orphan: no hook is called for its pool any more, and a new
pool of the same name is another one. It ends its run, leaves the mothership, and stays until somebody deletes it.
"""

from app import vocabulary as words
from app.agent.pool_state import PoolView
from app.agent.worker_state import WorkerView
from protocol.runs import Phase


def belongs(worker: WorkerView, pool_uid: str) -> bool:
    """Return whether a Worker was made for this pool object; one that doesn't say counts as made for it."""
    return worker.owner_uid in ("", pool_uid)


def may_be_orphan(worker: WorkerView, pool: PoolView | None) -> bool:
    """Return whether it is worth asking the API server for the Worker's pool: the caches lag each by itself."""
    if worker.deleting or not worker.owner_uid:
        return False
    return pool is None or not belongs(worker, pool.uid)


def needs_session(worker: WorkerView) -> bool:
    """Return whether there is still something to tell the mothership about a Worker whose pool is gone."""
    return worker.in_flight or worker.registration != words.REGISTRATION_GONE


def held_by(worker: WorkerView, *, connected: bool) -> str | None:
    """Return what a deleted Worker waits for, as words for its user; None when it is on its way.

    `connected`: the mothership can be told right now, so that what it has to be told takes no time worth a word.
    """
    if not worker.deleting:
        return None
    if not worker.understood:
        return "its recorded run is one that this version of the operator can't read"
    if worker.run is not None and worker.run.phase is not Phase.FINISHED:
        return f"run {worker.run.run} is in flight and goes on to its end"
    if connected:
        return None
    if worker.run is not None:
        return f"the mothership can't be told the verdict on run {worker.run.run}"
    if worker.registration == words.REGISTRATION_DEREGISTERING:
        return "the mothership can't be told that this worker goes away"
    return None
