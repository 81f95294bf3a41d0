"""Which finished Pods a Worker keeps, with the whole pool in view: gathers what `decisions.history` judges."""

import datetime as dt
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from app.agent.decisions import history, verdict
from app.agent.pod_state import PodView, parse_pod
from app.agent.pool_state import PoolView
from app.agent.roster import Member, Roster
from app.agent.runtime import Clock, Cluster
from app.agent.worker_state import WorkerView
from app.cluster.objects import KubernetesObject
from protocol.runs import Result

LONGEST_LOOK = 86400.0
"""Seconds until a Pod's age is looked at again at the latest: a thread can't wait for the centuries a pool may name."""

MOST_JUDGED = 20_000
"""Pods whose judgement is remembered; about 300 bytes each."""


@dataclass(frozen=True, slots=True)
class Kept:
    """Names of a Worker's Pods that are kept, and after how many seconds the next may be too old (None: none will be)."""

    names: list[str]
    look_after: float | None


class Keeping:
    """Works from the caches alone: a Pod too many or too few in a history harms no run.

    A Pod that is being deleted, or is gone, is neither kept nor counted.
    """

    def __init__(self, cluster: Cluster, roster: Roster, clock: Clock) -> None:
        self._cluster, self._roster, self._clock = cluster, roster, clock
        self._judged: dict[str, tuple[str, history.KeptPod]] = {}

    def kept(self, worker: WorkerView, pool: PoolView | None, candidate: PodView | None = None) -> Kept:
        """Return what is kept of this Worker's Pods, `candidate` included if it is worth it."""
        if pool is None:
            return Kept([], None)
        own = {each.name: each for each in self._own(worker)}
        if candidate is not None:
            own[candidate.name] = _kept_pod(worker.name, candidate)
        planned = self._plan(worker, pool, own.values())
        names = [name for name in own if (worker.name, name) in planned]
        ends = [end for name in names if (end := planned[worker.name, name]) is not None]
        return Kept(names, min(*ends, LONGEST_LOOK) if ends else None)

    def others_with_too_many(self, worker: WorkerView, pool: PoolView | None) -> list[str]:
        """Return the names of the pool's other Workers that keep Pods which must go for this Worker's."""
        own = list(self._own(worker))
        if pool is None or not _counted(own, pool):
            return []
        planned = self._plan(worker, pool, own)
        return [
            each.name
            for each in self._others(worker)
            if any((each.name, name) not in planned for name in each.kept_pods)
        ]

    def _plan(
        self, worker: WorkerView, pool: PoolView, own: Iterable[history.KeptPod]
    ) -> dict[tuple[str, str], float | None]:
        pods = list(own)
        if _counted(pods, pool):
            # A pool that keeps all successful Pods may have thousands: they are looked at only where number matters.
            for member in self._others(worker):
                pods.extend(self._pods(worker.namespace, member.name, member.kept_pods))
        return history.plan(pods, pool.history, self._clock.now().timestamp())

    def _own(self, worker: WorkerView) -> Iterator[history.KeptPod]:
        return self._pods(worker.namespace, worker.name, worker.kept_pods)

    def _pods(self, namespace: str, worker: str, names: Iterable[str]) -> Iterator[history.KeptPod]:
        for name in names:
            found = self._cluster.pods.get(namespace, name)
            if found is not None and "deletionTimestamp" not in found["metadata"]:
                yield self._judge(worker, found)

    def _judge(self, worker: str, found: KubernetesObject) -> history.KeptPod:
        """Return what history needs of a Pod, remembered by its version: each Worker looks at the whole pool's Pods."""
        uid, version = found["metadata"]["uid"], found["metadata"]["resourceVersion"]
        known = self._judged.get(uid)
        if known is not None and known[0] == version:
            return known[1]
        if len(self._judged) >= MOST_JUDGED:
            self._judged.clear()
        kept = _kept_pod(worker, parse_pod(found))
        self._judged[uid] = version, kept
        return kept

    def _others(self, worker: WorkerView) -> list[Member]:
        members = self._roster.members((worker.namespace, worker.pool_name))
        return [each for each in members if each.kept_pods and each.name != worker.name]


def _counted(pods: Iterable[history.KeptPod], pool: PoolView) -> bool:
    """Return whether the pool bounds the number of any of these Pods, so that other Workers' Pods matter to them.

    Of failed ones it always does: a run has one in all, whatever Workers it was on.
    """
    return any(not each.succeeded or pool.history.of(each).limit is not None for each in pods)


def _kept_pod(worker: str, pod: PodView) -> history.KeptPod:
    succeeded = verdict.judge(pod).result is Result.SUCCEEDED
    return history.KeptPod(worker, pod.name, succeeded, _created(pod), pod.finished_at, pod.run)


def _created(pod: PodView) -> float:
    return dt.datetime.fromisoformat(pod.created_at).timestamp()
