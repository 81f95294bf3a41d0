"""Watches that every claimed attempt gets its verdict; works from the caches, beside the work that makes verdicts.

It looks on its own, so that work which hangs or fails for ever is seen too. Every replica counts what it sees,
whoever owns the pool: a pool that nobody serves is counted as well.
"""

from collections.abc import Iterator

from app.agent.decisions import overdue, progress
from app.agent.decisions.graces import Graces
from app.agent.pod_state import PodView, parse_pod
from app.agent.roster import Roster
from app.agent.runtime import Clock, Cluster
from app.agent.worker_state import WorkerView, parse_worker
from app.cluster.objects import KubernetesObject
from protocol.runs import Phase


class VerdictWatch:
    """`look` is called now and then by one thread; `overdue` may be read by any."""

    def __init__(self, cluster: Cluster, roster: Roster, graces: Graces, clock: Clock) -> None:
        self._cluster, self._roster, self._graces, self._clock = cluster, roster, graces, clock
        self._since: dict[str, tuple[str, float]] = {}
        self.overdue = 0

    def look(self) -> None:
        """Count the attempts that have been without a verdict for longer than they may."""
        now, since, late = self._clock.monotonic(), {}, 0
        for worker in self._busy():
            label, limit = self._judge(worker)
            former = self._since.get(worker.uid)
            began = former[1] if former is not None and former[0] == label else now
            since[worker.uid] = label, began
            late += limit is not None and now - began > limit
        self._since, self.overdue = since, late

    def _busy(self) -> Iterator[WorkerView]:
        for found in self._cluster.workers.items():
            if _without_verdict(found):
                yield parse_worker(found)

    def _judge(self, worker: WorkerView) -> tuple[str, float | None]:
        """Return what is to be seen of the Worker's attempt, as a label, and how long it may be so."""
        run = worker.run
        if run is None:
            # Recorded by another version: nobody here will ever judge it.
            return "unreadable", overdue.MARGIN
        seen = progress.situation(run, self._pods(worker), self._graces)
        return f"{run.key}:{run.phase}:{seen.label}", overdue.allowed(run, seen, self._graces)

    def _pods(self, worker: WorkerView) -> list[PodView]:
        names = self._roster.pods((worker.namespace, worker.name))
        found = (self._cluster.pods.get(worker.namespace, name) for name in names)
        return [parse_pod(pod) for pod in found if pod is not None]


def _without_verdict(worker: KubernetesObject) -> bool:
    # Most Workers are idle: they aren't parsed.
    run = (worker.get("status") or {}).get("run")
    return run is not None and not (isinstance(run, dict) and run.get("phase") == Phase.FINISHED)
