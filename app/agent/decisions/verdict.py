"""How an attempt ended, judged from its Pod's status; pure.

The kubelet's hard facts (out of memory, deadline, eviction) come first, then the launcher's own report (JSON in a
termination message), then exit codes. A worker container that ended with 0 has done its work, whatever happened
to the Pod afterwards. What a verdict says is worded so that the user knows what to change.
"""

import json
from collections.abc import Iterator
from typing import Final

from app import vocabulary as words
from app.agent.decisions import requests, starting
from app.agent.decisions.texts import last_words, sentence, shorten, with_user_fix
from app.agent.pod_state import Container, ContainerSpec, ContainerView, PodView
from protocol.runs import Outcome, Reason, Result

# Reasons of a Pod that its kubelet, or the node's controller, ended: all containers of it are gone.
_NODE_REASONS: Final = frozenset({"NodeLost", "Terminated", "Shutdown"})
_EVICTIONS: Final = frozenset({"Evicted", "Preempting"})

# Reasons of a kubelet that doesn't take a Pod the scheduler gave it; another node, or this one later, may take it.
# Source: Kubernetes 1.36, pkg/kubelet/kubelet.go (admissionRejectionReasons), pkg/kubelet/lifecycle/predicate.go.
_NOT_ADMITTED: Final = frozenset(
    {
        "InvalidNodeInfo",
        "NodeAffinity",
        "NodeName",
        "NodePorts",
        "NodeShutdown",
        "SMTAlignmentError",
        "TaintToleration",
        "TopologyAffinityError",
        "UnexpectedAdmissionError",
        "UnexpectedPredicateFailureType",
        "UnknownReason",
        "VolumeAttachmentLimitExceeded",
    }
)
_OUT_OF: Final = "OutOf"
# The same, but what the Pod asks for is the reason: no node of this kind will ever take it.
_NEVER_ADMITTED: Final = frozenset(
    {
        "AppArmor",
        "InitContainerRestartPolicyForbidden",
        "PodFeatureUnsupported",
        "PodLevelResourcesNotSupported",
        "PodOSNotSupported",
        "PodOSSelectorNodeLabelDoesNotMatch",
        "SupplementalGroupsPolicyNotSupported",
        "SysctlForbidden",
    }
)
_DISRUPTIONS: Final = {
    "TerminationByKubelet": Reason.EVICTED,
    "EvictionByEvictionAPI": Reason.EVICTED,
    "PreemptionByScheduler": Reason.EVICTED,
    "DeletionByTaintManager": Reason.NODE_LOST,
    "DeletionByPodGC": Reason.NODE_LOST,
}
_START_FAILURES: Final = frozenset({"StartError", "ContainerCannotRun"})
_STATUS_LOST: Final = frozenset({"ContainerStatusUnknown", "Unknown"})
_OUT_OF_MEMORY: Final = "OOMKilled"
_KILLED, _TERMINATED, _NOT_EXECUTABLE = 137, 143, 126
_SECTIONS: Final = {
    words.INIT_CONTAINER: "initContainer",
    words.GRPC_CONTAINER: "grpcServerContainer",
    words.WORKER_CONTAINER: "workerContainer",
}


def judge(pod: PodView) -> Outcome:
    """Return the outcome of an attempt whose Pod has come to its end."""
    worker = pod.container(words.WORKER_CONTAINER)
    if worker is not None and worker.ended and worker.exit_code == 0:
        return _after_success(pod)
    return _hard_fact(pod) or _failed_init(pod) or _failed_worker(pod, worker) or _never_started(pod, worker)


def awaits_cause(pod: PodView) -> bool:
    """Return whether somebody had a container killed and the Pod doesn't say yet who and why.

    A kubelet that ends a Pod (its deadline, an eviction, a shutdown of the node) reports the containers' ends first;
    phase, reason and DisruptionTarget follow once nothing of the Pod runs any more.
    Source: Kubernetes, pkg/kubelet/status, mergePodStatus.
    """
    worker = pod.container(words.WORKER_CONTAINER)
    if pod.terminal or pod.deleting or pod.reason:
        return False
    if worker is not None and worker.ended:
        return _was_killed(worker, _launcher_report(pod))
    return any(_was_killed(each, report_of(each)) for each in pod.inits if each.ended and not each.sidecar)


def _was_killed(container: ContainerView, report: Outcome | None) -> bool:
    if container.exit_code == 0 or container.reason == _OUT_OF_MEMORY:
        return False
    if report is not None:
        return report.reason is Reason.POD_DELETED
    return container.exit_code in (_KILLED, _TERMINATED)


def deleted(pod: PodView, detail: str = "") -> Outcome:
    """Return the outcome of an attempt whose Pod somebody deleted before it did its work."""
    found = _disruption(pod)
    if found:
        return _failed(pod, *found)
    return _failed(pod, Reason.POD_DELETED, sentence("somebody deleted the run's Pod", detail))


def node_lost(pod: PodView) -> Outcome:
    """Return the outcome of an attempt whose deleted Pod nobody reports on any more."""
    text = f"the run's Pod is being deleted and node {pod.node or '(none)'} doesn't report its end"
    found = _disruption(pod)
    text = sentence(text, found[1] if found else "")
    return Outcome(Result.LOST, Reason.NODE_LOST, shorten(text), pod.exit_codes)


def server_ended(pod: PodView) -> Outcome:
    """Return the outcome of an attempt whose launcher-grpc ended, although the worker container didn't.

    Without a report or a hard fact it is `lost`: the executor stops by itself once its lease is over, which is for the
    mothership to wait for.
    """
    grpc = pod.container(words.GRPC_CONTAINER)
    report, fact = report_of(grpc), _hard_fact(pod)
    if fact is not None:
        return fact
    if report is not None:
        return _with(pod, report)
    if grpc is not None and grpc.reason in _START_FAILURES:
        return _not_startable(pod, grpc)
    text = sentence("nobody renews the run's lease any more", _end_of(grpc))
    return Outcome(Result.LOST, Reason.LEASE_LOST, shorten(text), pod.exit_codes)


def server_was_stopped(pod: PodView) -> bool:
    """Return whether launcher-grpc was told to end: then its kubelet ends the Pod, and says why when all has ended."""
    grpc = pod.container(words.GRPC_CONTAINER)
    return grpc is not None and grpc.ended and _was_killed(grpc, report_of(grpc))


def worker_out_of_memory(pod: PodView) -> bool:
    """Return whether the kubelet says that the worker container was killed for want of memory."""
    worker = pod.container(words.WORKER_CONTAINER)
    return worker is not None and worker.ended and worker.reason == _OUT_OF_MEMORY


def vanished(pod_uid: str | None) -> Outcome:
    """Return the outcome of an attempt whose Pod the API server doesn't have any more."""
    return Outcome(Result.LOST, Reason.POD_DELETED, f"the run's Pod (UID {pod_uid or 'unknown'}) is gone")


def canceled() -> Outcome:
    """Return the outcome of an attempt that the mothership closed before it was granted."""
    return Outcome(Result.CANCELED, Reason.CANCELED, "canceled before it started")


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


def _bad_report(*containers: ContainerView | None) -> Outcome | None:
    """Return the first report; one of success can't turn a bad exit code good."""
    reports = (report_of(each) for each in containers)
    report = next((each for each in reports if each is not None), None)
    return report if report is not None and report.result is not Result.SUCCEEDED else None


# --- hard facts ---


def _hard_fact(pod: PodView) -> Outcome | None:
    for each in _ours(pod):
        if each.ended and each.exit_code != 0 and each.reason == _OUT_OF_MEMORY:
            return _failed(pod, Reason.OOM_KILLED, _out_of_memory(pod.spec(each.name)))
    if pod.reason == "DeadlineExceeded":
        return _failed(pod, Reason.DEADLINE_EXCEEDED, _past_deadline(pod))
    found = _disruption(pod) or _not_admitted(pod)
    return _failed(pod, *found) if found else None


def _ours(pod: PodView) -> Iterator[ContainerView]:
    """Return the containers whose end is the attempt's end; a user's sidecar may come and go."""
    yield from (each for each in pod.inits if not each.sidecar)
    own = (words.GRPC_CONTAINER, words.WORKER_CONTAINER)
    yield from (each for each in pod.containers if each.name in own)


def _out_of_memory(spec: ContainerSpec) -> str:
    field = f"{_settings_of(spec)}.resources.limits.memory"
    if spec.memory_limit:
        return f"container {spec.name} used more memory than its limit of {spec.memory_limit}: raise {field}"
    return (
        f"container {spec.name} was killed for want of memory; it has no limit of its own, so its node ran out: "
        f"set {field} and the request for it"
    )


def _settings_of(spec: ContainerSpec) -> str:
    """Return the field of the pool that a container of a run Pod comes from."""
    if spec.name in _SECTIONS:
        return f"spec.pod.{_SECTIONS[spec.name]}"
    section = "customInitContainers" if spec.init and not spec.sidecar else "additionalSidecarContainers"
    return f"spec.pod.{section}[name={spec.name}]"


def _past_deadline(pod: PodView) -> str:
    limit = f" of {pod.active_deadline} s" if pod.active_deadline is not None else ""
    text = f"the Pod was active longer than spec.pod.activeDeadlineSeconds{limit}"
    worker = pod.container(words.WORKER_CONTAINER)
    if worker is None or worker.state is Container.WAITING:
        return sentence(f"{text}, and its worker container never ran", starting.held_up_by(pod))
    return text


def _disruption(pod: PodView) -> tuple[Reason, str] | None:
    target = pod.conditions.get("DisruptionTarget", {})
    node = f"node {pod.node or '(none)'}"
    if pod.reason in _NODE_REASONS:
        return Reason.NODE_LOST, sentence(f"{node} went away", pod.message)
    if pod.reason in _EVICTIONS:
        return Reason.EVICTED, sentence(f"{node} evicted the Pod", pod.message)
    if target.get("status") != words.CONDITION_TRUE:
        return None
    cause = str(target.get("reason") or "")
    reason = _DISRUPTIONS.get(cause, Reason.EVICTED)
    what = {
        "PreemptionByScheduler": "the Pod was preempted by one of higher priority",
        "EvictionByEvictionAPI": f"the Pod was evicted from {node}",
        "TerminationByKubelet": f"{node} evicted the Pod",
    }.get(cause, f"{node} went away" if reason is Reason.NODE_LOST else "the Pod was disrupted")
    return reason, sentence(what, str(target.get("message") or cause))


def _not_admitted(pod: PodView) -> tuple[Reason, str] | None:
    """Return why the kubelet fails a Pod at admission; after its restart it may do so to one that runs."""
    if pod.phase != "Failed":
        return None
    text = _refusal(pod)
    if pod.reason in _NEVER_ADMITTED:
        return Reason.CONFIG_ERROR, text
    if pod.reason.startswith(_OUT_OF):
        text = sentence(f"the Pod requests {requests.in_words(pod)}", text)
    elif pod.reason not in _NOT_ADMITTED:
        return None
    # Not Unschedulable, which would end a run that another node may take.
    return Reason.EVICTED, text


def _refusal(pod: PodView) -> str:
    return sentence(f"node {pod.node or '(none)'} refused the Pod at admission", pod.reason, pod.message)


# --- ends of containers ---


def _failed_init(pod: PodView) -> Outcome | None:
    for each in pod.inits:
        if not each.ended or each.exit_code == 0 or each.sidecar:
            continue
        if each.reason in _START_FAILURES:
            return _not_startable(pod, each)
        report = _bad_report(each)
        if pod.deleting and (report is None or report.reason is Reason.POD_DELETED):
            return deleted(pod, report.message if report else "")
        if report is not None and report.reason is not Reason.INIT_FAILED:
            return _with(pod, report)
        text = f"init container {each.name} ended with exit code {each.exit_code}"
        said = report.message if report is not None else last_words(each.message)
        # No advice about users: the launcher's image has the run's user, and other images need none.
        return _failed(pod, Reason.INIT_FAILED, sentence(text, said))
    return None


def _failed_worker(pod: PodView, worker: ContainerView | None) -> Outcome | None:
    if worker is None or not worker.ended:
        return None
    grpc = pod.container(words.GRPC_CONTAINER)
    report = _bad_report_of_worker(pod)
    if report is not None and pod.deleting and report.reason is Reason.POD_DELETED:
        return deleted(pod, report.message)
    if report is not None:
        return _with(pod, _explained(pod, report, grpc))
    if pod.deleting:
        return deleted(pod)
    if worker.reason in _START_FAILURES:
        return _not_startable(pod, worker)
    if worker.reason in _STATUS_LOST:
        text = f"node {pod.node or '(none)'} lost track of the worker container"
        return _failed(pod, Reason.NODE_LOST, sentence(text, worker.message))
    text = f"the worker container ended with exit code {worker.exit_code}"
    said = with_user_fix(last_words(worker.message), worker.name) if report_of(worker) is None else ""
    return _failed(pod, Reason.NON_ZERO_EXIT, sentence(_with_code(text, worker.exit_code), said))


def _bad_report_of_worker(pod: PodView) -> Outcome | None:
    return _bad_report(pod.container(words.GRPC_CONTAINER), pod.container(words.WORKER_CONTAINER))


def _explained(pod: PodView, report: Outcome, grpc: ContainerView | None) -> Outcome:
    """Return a report with what the launcher can't know: what the exit code means, and why launcher-grpc is silent."""
    message = report.message
    if report.reason is Reason.NON_ZERO_EXIT:
        message = _with_code(message, report.exit_codes.get(words.WORKER_CONTAINER, 0))
    elif report.reason is Reason.CONFIG_ERROR:
        message = with_user_fix(message, words.WORKER_CONTAINER)
    elif report.reason is Reason.LEASE_LOST:
        message = sentence(message, _silence_of(pod, grpc))
    return Outcome(report.result, report.reason, message)


def _silence_of(pod: PodView, grpc: ContainerView | None) -> str:
    if grpc is None or report_of(grpc) is not None:
        return ""
    if grpc.ended and grpc.exit_code != 0:
        return _end_of(grpc)
    return starting.trouble_of(pod, grpc)


def _end_of(container: ContainerView | None) -> str:
    if container is None:
        return ""
    text = f"{container.name} ended with exit code {container.exit_code}"
    return sentence(text, last_words(container.message))


def _with_code(text: str, code: int) -> str:
    if code == _KILLED:
        return f"{text} (killed: often for want of memory, see spec.pod.workerContainer.resources)"
    if code == _NOT_EXECUTABLE:
        return f"{text} (not allowed to execute or to enter its directory: {_user_hint()})"
    return text


def _user_hint() -> str:
    return f"commands run as UID {words.RUN_USER_ID}, which a custom runner image must have"


def _not_startable(pod: PodView, container: ContainerView) -> Outcome:
    said = with_user_fix(container.message, container.name)
    text = sentence(f"container {container.name} could not be started", said)
    return _failed(pod, Reason.CONFIG_ERROR, text)


def _never_started(pod: PodView, worker: ContainerView | None) -> Outcome:
    found = starting.problem(pod)
    if found:
        return found.outcome
    if pod.deleting:
        return deleted(pod)
    text = sentence(pod.reason, pod.message)
    if worker is not None and worker.state is Container.RUNNING:
        text = sentence("the Pod ended and nobody reports how its worker container did", text)
        return Outcome(Result.LOST, Reason.NODE_LOST, shorten(text), pod.exit_codes)
    if text and not pod.started:
        # A kubelet that refuses a Pod for a reason that isn't known here fails it without a container that ran.
        return _failed(pod, Reason.EVICTED, _refusal(pod))
    return _failed(pod, Reason.CONFIG_ERROR, text or "the Pod ended without running its worker container")


def _failed(pod: PodView, reason: Reason, text: str) -> Outcome:
    return Outcome(Result.FAILED, reason, shorten(text), pod.exit_codes)


def _with(pod: PodView, report: Outcome) -> Outcome:
    return Outcome(report.result, report.reason, shorten(report.message), pod.exit_codes)
