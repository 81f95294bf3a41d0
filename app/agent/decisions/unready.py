"""Why a Pod that has a node runs no container, from the Events that its kubelet writes; pure.

While volumes are mounted and the sandbox is made, containers wait without a word in the Pod's status: only Events
tell of a missing ConfigMap or Secret, a disk that isn't attached, a network that gives no address.
"""

import datetime as dt
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from app import vocabulary as words
from app.agent.decisions.graces import DEFAULTS, Graces
from app.agent.decisions.starting import Problem
from app.agent.decisions.texts import sentence, shorten
from app.agent.pod_state import PodView
from protocol.runs import Outcome, Reason, Result

# Source: Kubernetes, pkg/kubelet/events/event.go, and the attach/detach controller for the second.
_TELLING: Final = {
    "FailedMount": "a volume can't be mounted",
    "FailedAttachVolume": "a volume can't be attached",
    "FailedMapVolume": "a volume can't be mapped",
    "FailedCreatePodSandBox": "the Pod's sandbox can't be made",
}
# What a kubelet does only once volumes and sandbox are there.
_PAST_IT: Final = frozenset({"Pulling", "Pulled", "Created", "Started"})
_SANDBOX_READY: Final = "PodReadyToStartContainers"

_MISSING: Final = re.compile(r"\bnot found\b|\bnon-existent\b", re.IGNORECASE)
# What a node just doesn't have yet, or any more, though the text says "not found".
_PASSING: Final = re.compile(r"volumeattachment|CSI driver|sandbox", re.IGNORECASE)

STALE: Final = 150.0
"""Seconds before the newest Event after which an older one is over: kubelets try a mount again at least every 122 s."""


@dataclass(frozen=True, slots=True)
class PodEvent:
    """An Event about a Pod; `last` is when it was last seen, in seconds since 1970."""

    kind: str
    reason: str
    message: str
    last: float


def parse_event(event: Mapping[str, Any]) -> PodEvent:
    """Return the view of an Event object."""
    series = event.get("series") or {}
    times = (event.get("lastTimestamp"), series.get("lastObservedTime"), event.get("eventTime"))
    last = next((each for each in times if each), event["metadata"].get("creationTimestamp"))
    return PodEvent(
        kind=event.get("type") or "",
        reason=event.get("reason") or "",
        message=event.get("message") or "",
        last=dt.datetime.fromisoformat(last).timestamp() if last else 0.0,
    )


def is_worth_a_look(pod: PodView) -> bool:
    """Return whether Events may tell why nothing of the Pod runs: it has a node, but no sandbox that is known of."""
    ready = pod.conditions.get(_SANDBOX_READY, {}).get("status")
    return bool(pod.node) and not pod.started and ready != words.CONDITION_TRUE


def problem(pod: PodView, events: Iterable[PodEvent], graces: Graces = DEFAULTS) -> Problem | None:
    """Return what keeps the Pod's volumes or sandbox from being there, None when its Events don't say.

    What doesn't exist counts after the grace of a container's configuration. Anything else may pass: a disk takes
    minutes to come over from another node, and gets as long as a node does.
    """
    found = list(events)
    if not is_worth_a_look(pod) or any(each.reason in _PAST_IT for each in found):
        return None
    telling = [each for each in found if each.kind == words.EVENT_WARNING and each.reason in _TELLING]
    newest = max((each.last for each in telling), default=0.0)
    standing = [each for each in telling if each.last >= newest - STALE]
    worst = max(standing, key=lambda each: (_is_missing(each), each.last), default=None)
    if worst is None:
        return None
    text = sentence(f"{_TELLING[worst.reason]} on node {pod.node}", worst.message or worst.reason)
    outcome = Outcome(Result.FAILED, Reason.CONFIG_ERROR, shorten(text), pod.exit_codes)
    return Problem(outcome, graces.container_config if _is_missing(worst) else graces.unschedulable, pod.uid)


def _is_missing(event: PodEvent) -> bool:
    return _MISSING.search(event.message) is not None and _PASSING.search(event.message) is None
