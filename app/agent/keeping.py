"""Which finished Pods a Worker keeps, with the whole pool in view: gathers what `decisions.history` judges."""

from app.agent.decisions import history, verdict
from app.agent.pod_state import PodView, parse_pod
from app.agent.pool_state import PoolView
from app.agent.roster import Member, Roster
from app.agent.runtime import Cluster
from app.agent.worker_state import WorkerView
from protocol.runs import Result


class Keeping:
    """Works from the caches alone: a Pod too many or too few in a history harms no run."""

    def __init__(self, cluster: Cluster, roster: Roster) -> None:
        self._cluster, self._roster = cluster, roster

    def kept(self, worker: WorkerView, pool: PoolView | None, candidate: PodView | None = None) -> list[str]:
        """Return the names of this Worker's Pods that are kept, `candidate` included if it is worth it."""
        planned = self._planned(worker, pool, candidate)
        names = [*worker.kept_pods, *([candidate.name] if candidate else [])]
        return [name for name in dict.fromkeys(names) if (worker.name, name) in planned]

    def others_with_too_many(self, worker: WorkerView, pool: PoolView | None) -> list[str]:
        """Return the names of the pool's other Workers that keep Pods which must go now."""
        others = [each for each in self._members(worker) if each.kept_pods and each.name != worker.name]
        planned = self._planned(worker, pool, None) if others else set()
        return [
            each.name for each in others if any((each.name, name) not in planned for name in each.kept_pods)
        ]

    def _planned(
        self, worker: WorkerView, pool: PoolView | None, candidate: PodView | None
    ) -> set[tuple[str, str]]:
        if pool is None:
            return set()
        pods = [_kept_pod(worker.name, candidate)] if candidate else []
        for member in self._members(worker):
            for name in member.kept_pods:
                found = self._cluster.pods.get(worker.namespace, name)
                if found is not None:
                    pods.append(_kept_pod(member.name, parse_pod(found)))
        return history.plan(pods, failed_limit=pool.failed_history, successful_limit=pool.successful_history)

    def _members(self, worker: WorkerView) -> list[Member]:
        return self._roster.members((worker.namespace, worker.pool_name))


def _kept_pod(worker: str, pod: PodView) -> history.KeptPod:
    succeeded = verdict.judge(pod).result is Result.SUCCEEDED
    return history.KeptPod(worker, pod.name, succeeded, pod.finished_at)
