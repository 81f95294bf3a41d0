"""Run Pods in the model: how far a kubelet has come with one, and the object that shows it."""

from enum import IntEnum
from typing import Any, Final

from launcher.exits import Exit
from launcher.outcome import refused, started_before, terminated, termination_message

Json = dict[str, Any]


class Progress(IntEnum):
    """How far a Pod has come, as its node knows it."""

    CREATED = 1
    CLAIMING = 2
    GRANTED = 3
    WORKING = 4
    SUCCEEDED = 5
    FAILED = 6
    REFUSED = 7
    KILLED_EARLY = 8
    STARTED_BEFORE = 9


LIVE: Final = (Progress.CREATED, Progress.CLAIMING, Progress.GRANTED, Progress.WORKING)
"""Pods in which something may still start."""

DONE: Final = (
    Progress.SUCCEEDED,
    Progress.FAILED,
    Progress.REFUSED,
    Progress.KILLED_EARLY,
    Progress.STARTED_BEFORE,
)
"""Pods that are over."""

ACTIVE: Final = (Progress.GRANTED, Progress.WORKING)
"""Pods that hold a grant and use it."""


def waiting(name: str) -> Json:
    """Return the status of a container that has not begun."""
    return {"name": name, "state": {"waiting": {"reason": "PodInitializing"}}}


def running(name: str) -> Json:
    """Return the status of a container that runs."""
    return {"name": name, "state": {"running": {"startedAt": "2026-01-01T00:00:10Z"}}}


def ended(name: str, code: int = 0, message: str = "") -> Json:
    """Return the status of a container that ended."""
    word = "Completed" if code == 0 else "Error"
    detail = {"exitCode": code, "reason": word, "message": message, "finishedAt": "2026-01-01T00:01:00Z"}
    return {"name": name, "state": {"terminated": detail}}


def status(progress: Progress) -> Json:
    """Return what the kubelet writes about a Pod that has come so far."""
    grpc, worker = waiting("launcher-grpc"), waiting("worker")
    match progress:
        case Progress.CREATED:
            return _status("Pending", waiting("init"), grpc, worker)
        case Progress.CLAIMING | Progress.GRANTED:
            return _status("Pending", running("init"), grpc, worker)
        case Progress.WORKING:
            return _status("Running", ended("init"), running("launcher-grpc"), running("worker"))
        case Progress.SUCCEEDED:
            return _status("Succeeded", ended("init"), ended("launcher-grpc"), ended("worker"))
        case Progress.FAILED:
            word = termination_message(terminated("while the commands ran"))
            last = ended("worker", int(Exit.TERMINATED), word)
            return _status("Failed", ended("init"), ended("launcher-grpc"), last)
        case Progress.REFUSED:
            word = termination_message(refused("the attempt is closed"))
            return _status("Failed", ended("init", int(Exit.REFUSED), word), grpc, worker)
        case Progress.KILLED_EARLY:
            word = termination_message(terminated("before the run began"))
            return _status("Failed", ended("init", int(Exit.TERMINATED), word), grpc, worker)
        case Progress.STARTED_BEFORE:
            word = termination_message(started_before())
            return _status("Failed", ended("init", int(Exit.ALREADY_STARTED), word), grpc, worker)


def _status(phase: str, init: Json, *containers: Json) -> Json:
    return {"phase": phase, "initContainerStatuses": [init], "containerStatuses": list(containers)}


def render(body: Json, uid: str, progress: Progress, *, deleting: bool, guarded: bool) -> Json:
    """Return the Pod object that was created from `body`."""
    metadata = {
        **body["metadata"],
        "uid": uid,
        "resourceVersion": "1",
        "creationTimestamp": "2026-01-01T00:00:05Z",
        "finalizers": list(body["metadata"].get("finalizers") or ()) if guarded else [],
    }
    if deleting:
        metadata |= {"deletionTimestamp": "2026-01-01T00:02:00Z", "deletionGracePeriodSeconds": 30}
    names = ("initContainers", "containers")
    containers = {key: [{"name": each["name"]} for each in body["spec"][key]] for key in names}
    spec = {**containers, "nodeName": "node-1", "activeDeadlineSeconds": 4200}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": status(progress)}
