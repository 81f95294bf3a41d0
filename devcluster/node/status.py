"""A Pod's status from what was observed of its containers, as a kubelet reports it; pure.

Terminal phases are reported only once nothing of the Pod can be running any more, so that whoever reads
`Failed` or `Succeeded` may rely on the work having ended.
"""

from dataclasses import dataclass, replace
from typing import Any

from devcluster.node.observed import (
    LOST,
    Containers,
    Observed,
    Running,
    Terminated,
    Verdict,
    Waiting,
    all_containers,
    init_containers,
    is_sidecar,
)
from devcluster.node.shapes import Json


@dataclass(frozen=True)
class Situation:
    """What a status says beside its containers. `over` means that nothing runs and nothing will run."""

    address: str
    now: str
    start_time: str
    sandbox_ready: bool
    over: bool = False
    verdict: Verdict | None = None


def pod_status(pod: Json, observed: Containers, situation: Situation, previous: Json) -> Json:
    """Return the whole status that the node reports; `previous` is the last one, for times of transition."""
    if situation.verdict is not None and situation.verdict.rejected:
        return _rejected(pod, situation, situation.verdict)
    if situation.over:
        observed = settled(pod, observed)
    phase = pod_phase(pod, observed, situation)
    status: Json = {
        "phase": phase,
        "observedGeneration": pod["metadata"].get("generation"),
        "hostIP": situation.address,
        "hostIPs": [{"ip": situation.address}],
        "startTime": situation.start_time,
        "conditions": _conditions(pod, observed, situation, phase, previous),
        "containerStatuses": [_container_status(pod, each, observed) for each in pod["spec"]["containers"]],
    }
    if situation.sandbox_ready:
        status |= {"podIP": situation.address, "podIPs": [{"ip": situation.address}]}
    if init_containers(pod):
        status["initContainerStatuses"] = [
            _container_status(pod, each, observed) for each in init_containers(pod)
        ]
    if situation.verdict and phase == "Failed":
        status |= {"reason": situation.verdict.reason, "message": situation.verdict.message}
    return status


def _rejected(pod: Json, situation: Situation, verdict: Verdict) -> Json:
    """Return the status of a Pod that was never looked at: a kubelet reports no containers then."""
    return {
        "phase": "Failed",
        "observedGeneration": pod["metadata"].get("generation"),
        "reason": verdict.reason,
        "message": verdict.message,
        "startTime": situation.start_time,
    }


def settled(pod: Json, observed: Containers) -> Containers:
    """Return the containers of a Pod that is over: those that may have had a turn are called lost, not waiting.

    Containers are left waiting in a Pod that never came to them, and init containers behind the last that had a turn.
    """
    final = dict(observed)
    inits = [each["name"] for each in init_containers(pod)]
    touched = [index for index, name in enumerate(inits) if not _untouched(observed[name])]
    lost = inits[: max(touched, default=0) + 1]
    if _has_initialized(pod, observed):
        lost += [each["name"] for each in pod["spec"]["containers"]]
    for name in lost:
        each = observed[name]
        if not isinstance(each.state, Terminated):
            final[name] = replace(each, state=Terminated(137, "ContainerStatusUnknown", "", message=LOST))
    return final


def _untouched(each: Observed) -> bool:
    """Return whether a container has never run."""
    return isinstance(each.state, Waiting) and each.last is None


def _has_initialized(pod: Json, observed: Containers) -> bool:
    """Return whether a Pod came to its containers: any of them ran, or the last init container has done its part."""
    inits = init_containers(pod)
    if not inits or any(not _untouched(observed[each["name"]]) for each in pod["spec"]["containers"]):
        return True
    last = observed[inits[-1]["name"]]
    if is_sidecar(inits[-1]):
        return not _untouched(last)
    return isinstance(last.state, Terminated) and last.state.exit_code == 0


def pod_phase(pod: Json, observed: Containers, situation: Situation) -> str:
    """Return the phase that the containers' states and the Pod's fate make up."""
    names = [container["name"] for container in pod["spec"]["containers"]]
    states = [observed[name].state for name in names]
    if situation.over:
        succeeded = all(isinstance(state, Terminated) and state.exit_code == 0 for state in states)
        return "Succeeded" if succeeded and situation.verdict is None else "Failed"
    if not initialized(pod, observed):
        return "Pending"
    return "Pending" if any(_untouched(observed[name]) for name in names) else "Running"


def initialized(pod: Json, observed: Containers) -> bool:
    """Return whether every init container has done its part: ended well, or runs if it is a sidecar."""
    return not _incomplete(pod, observed)


def _incomplete(pod: Json, observed: Containers) -> list[str]:
    """Return the names of init containers that haven't done their part."""
    names = []
    for container in init_containers(pod):
        each = observed[container["name"]]
        ended_well = isinstance(each.state, Terminated) and each.state.exit_code == 0
        started = isinstance(each.state, Running) or each.last is not None
        if not (ended_well or (is_sidecar(container) and (started or isinstance(each.state, Terminated)))):
            names.append(container["name"])
    return names


def _container_status(pod: Json, container: Json, observed: Containers) -> Json:
    """Return one entry of `containerStatuses` or `initContainerStatuses`."""
    each = observed[container["name"]]
    state = each.state
    source = state if isinstance(state, Running | Terminated) else each.last
    status: Json = {
        "name": container["name"],
        "image": container["image"],
        "imageID": source.image_id if source else "",
        "state": _state(state, "PodInitializing" if init_containers(pod) else "ContainerCreating"),
        "lastState": _state(each.last, "") if each.last else {},
        "ready": _ready(container, state, pod),
        "started": isinstance(state, Running),
        "restartCount": each.restarts,
    }
    if source and source.container_id:
        status["containerID"] = source.container_id
    return status


def _ready(container: Json, state: object, pod: Json) -> bool:
    """Return whether a container counts as ready; probes aren't run, so running is ready."""
    names = {each["name"] for each in init_containers(pod)}
    if container["name"] in names and not is_sidecar(container):
        return isinstance(state, Terminated) and state.exit_code == 0
    return isinstance(state, Running)


def _state(state: object, not_yet: str) -> Json:
    """Return a ContainerState; a container that hasn't had its turn waits for the reason `not_yet`."""
    if isinstance(state, Running):
        return {"running": {"startedAt": state.started_at}}
    if isinstance(state, Terminated):
        return {"terminated": _terminated(state)}
    if isinstance(state, Waiting) and state.reason:
        return {"waiting": {"reason": state.reason} | ({"message": state.message} if state.message else {})}
    return {"waiting": {"reason": not_yet}}


def _terminated(state: Terminated) -> Json:
    """Return a ContainerStateTerminated with the fields that are known."""
    fields: dict[str, Any] = {
        "exitCode": state.exit_code,
        "reason": state.reason,
        "message": state.message,
        "startedAt": state.started_at,
        "finishedAt": state.finished_at,
        "containerID": state.container_id,
    }
    return {key: value for key, value in fields.items() if value != ""}


def _conditions(
    pod: Json, observed: Containers, situation: Situation, phase: str, previous: Json
) -> list[Json]:
    """Return the five conditions of a Pod, each with the time it last changed."""
    before = {each["type"]: each for each in previous.get("conditions") or []}
    generation = pod["metadata"].get("generation")
    conditions = []
    for kind, (value, reason, message) in _judgements(pod, observed, situation, phase).items():
        condition: Json = {
            "type": kind,
            "status": "True" if value else "False",
            "observedGeneration": generation,
        }
        # A patch merges conditions by type: what doesn't hold any more is removed by naming it null.
        condition |= {"reason": reason or None, "message": message or None}
        old = before.get(kind, {})
        same = old.get("status") == condition["status"]
        condition["lastTransitionTime"] = old.get("lastTransitionTime") if same else situation.now
        conditions.append(condition)
    return conditions


def _judgements(
    pod: Json, observed: Containers, situation: Situation, phase: str
) -> dict[str, tuple[bool, str, str]]:
    """Return value, reason and message of every condition."""
    incomplete = _incomplete(pod, observed)
    unready = [
        each["name"]
        for each in all_containers(pod)
        if (is_sidecar(each) or each in pod["spec"]["containers"])
        and not isinstance(observed[each["name"]].state, Running)
    ]
    if phase == "Succeeded":
        ready = (False, "PodCompleted", "")
    elif phase == "Failed":
        ready = (False, "PodFailed", "")
    elif unready:
        ready = (False, "ContainersNotReady", f"containers with unready status: [{' '.join(unready)}]")
    else:
        ready = (True, "", "")
    done = "PodCompleted" if phase == "Succeeded" else ""
    if incomplete:
        message = f"containers with incomplete status: [{' '.join(incomplete)}]"
        begun = (False, "ContainersNotInitialized", message)
    else:
        begun = (True, done, "")
    return {
        "PodReadyToStartContainers": (situation.sandbox_ready and not situation.over, "", ""),
        "Initialized": begun,
        "Ready": ready,
        "ContainersReady": ready,
        "PodScheduled": (True, "", ""),
    }
