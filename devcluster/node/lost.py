"""What became of a Pod's containers when the node itself had died: they are lost and never started again; pure."""

from collections.abc import Callable

from devcluster.node.observed import LOST, Observed, Terminated, Verdict, Waiting, all_containers
from devcluster.node.shapes import Json

LOST_VERDICT = Verdict("NodeRestarted", "The node was restarted and its containers died with it")


def recover(pod: Json, was_started: Callable[[str], bool], now: str) -> dict[str, Observed] | None:
    """Return the containers of a Pod of which something had been started, None when nothing had.

    What the API server has of containers that ended is kept. A container that ran by the API server's knowledge, or
    that the node's own notes say it was about to start, is lost.
    """
    status = pod.get("status") or {}
    entries = {
        each["name"]: each
        for key in ("initContainerStatuses", "containerStatuses")
        for each in status.get(key) or []
    }
    found = {}
    for container in all_containers(pod):
        name = container["name"]
        found[name] = _recovered(entries.get(name) or {}, was_started(name), now)
    touched = any(not isinstance(each.state, Waiting) for each in found.values())
    return found if touched else None


def _recovered(entry: Json, was_started: bool, now: str) -> Observed:
    """Return one container as it is known after a restart of the node."""
    state = entry.get("state") or {}
    restarts = entry.get("restartCount", 0)
    ended = state.get("terminated")
    if ended is not None:
        known = Terminated(
            exit_code=ended.get("exitCode", 0),
            reason=ended.get("reason", ""),
            finished_at=ended.get("finishedAt") or now,
            started_at=ended.get("startedAt") or "",
            message=ended.get("message", ""),
            container_id=entry.get("containerID", ""),
            image_id=entry.get("imageID", ""),
        )
        return Observed(known, restarts)
    if "running" in state or was_started:
        lost = Terminated(
            exit_code=137,
            reason="ContainerStatusUnknown",
            finished_at=now,
            started_at=(state.get("running") or {}).get("startedAt", ""),
            message=LOST,
            container_id=entry.get("containerID", ""),
            image_id=entry.get("imageID", ""),
        )
        return Observed(lost, restarts)
    return Observed(Waiting(), restarts)
