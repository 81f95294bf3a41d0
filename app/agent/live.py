"""Looks at run Pods at the API server itself, and takes in what it shows: a watch cache may simply be late."""

from enum import Enum

from app.agent.pod_state import parse_pod
from app.agent.roster import Roster
from app.agent.runtime import Cluster
from app.agent.worker_state import Attempt, WorkerView
from app.cluster.errors import NotFound
from app.cluster.objects import KubernetesObject
from app.cluster.resources import PODS


class Shown(Enum):
    """What the API server shows of a Pod."""

    GONE = "gone"
    AS_KNOWN = "as known"
    NEWER = "newer than known"


class LivePods:
    """One read for each question; what is newer than the cache is readable from it afterwards."""

    def __init__(self, cluster: Cluster, roster: Roster) -> None:
        self._cluster, self._roster = cluster, roster

    def show(self, worker: WorkerView, run: Attempt, uid: str | None) -> Shown:
        """Compare the Pod of this UID with what the cache has of it; another Pod of its name is not it."""
        found = self._get(worker, run)
        if found is None or found["metadata"]["uid"] != uid:
            return Shown.GONE
        known = self._cluster.pods.get(worker.namespace, run.pod_name)
        if known is not None and known["metadata"]["resourceVersion"] == found["metadata"]["resourceVersion"]:
            return Shown.AS_KNOWN
        self._take_in(found)
        return Shown.NEWER

    def finds(self, worker: WorkerView, run: Attempt) -> bool:
        """Return whether a Pod of this attempt exists, whatever its UID."""
        found = self._get(worker, run)
        if found is None:
            return False
        pod = parse_pod(found)
        if (pod.key, pod.worker) != (run.key, worker.ulid):
            return False
        self._take_in(found)
        return True

    def _get(self, worker: WorkerView, run: Attempt) -> KubernetesObject | None:
        try:
            return self._cluster.api.get(PODS, worker.namespace, run.pod_name)
        except NotFound:
            return None

    def _take_in(self, found: KubernetesObject) -> None:
        self._roster.note_pod(found, exists=True)
        self._cluster.pods.remember(found)
