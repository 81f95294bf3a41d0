"""What to do next for a Pod: which containers to start and stop, when to look again, whether it is over; pure.

The worker calls this after everything that happens to its Pod, carries the decision out and asks again.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from devcluster.node.observed import Containers, Running, Terminated, Waiting, init_containers, is_sidecar
from devcluster.node.shapes import Json


@dataclass(frozen=True)
class Decision:
    """Names of containers to start (in order) and to stop; `wake_at` is when a pause of one of them ends."""

    start: tuple[str, ...] = ()
    stop: tuple[str, ...] = ()
    wake_at: float | None = None
    finished: bool = False


def decide(
    pod: Json, observed: Containers, not_before: Mapping[str, float], now: float, stopping: bool
) -> Decision:
    """Return the next step; `not_before` holds the end of the pause of containers that must not start yet."""
    if stopping:
        return _stopping(pod, observed)
    # Whatever else is to be done: a container may be waiting for the end of its pause beside it.
    paused = [
        due for name, due in not_before.items() if due > now and isinstance(observed[name].state, Waiting)
    ]
    return replace(_next(pod, observed, not_before, now), wake_at=min(paused, default=None))


def _next(pod: Json, observed: Containers, not_before: Mapping[str, float], now: float) -> Decision:
    """Return what to start, or to stop because everything has come to its end."""
    again: tuple[str, ...] = ()
    for container in init_containers(pod):
        name, state = container["name"], observed[container["name"]].state
        if isinstance(state, Running):
            if not is_sidecar(container):
                return Decision(start=again)
        elif isinstance(state, Terminated):
            if state.exit_code != 0:
                return _stopping(pod, observed)
        elif is_sidecar(container) and observed[name].last is not None:
            # A sidecar that once ran doesn't hold up what comes after it while it waits to run again.
            if not_before.get(name, 0.0) <= now:
                again += (name,)
        else:
            return _first_start(name, not_before, now, again)
    return _containers(pod, observed, not_before, now, again)


def _first_start(name: str, not_before: Mapping[str, float], now: float, again: tuple[str, ...]) -> Decision:
    """Start an init container when its pause is over; nothing after it may start before."""
    due = not_before.get(name, 0.0)
    return Decision(start=(*again, name) if due <= now else again)


def _containers(
    pod: Json, observed: Containers, not_before: Mapping[str, float], now: float, again: tuple[str, ...]
) -> Decision:
    """Start the containers that wait; when all have ended for good, the Pod is over."""
    names = [container["name"] for container in pod["spec"]["containers"]]
    if all(isinstance(observed[name].state, Terminated) for name in names):
        return _stopping(pod, observed)
    waiting = [name for name in names if isinstance(observed[name].state, Waiting)]
    due_now = tuple(name for name in waiting if not_before.get(name, 0.0) <= now)
    return Decision(start=again + due_now)


def _stopping(pod: Json, observed: Containers) -> Decision:
    """Stop containers, then native sidecars one by one from the last to the first; over when none runs."""
    running = [name for name, each in observed.items() if isinstance(each.state, Running)]
    sidecars = [each["name"] for each in init_containers(pod) if is_sidecar(each) and each["name"] in running]
    ordinary = tuple(name for name in running if name not in sidecars)
    if ordinary:
        return Decision(stop=ordinary)
    if sidecars:
        return Decision(stop=(sidecars[-1],))
    return Decision(finished=True)
