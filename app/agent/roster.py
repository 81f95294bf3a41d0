"""Indexes over what the watches show: the Workers of each pool and the Pods of each Worker.

Kept by the informers' changes and by our own writes, so that no decision about one Worker costs a walk over all.
"""

import threading
from dataclasses import dataclass

from app.agent.decisions.registration import RosterEntry, roster_entry
from app.agent.pod_state import worker_name_of
from app.agent.runtime import Key
from app.agent.worker_state import WorkerView
from app.cluster.objects import KubernetesObject


@dataclass(frozen=True, slots=True)
class Member:
    """A Worker of a pool, as far as pool-wide policies need it."""

    name: str
    entry: RosterEntry
    kept_pods: tuple[str, ...]


class Roster:
    """Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._members: dict[Key, dict[str, Member]] = {}
        self._pods: dict[Key, set[str]] = {}

    def note(self, worker: WorkerView) -> bool:
        """Take in a Worker's newest view; return whether pool-wide policies see something new in it."""
        member = Member(worker.name, roster_entry(worker), worker.kept_pods)
        with self._lock:
            members = self._members.setdefault((worker.namespace, worker.pool_name), {})
            changed = members.get(worker.name) != member
            members[worker.name] = member
        return changed

    def forget(self, worker: WorkerView) -> None:
        """Take a Worker out that doesn't exist any more."""
        pool = worker.namespace, worker.pool_name
        with self._lock:
            members = self._members.get(pool, {})
            members.pop(worker.name, None)
            if not members:
                self._members.pop(pool, None)

    def members(self, pool: Key) -> list[Member]:
        """Return the Workers of a pool."""
        with self._lock:
            return list(self._members.get(pool, {}).values())

    def note_pod(self, pod: KubernetesObject, *, exists: bool) -> Key | None:
        """Take in a Pod; return the key of its Worker, None when it isn't a run Pod."""
        name = worker_name_of(pod)
        if name is None:
            return None
        key = pod["metadata"]["namespace"], name
        with self._lock:
            names = self._pods.setdefault(key, set())
            if exists:
                names.add(pod["metadata"]["name"])
            else:
                names.discard(pod["metadata"]["name"])
            if not names:
                self._pods.pop(key, None)
        return key

    def pods(self, worker: Key) -> list[str]:
        """Return the names of a Worker's Pods."""
        with self._lock:
            return sorted(self._pods.get(worker, ()))
