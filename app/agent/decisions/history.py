"""Which finished Pods are kept for people to look at, worked out over the whole pool; pure.

The oldest go first. A Pod that was let go is never asked back.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from app.agent.pod_state import PodView
from protocol.runs import Outcome, Result


@dataclass(frozen=True, slots=True)
class KeptPod:
    """A finished Pod that is kept, or could be."""

    worker: str
    name: str
    succeeded: bool
    finished_at: str


def keepable(pod: PodView, outcome: Outcome) -> bool:
    """Return whether a Pod is worth keeping: it ended by itself, and nothing of it runs on.

    A canceled attempt's Pod has nothing to show, and a Pod with a sidecar that still runs would cost its
    requests for ever.
    """
    return outcome.result is not Result.CANCELED and not pod.deleting and pod.quiet


def plan(pods: Iterable[KeptPod], *, failed_limit: int, successful_limit: int) -> set[tuple[str, str]]:
    """Return (worker, Pod name) of the Pods that are kept: the newest of each kind up to its limit."""
    newest = sorted(pods, key=lambda each: (each.finished_at, each.name), reverse=True)
    failed = [each for each in newest if not each.succeeded][:failed_limit]
    successful = [each for each in newest if each.succeeded][:successful_limit]
    return {(each.worker, each.name) for each in (*failed, *successful)}
