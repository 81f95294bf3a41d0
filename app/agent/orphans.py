"""Lets go of the Pods of Workers that somebody removed by force.

Such a Pod may work to its end: its run was granted, and its lease answers for it at the mothership. Its Secret goes
with it, and with the Secret its last owner, so that the garbage collector takes the Pod.
"""

import structlog

from app.agent import effects
from app.agent.pod_state import PodView, parse_pod
from app.agent.roster import Roster
from app.agent.runtime import Cluster, Counters, Key
from app.cluster.errors import Conflict

_log = structlog.get_logger(__name__)


class Orphans:
    """Works on Pods whose Worker the API server itself doesn't have any more."""

    def __init__(self, cluster: Cluster, roster: Roster, counters: Counters) -> None:
        self._cluster, self._roster, self._counters = cluster, roster, counters

    def sweep(self, worker: Key) -> None:
        """Let go of the Worker's Pods that have ended, or that somebody deletes."""
        for name in self._roster.pods(worker):
            found = self._cluster.pods.get(worker[0], name)
            pod = parse_pod(found) if found is not None else None
            if pod is not None and pod.guarded and (pod.terminal or pod.deleting):
                self._let_go(pod)

    def _let_go(self, pod: PodView) -> None:
        run, stage, sequence = pod.run, pod.stage, pod.sequence
        if effects.sweep_run_secret(self._cluster.api, pod.namespace, pod.worker, run, stage, sequence):
            self._counters.add("orphans_swept_Secret")
        try:
            effects.remove_verdict_finalizer(self._cluster.api, pod)
        except Conflict:
            # The kubelet was quicker; its change wakes us again with the newer Pod.
            self._counters.add("conflicts")
            return
        self._counters.add("orphans_swept_Pod")
        _log.warning("orphan_pod_swept", namespace=pod.namespace, pod=pod.name, run=run, sequence=sequence)
