"""Reading Workers and their Pods from the caches, and writing Worker.status: the one place that does."""

from typing import Any

from app.agent.decisions.conditions import with_conditions
from app.agent.pod_state import PodView, parse_pod
from app.agent.roster import Roster
from app.agent.runtime import Clock, Cluster, Key
from app.agent.worker_state import WorkerView, parse_worker
from app.cluster.errors import NotFound
from app.cluster.resources import WORKERS
from protocol.runs import Outcome


class StatusWriter:
    """Keeps cache and roster in step with our own writes, and the conditions in step with the rest of the status."""

    def __init__(self, cluster: Cluster, roster: Roster, clock: Clock) -> None:
        self._cluster, self._roster, self._clock = cluster, roster, clock

    def observed(self, key: Key) -> WorkerView | None:
        """Return the newest known view of a Worker."""
        found = self._cluster.workers.get(*key)
        return parse_worker(found) if found is not None else None

    def live(self, key: Key) -> WorkerView | None:
        """Return the Worker from the API server itself, None when it doesn't exist there."""
        try:
            found = self._cluster.api.get(WORKERS, *key)
        except NotFound:
            return None
        return self._take_in(found)

    def write(
        self, worker: WorkerView, patch: dict[str, Any], rejected: tuple[str, Outcome] | None = None
    ) -> WorkerView:
        """Patch the status, conditions included; raise Conflict when the Worker isn't what it was decided on.

        `rejected` is a run that ends without having been the Worker's, and how it ends.
        """
        patch = with_conditions(worker, patch, self._clock.timestamp(), rejected)
        patched = self._cluster.api.merge_patch(WORKERS, worker.namespace, worker.name, patch, "status")
        return self._take_in(patched)

    def pods(self, worker: WorkerView) -> list[PodView]:
        """Return the run Pods made for this Worker, of whatever attempt."""
        found = (
            self._cluster.pods.get(worker.namespace, name)
            for name in self._roster.pods((worker.namespace, worker.name))
        )
        views = [parse_pod(pod) for pod in found if pod is not None]
        return [view for view in views if view.worker == worker.ulid]

    def _take_in(self, found: dict[str, Any]) -> WorkerView:
        self._cluster.workers.remember(found)
        view = parse_worker(found)
        self._roster.note(view)
        return view
