"""What keeps a Pod that has a node from running anything: the run's own Secret, or what its kubelet tells in Events."""

import structlog

from app.agent.decisions import unready
from app.agent.decisions.graces import Graces
from app.agent.decisions.starting import Problem
from app.agent.pod_state import PodView
from app.agent.runtime import Cluster
from app.cluster.errors import Forbidden
from app.cluster.resources import EVENTS

LONGEST_PAUSE = 60.0
"""Seconds between two looks at most."""

_log = structlog.get_logger(__name__)


class StartWatch:
    """Asks the API server; Events are listed for the one Pod, now and then, and never watched."""

    def __init__(self, cluster: Cluster, graces: Graces) -> None:
        self._cluster, self._graces = cluster, graces

    def problem(self, pod: PodView) -> Problem | None:
        """Return what the Pod's Events tell, None when they tell nothing or may not be read."""
        if not unready.is_worth_a_look(pod):
            return None
        try:
            found = self._cluster.api.list(
                EVENTS, pod.namespace, field_selector=f"involvedObject.uid={pod.uid}"
            )
        except Forbidden as error:
            # A role from before: the run waits for its deadline as it did then.
            _log.warning("pod_events_forbidden", namespace=pod.namespace, error=error.message)
            return None
        return unready.problem(pod, map(unready.parse_event, found.items), self._graces)

    def pause(self, held: float, found: Problem | None) -> float:
        """Return after how many seconds to look again: twice as long each time, but not past the problem's grace."""
        pause = min(max(held, 1.0), LONGEST_PAUSE)
        return pause if found is None else max(min(pause, found.grace - held), 0.1)
