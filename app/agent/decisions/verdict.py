"""How an attempt ended, judged from its Pod's status; pure.

The kubelet's hard facts (out of memory, deadline, eviction) come first, then the launcher's own report (JSON in a
termination message), then exit codes. A worker container that ended with 0 has done its work, whatever happened
to the Pod afterwards.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass

from app import vocabulary as words
from app.agent.pod_state import Container, ContainerView, PodView
from protocol.runs import Outcome, Reason, Result

IMAGE_GRACE = 30.0
"""Seconds that an image may fail to be pulled: registries have hiccups, kubelets retry."""

UNSCHEDULABLE_GRACE = 300.0
"""Seconds that a Pod may be unschedulable: long enough for an autoscaler to bring a node."""

_IMAGE_REASONS = frozenset({"ErrImagePull", "ImagePullBackOff", "RegistryUnavailable", "ImageInspectError"})
_CONFIG_REASONS = frozenset(
    {
        "CreateContainerConfigError",
        "CreateContainerError",
        "RunContainerError",
        "PreCreateHookError",
        "ErrImageNeverPull",
    }
)
_NODE_REASONS = frozenset({"NodeLost", "NodeShutdown", "Terminated", "Shutdown"})
_DISRUPTIONS = {
    "TerminationByKubelet": Reason.EVICTED,
    "EvictionByEvictionAPI": Reason.EVICTED,
    "PreemptionByScheduler": Reason.EVICTED,
    "DeletionByTaintManager": Reason.NODE_LOST,
    "DeletionByPodGC": Reason.NODE_LOST,
}


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that keeps a Pod from starting: the verdict it becomes once it has lasted `grace` seconds."""

    outcome: Outcome
    grace: float


def judge(pod: PodView) -> Outcome:
    """Return the outcome of an attempt whose Pod has come to its end."""
    worker = pod.container(words.WORKER_CONTAINER)
    if worker is not None and worker.ended and worker.exit_code == 0:
        return _after_success(pod)
    return _hard_fact(pod) or _failed_init(pod) or _failed_worker(pod, worker) or _never_started(pod)


def problem(pod: PodView) -> Problem | None:
    """Return what keeps the Pod from starting, None when nothing does."""
    for each in (*pod.inits, *pod.containers):
        found = _waiting_problem(each) if each.state is Container.WAITING else None
        if found:
            return found
    scheduled = pod.conditions.get("PodScheduled", {})
    if scheduled.get("status") == words.CONDITION_FALSE and scheduled.get("reason") == "Unschedulable":
        text = str(scheduled.get("message") or "no node fits the Pod")
        return Problem(_failed(pod, Reason.UNSCHEDULABLE, text), UNSCHEDULABLE_GRACE)
    return None


def deleted(pod: PodView) -> Outcome:
    """Return the outcome of an attempt whose Pod somebody deleted before it did its work."""
    reason, text = _disruption(pod) or (Reason.POD_DELETED, "the run's Pod was deleted")
    return _failed(pod, reason, text)


def node_lost(pod: PodView) -> Outcome:
    """Return the outcome of an attempt whose deleted Pod nobody reports on any more."""
    text = f"the run's Pod is being deleted and node {pod.node or '(none)'} doesn't report its end"
    return Outcome(Result.LOST, Reason.NODE_LOST, text, pod.exit_codes)


def vanished(pod_uid: str | None) -> Outcome:
    """Return the outcome of an attempt whose Pod the API server doesn't have any more."""
    return Outcome(Result.LOST, Reason.POD_DELETED, f"the run's Pod (UID {pod_uid or 'unknown'}) is gone")


def canceled() -> Outcome:
    """Return the outcome of an attempt that the mothership closed before it was granted."""
    return Outcome(Result.CANCELED, Reason.CANCELED, "canceled before it started")


def shorten(text: str) -> str:
    """Return `text` on printable lines and short enough for a status."""
    clean = "".join(each if each.isprintable() or each == "\n" else " " for each in text).strip()
    limit = words.RUN_RESULT_KEPT_MESSAGE_LIMIT
    return clean if len(clean) <= limit else clean[: limit - 3] + "..."


def report_of(container: ContainerView | None) -> Outcome | None:
    """Return the launcher's own word from a termination message, None when there is none."""
    if container is None or not container.ended or not container.message:
        return None
    try:
        data = json.loads(container.message)
        return Outcome.from_json(data) if isinstance(data, dict) else None
    except (ValueError, RecursionError):
        # Commands of the run can write there: nesting without end is no report either.
        return None


def _after_success(pod: PodView) -> Outcome:
    report = _launcher_report(pod)
    if report is not None and report.result is not Result.SUCCEEDED:
        return _with(pod, report)
    return Outcome(Result.SUCCEEDED, Reason.COMPLETED, "", pod.exit_codes)


def _launcher_report(pod: PodView) -> Outcome | None:
    for name in (words.GRPC_CONTAINER, words.WORKER_CONTAINER):
        report = report_of(pod.container(name))
        if report is not None:
            return report
    return None


def _hard_fact(pod: PodView) -> Outcome | None:
    for each in _ours(pod):
        if each.ended and each.exit_code != 0 and each.reason == "OOMKilled":
            return _failed(pod, Reason.OOM_KILLED, f"container {each.name} ran out of memory")
    if pod.reason == "DeadlineExceeded":
        text = pod.message or "the Pod was active longer than activeDeadlineSeconds"
        return _failed(pod, Reason.DEADLINE_EXCEEDED, text)
    found = _disruption(pod)
    return _failed(pod, *found) if found else None


def _ours(pod: PodView) -> Iterator[ContainerView]:
    """Return the containers whose end is the attempt's end; a user's sidecar may come and go."""
    yield from (each for each in pod.inits if not each.sidecar)
    own = (words.GRPC_CONTAINER, words.WORKER_CONTAINER)
    yield from (each for each in pod.containers if each.name in own)


def _disruption(pod: PodView) -> tuple[Reason, str] | None:
    if pod.reason in _NODE_REASONS:
        return Reason.NODE_LOST, pod.message or f"node {pod.node} went away"
    if pod.reason == "Evicted":
        return Reason.EVICTED, pod.message or "the Pod was evicted"
    target = pod.conditions.get("DisruptionTarget", {})
    if target.get("status") != words.CONDITION_TRUE:
        return None
    reason = _DISRUPTIONS.get(str(target.get("reason")), Reason.EVICTED)
    return reason, str(target.get("message") or target.get("reason") or "the Pod was disrupted")


def _failed_init(pod: PodView) -> Outcome | None:
    for each in pod.inits:
        if each.ended and each.exit_code != 0 and not each.sidecar:
            report = report_of(each)
            if report is not None and report.result is not Result.SUCCEEDED:
                return _with(pod, report)
            text = f"init container {each.name} ended with exit code {each.exit_code}"
            return _failed(pod, Reason.INIT_FAILED, f"{text}: {each.message}" if each.message else text)
    return None


def _failed_worker(pod: PodView, worker: ContainerView | None) -> Outcome | None:
    if worker is None or not worker.ended:
        return None
    report = _launcher_report(pod)
    if report is not None and report.result is not Result.SUCCEEDED:
        return _with(pod, report)
    if pod.deleting:
        return deleted(pod)
    if worker.reason in ("StartError", "ContainerCannotRun"):
        return _failed(
            pod, Reason.CONFIG_ERROR, worker.message or "the worker container could not be started"
        )
    return _failed(pod, Reason.NON_ZERO_EXIT, f"the worker container ended with exit code {worker.exit_code}")


def _never_started(pod: PodView) -> Outcome:
    found = problem(pod)
    if found:
        return found.outcome
    if pod.deleting:
        return deleted(pod)
    text = ": ".join(part for part in (pod.reason, pod.message) if part)
    # A kubelet that refuses a Pod at admission (OutOfcpu, NodeAffinity, ...) fails it without any container state.
    reason = Reason.UNSCHEDULABLE if text and not pod.started else Reason.CONFIG_ERROR
    return _failed(pod, reason, text or "the Pod ended without running its worker container")


def _waiting_problem(container: ContainerView) -> Problem | None:
    text = f"container {container.name}: {container.message or container.reason}"
    if container.reason == "InvalidImageName":
        return Problem(Outcome(Result.FAILED, Reason.INVALID_IMAGE, shorten(text)), 0.0)
    if container.reason in _IMAGE_REASONS:
        return Problem(Outcome(Result.FAILED, Reason.IMAGE_PULL, shorten(text)), IMAGE_GRACE)
    if container.reason in _CONFIG_REASONS:
        return Problem(Outcome(Result.FAILED, Reason.CONFIG_ERROR, shorten(text)), IMAGE_GRACE)
    return None


def _failed(pod: PodView, reason: Reason, text: str) -> Outcome:
    return Outcome(Result.FAILED, reason, shorten(text), pod.exit_codes)


def _with(pod: PodView, report: Outcome) -> Outcome:
    return Outcome(report.result, report.reason, shorten(report.message), pod.exit_codes)
