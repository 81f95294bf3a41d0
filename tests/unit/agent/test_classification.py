"""Every way for a run Pod to fail, as kubelets and schedulers tell it, and what the user is told."""

import json
from dataclasses import dataclass, replace

import pytest

from app.agent.decisions import progress, starting, verdict
from app.agent.decisions.graces import DEFAULTS, Graces
from app.agent.pod_state import PodView
from app.agent.worker_state import Attempt
from protocol.runs import Outcome, Phase, Reason, Result
from tests.unit.agent import builders as a
from tests.unit.agent import kubelet as k

PULL_ERROR = (
    'failed to pull and unpack image "registry.example/team/runner:1.2": failed to resolve reference '
    '"registry.example/team/runner:1.2": registry.example/team/runner:1.2: not found'
)
BACK_OFF = f'Back-off pulling image "{k.RUNNER}"'
FEW_NODES = "0/3 nodes are available: 3 Insufficient cpu. preemption: 0/3 nodes are available."
UNSCHEDULABLE = k.condition("PodScheduled", "False", "Unschedulable", FEW_NODES)
NO_PERMISSION = (
    "failed to create containerd task: failed to create shim task: OCI runtime create failed: runc create failed: "
    'unable to start container process: exec: "/opt/spacelift/binaries/spacelift-worker": permission denied: unknown'
)
LOW_ON_MEMORY = (
    "The node was low on resource: memory. Threshold quantity: 100Mi, available: 40Mi. Container worker was using 1Gi, "
    "request is 512Mi, has larger consumption of memory. "
)


def said(result: str, reason: str, message: str = "", **codes: int) -> str:
    """Return what the launcher's containers write as their last word."""
    return json.dumps({"result": result, "reason": reason, "message": message, "exitCodes": codes})


@dataclass(frozen=True)
class Case:
    """A Pod, the reason of its verdict, and what its message says."""

    pod: PodView
    reason: Reason
    says: tuple[str, ...] = ()
    result: Result = Result.FAILED


ENDED = {
    "the worker container is out of memory": Case(
        k.pod(k.GRPC_DONE, k.ended("worker", 137, "OOMKilled"), inits=(k.INIT_DONE,), phase="Failed"),
        Reason.OOM_KILLED,
        ("container worker", "its limit of 512Mi", "raise spec.pod.workerContainer.resources.limits.memory"),
    ),
    "a process of the worker container is out of memory": Case(
        k.pod(
            k.ended(
                "launcher-grpc",
                message=said("failed", "NonZeroExit", "Command 1 of 2 ended with exit code 1"),
            ),
            k.ended("worker", 1, "OOMKilled"),
            inits=(k.INIT_DONE,),
            phase="Failed",
        ),
        Reason.OOM_KILLED,
        ("container worker", "512Mi"),
    ),
    "init is out of memory": Case(
        k.pod(*k.NOT_BEGUN, inits=(k.ended("init", 137, "OOMKilled"),), phase="Failed"),
        Reason.OOM_KILLED,
        ("container init", "128Mi", "spec.pod.initContainer.resources.limits.memory"),
    ),
    "launcher-grpc is out of memory": Case(
        k.pod(k.ended("launcher-grpc", 137, "OOMKilled"), k.ended("worker", 19), inits=(k.INIT_DONE,)),
        Reason.OOM_KILLED,
        ("container launcher-grpc", "128Mi", "spec.pod.grpcServerContainer.resources.limits.memory"),
    ),
    "an init container of the user is out of memory": Case(
        k.pod(
            *k.NOT_BEGUN,
            inits=(k.ended("migrate", 137, "OOMKilled"), k.waiting("init", "PodInitializing")),
            of=k.spec(inits=(k.container("migrate", k.MIGRATE, "32Mi"),)),
            phase="Failed",
        ),
        Reason.OOM_KILLED,
        ("container migrate", "32Mi", "spec.pod.customInitContainers[name=migrate].resources.limits.memory"),
    ),
    "the node is out of memory and the container has no limit": Case(
        k.pod(
            *k.NOT_BEGUN,
            inits=(k.ended("migrate", 137, "OOMKilled"),),
            of=k.spec(inits=(k.container("migrate", k.MIGRATE),)),
            phase="Failed",
        ),
        Reason.OOM_KILLED,
        ("container migrate", "no limit of its own"),
    ),
    "a native sidecar's memory is not the run's": Case(
        k.pod(
            k.GRPC_DONE,
            k.ended(
                "worker", 3, message=said("failed", "NonZeroExit", "Command 1 of 1 ended with exit code 3")
            ),
            inits=(k.INIT_DONE, k.ended("redis", 137, "OOMKilled", restartCount=2)),
            of=k.spec(sidecars=(k.sidecar(),)),
            phase="Failed",
        ),
        Reason.NON_ZERO_EXIT,
        ("Command 1 of 1 ended with exit code 3",),
    ),
    "the deadline": Case(
        k.pod(
            k.ended("launcher-grpc", 143, message=said("failed", "PodDeleted")),
            k.ended("worker", 143, message=said("failed", "PodDeleted")),
            inits=(k.INIT_DONE,),
            phase="Failed",
            reason="DeadlineExceeded",
            message="Pod was active on the node longer than the specified deadline",
        ),
        Reason.DEADLINE_EXCEEDED,
        ("spec.pod.activeDeadlineSeconds of 4200 s",),
    ),
    "the deadline before the worker container ran": Case(
        k.pod(
            k.waiting("launcher-grpc", "PodInitializing"),
            k.waiting("worker", "PodInitializing"),
            inits=(k.INIT_DONE, k.ended("redis", 137)),
            of=k.spec(sidecars=(k.sidecar(),)),
            phase="Failed",
            reason="DeadlineExceeded",
        ),
        Reason.DEADLINE_EXCEEDED,
        ("4200 s", "its worker container never ran", "sidecar redis hasn't started"),
    ),
    "an eviction by the kubelet": Case(
        k.pod(
            k.ended("launcher-grpc", 137),
            k.ended("worker", 137),
            inits=(k.INIT_DONE,),
            conditions=(k.disruption("TerminationByKubelet", LOW_ON_MEMORY),),
            phase="Failed",
            reason="Evicted",
            message=LOW_ON_MEMORY,
        ),
        Reason.EVICTED,
        ("node node-1 evicted the Pod", "low on resource: memory", "Container worker was using 1Gi"),
    ),
    "too much written to the node's disk": Case(
        k.pod(
            k.ended("worker", 137),
            phase="Failed",
            reason="Evicted",
            message='Usage of EmptyDir volume "workspace" exceeds the limit "1Gi". ',
        ),
        Reason.EVICTED,
        ('EmptyDir volume "workspace" exceeds the limit "1Gi"',),
    ),
    "room for a critical Pod": Case(
        k.pod(phase="Failed", reason="Preempting", message="Preempted in order to admit critical pod"),
        Reason.EVICTED,
        ("critical pod",),
    ),
    "a Pod of higher priority": Case(
        k.pod(
            k.ended("launcher-grpc", 143),
            k.ended(
                "worker", 143, message=said("failed", "PodDeleted", "The container was told to terminate")
            ),
            inits=(k.INIT_DONE,),
            conditions=(
                k.disruption(
                    "PreemptionByScheduler",
                    "default-scheduler: preempting to accommodate a higher priority pod",
                ),
            ),
            deleting=True,
            phase="Failed",
        ),
        Reason.EVICTED,
        ("preempted by one of higher priority", "default-scheduler"),
    ),
    "kubectl drain": Case(
        k.pod(
            k.ended("worker", 143),
            conditions=(k.disruption("EvictionByEvictionAPI", "Eviction API: evicting"),),
            deleting=True,
            phase="Failed",
        ),
        Reason.EVICTED,
        ("evicted from node node-1", "Eviction API: evicting"),
    ),
    "a node that the garbage collector misses": Case(
        k.pod(
            k.running("worker"),
            conditions=(k.disruption("DeletionByPodGC", "PodGC: node no longer exists"),),
            deleting=True,
            phase="Failed",
        ),
        Reason.NODE_LOST,
        ("node node-1 went away", "node no longer exists"),
    ),
    "a node with a taint": Case(
        k.pod(
            k.ended("worker", 143),
            conditions=(
                k.disruption("DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint"),
            ),
            deleting=True,
            phase="Failed",
        ),
        Reason.NODE_LOST,
        ("node node-1 went away", "NoExecute taint"),
    ),
    "a node that shuts down in order": Case(
        k.pod(
            k.ended("worker", 143),
            phase="Failed",
            reason="Terminated",
            message="Pod was terminated in response to imminent node shutdown.",
        ),
        Reason.NODE_LOST,
        ("imminent node shutdown",),
    ),
    "a node that started anew": Case(
        k.pod(
            k.ended("launcher-grpc", 255, "Unknown"), k.ended("worker", 255, "Unknown"), inits=(k.INIT_DONE,)
        ),
        Reason.NODE_LOST,
        ("node node-1 lost track of the worker container",),
    ),
    "a container that its kubelet can't find": Case(
        k.pod(
            k.ended("launcher-grpc", 137, "ContainerStatusUnknown"),
            k.ended(
                "worker",
                137,
                "ContainerStatusUnknown",
                "The container could not be located when the pod was terminated",
            ),
            phase="Failed",
        ),
        Reason.NODE_LOST,
        ("could not be located",),
    ),
    "an init container that its kubelet can't find": Case(
        k.pod(
            *k.NOT_BEGUN,
            inits=(
                k.ended(
                    "init",
                    137,
                    "ContainerStatusUnknown",
                    "The container could not be located when the pod was terminated",
                ),
            ),
            phase="Failed",
        ),
        Reason.NODE_LOST,
        ("node node-1 lost track of the init container", "could not be located"),
    ),
    "somebody's kubectl delete pod": Case(
        k.pod(
            k.ended(
                "launcher-grpc", message=said("failed", "PodDeleted", "The container was told to terminate")
            ),
            k.ended(
                "worker", 143, message=said("failed", "PodDeleted", "The container was told to terminate")
            ),
            inits=(k.INIT_DONE,),
            deleting=True,
            phase="Failed",
        ),
        Reason.POD_DELETED,
        ("somebody deleted the run's Pod", "told to terminate"),
    ),
    "somebody's kubectl delete pod while init works": Case(
        k.pod(*k.NOT_BEGUN, inits=(k.ended("init", 143),), deleting=True, phase="Failed"),
        Reason.POD_DELETED,
        ("somebody deleted the run's Pod",),
    ),
    "an init container of the user": Case(
        k.pod(
            *k.NOT_BEGUN,
            inits=(k.ended("migrate", 3, message="connecting\nno route to host db:5432\n"),),
            of=k.spec(inits=(k.container("migrate", k.MIGRATE),)),
            phase="Failed",
        ),
        Reason.INIT_FAILED,
        ("init container migrate ended with exit code 3", "no route to host db:5432"),
    ),
    "an init container of the user with much to say": Case(
        k.pod(
            inits=(k.ended("migrate", 1, message="x " * 1500 + "\n" + "y " * 150 + "\nthe last line"),),
            of=k.spec(inits=(k.container("migrate", k.MIGRATE),)),
            phase="Failed",
        ),
        Reason.INIT_FAILED,
        ("exit code 1: ...y y", "the last line"),
    ),
    "the launcher's init": Case(
        k.pod(
            *k.NOT_BEGUN,
            inits=(
                k.ended(
                    "init", 16, message=said("failed", "InitFailed", "git@h: Permission denied (publickey)")
                ),
            ),
            phase="Failed",
        ),
        Reason.INIT_FAILED,
        ("init container init ended with exit code 16", "Permission denied (publickey)"),
    ),
    "an init container that has no such command": Case(
        k.pod(
            inits=(
                k.ended("migrate", 128, "StartError", 'exec: "migrate": executable file not found in $PATH'),
            ),
            of=k.spec(inits=(k.container("migrate", k.MIGRATE),)),
            phase="Failed",
        ),
        Reason.CONFIG_ERROR,
        ("container migrate could not be started", "executable file not found"),
    ),
    "a command": Case(
        k.pod(
            k.ended(
                "launcher-grpc",
                message=said("failed", "NonZeroExit", "Command 2 of 3 ended with exit code 5", worker=5),
            ),
            k.ended("worker", 5),
            inits=(k.INIT_DONE,),
            phase="Failed",
        ),
        Reason.NON_ZERO_EXIT,
        ("Command 2 of 3 ended with exit code 5",),
    ),
    "a command that was killed": Case(
        k.pod(
            k.ended("launcher-grpc", message=said("failed", "NonZeroExit", "Command 1 of 1 ...", worker=137)),
            k.ended("worker", 137),
            inits=(k.INIT_DONE,),
            phase="Failed",
        ),
        Reason.NON_ZERO_EXIT,
        ("often for want of memory", "spec.pod.workerContainer.resources"),
    ),
    "a container without a word": Case(
        k.pod(k.GRPC_DONE, k.ended("worker", 7, message="panic: nil"), inits=(k.INIT_DONE,), phase="Failed"),
        Reason.NON_ZERO_EXIT,
        ("the worker container ended with exit code 7", "panic: nil"),
    ),
    "launcher-grpc that went down before": Case(
        k.pod(
            k.ended("launcher-grpc", 2, message="no credentials"),
            k.ended(
                "worker", 19, message=said("lost", "LeaseLost", "The lease could not be renewed for 120 s")
            ),
            inits=(k.INIT_DONE,),
            phase="Failed",
        ),
        Reason.LEASE_LOST,
        ("could not be renewed for 120 s", "launcher-grpc ended with exit code 2: no credentials"),
        Result.LOST,
    ),
    "launcher-grpc that never came": Case(
        k.pod(
            k.waiting("launcher-grpc", "ErrImagePull", "401 Unauthorized"),
            k.ended(
                "worker", 19, message=said("lost", "LeaseLost", "The lease could not be renewed for 120 s")
            ),
            inits=(k.INIT_DONE,),
        ),
        Reason.LEASE_LOST,
        (f"container launcher-grpc: image {k.LAUNCHER} can't be pulled: 401 Unauthorized",),
        Result.LOST,
    ),
    "a kubelet without room": Case(
        k.pod(
            phase="Failed",
            reason="OutOfcpu",
            message="Pod was rejected: Node didn't have enough resource: cpu, requested: 1600, used: 900, capacity: 2000",
        ),
        Reason.EVICTED,
        (
            "requests cpu 1600m, memory 640Mi, ephemeral-storage 2Gi",
            "node node-1 refused the Pod at admission",
            "OutOfcpu",
        ),
    ),
    "a kubelet whose labels changed": Case(
        k.pod(
            phase="Failed",
            reason="NodeAffinity",
            message="Pod was rejected: Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector",
        ),
        Reason.EVICTED,
        ("node node-1 refused the Pod at admission", "node affinity/selector"),
    ),
    "a kubelet that started anew and doesn't take its Pod back": Case(
        k.pod(k.running("launcher-grpc"), k.running("worker"), phase="Failed", reason="NodeAffinity"),
        Reason.EVICTED,
        ("node node-1 refused the Pod at admission",),
    ),
    "a device plugin": Case(
        k.pod(
            phase="Failed",
            reason="UnexpectedAdmissionError",
            message="Pod was rejected: Allocate failed due to no healthy devices present; cannot allocate unhealthy devices",
        ),
        Reason.EVICTED,
        ("no healthy devices present",),
    ),
    "a kubelet that shuts down": Case(
        k.pod(
            phase="Failed", reason="NodeShutdown", message="Pod was rejected as the node is shutting down."
        ),
        Reason.EVICTED,
        ("node node-1 refused the Pod at admission", "the node is shutting down"),
    ),
    "a kubelet that knows no native sidecars": Case(
        k.pod(
            phase="Failed",
            reason="InitContainerRestartPolicyForbidden",
            message='Init container "redis" may not have a non-default restartPolicy',
        ),
        Reason.CONFIG_ERROR,
        ("node node-1 refused the Pod at admission", "non-default restartPolicy"),
    ),
    "a sysctl": Case(
        k.pod(
            phase="Failed",
            reason="SysctlForbidden",
            message='forbidden sysctl: "kernel.msgmax" not allowlisted',
        ),
        Reason.CONFIG_ERROR,
        ("kernel.msgmax",),
    ),
    "a kubelet with a reason that nobody knows": Case(
        k.pod(phase="Failed", reason="SomethingNew", message="Pod was rejected"),
        Reason.EVICTED,
        ("node node-1 refused the Pod at admission: SomethingNew: Pod was rejected",),
    ),
    "a Pod that ended while its worker container is said to run": Case(
        k.pod(k.running("launcher-grpc"), k.running("worker"), phase="Failed"),
        Reason.NODE_LOST,
        ("nobody reports",),
        Result.LOST,
    ),
}


@pytest.mark.parametrize("name", ENDED)
def test_a_pod_that_ended_by(name: str) -> None:
    """Reason, and a message with container, figures and the field to change."""
    case = ENDED[name]
    found = verdict.judge(case.pod)
    assert (found.result, found.reason) == (case.result, case.reason)
    for text in case.says:
        assert text in found.message
    assert not verdict.awaits_cause(case.pod) or not case.pod.terminal


@pytest.mark.parametrize(
    "reason",
    [
        "OutOfcpu",
        "OutOfmemory",
        "OutOfephemeral-storage",
        "OutOfpods",
        "OutOfnvidia.com/gpu",
        "NodeAffinity",
        "NodeShutdown",
        "TopologyAffinityError",
        "UnexpectedAdmissionError",
        "UnexpectedPredicateFailureType",
        "UnknownReason",
        "VolumeAttachmentLimitExceeded",
    ],
)
def test_what_one_node_refuses_another_may_take(reason: str) -> None:
    """The mothership ends a run that is Unschedulable for good; a started kubelet may refuse Pods that ran, too."""
    fresh = k.pod(phase="Failed", reason=reason, message="Pod was rejected")
    ran = k.pod(k.running("worker"), inits=(k.INIT_DONE,), phase="Failed", reason=reason)
    for pod in (fresh, ran):
        found = verdict.judge(pod)
        assert (found.result, found.reason) == (Result.FAILED, Reason.EVICTED)
        assert f"node node-1 refused the Pod at admission: {reason}" in found.message


def stuck(container: k.Json, *inits: k.Json, **changes: object) -> PodView:
    """Return a Pod whose worker container waits."""
    grpc = k.running("launcher-grpc") if not inits else k.waiting("launcher-grpc", "PodInitializing")
    return k.pod(grpc, container, inits=inits or (k.INIT_DONE,), **changes)


STUCK = {
    "an image that isn't there": (
        stuck(k.waiting("worker", "ErrImagePull", PULL_ERROR)),
        Reason.IMAGE_PULL,
        30.0,
        (f"container worker: image {k.RUNNER} can't be pulled", "not found"),
    ),
    "an image that isn't there, between two tries": (
        stuck(k.waiting("worker", "ImagePullBackOff", f"{BACK_OFF}: ErrImagePull: {PULL_ERROR}")),
        Reason.IMAGE_PULL,
        30.0,
        (k.RUNNER, "failed to resolve reference"),
    ),
    "an image that must not be pulled": (
        stuck(
            k.waiting(
                "worker",
                "ErrImageNeverPull",
                f'Container image "{k.RUNNER}" is not present with pull policy of Never',
            )
        ),
        Reason.IMAGE_PULL,
        30.0,
        (k.RUNNER, "imagePullPolicy Never"),
    ),
    "an image that the node can't read": (
        stuck(k.waiting("worker", "ImageInspectError", "Failed to inspect image")),
        Reason.IMAGE_PULL,
        30.0,
        ("can't be inspected",),
    ),
    "a name that is no image": (
        stuck(
            k.waiting(
                "worker",
                "InvalidImageName",
                'Failed to apply default image tag "a b": couldn\'t parse image name: invalid reference format',
            )
        ),
        Reason.INVALID_IMAGE,
        0.0,
        ("container worker", "is not the name of an image", "invalid reference format"),
    ),
    "a Secret that isn't there": (
        stuck(k.waiting("worker", "CreateContainerConfigError", 'secret "aws" not found')),
        Reason.CONFIG_ERROR,
        30.0,
        ("container worker can't be configured", 'secret "aws" not found'),
    ),
    "an image without a numeric user": (
        stuck(
            k.waiting(
                "worker",
                "CreateContainerConfigError",
                "container has runAsNonRoot and image has non-numeric user (spacelift), cannot verify user is "
                'non-root (pod: "x_default(uid)", container: worker)',
            )
        ),
        Reason.CONFIG_ERROR,
        30.0,
        ("set runAsUser", "1983", "numeric USER", "non-numeric user (spacelift)"),
    ),
    "an image that runs as root": (
        stuck(
            k.waiting(
                "worker",
                "CreateContainerConfigError",
                'container has runAsNonRoot and image will run as root (pod: "x_default(uid)", container: worker)',
            )
        ),
        Reason.CONFIG_ERROR,
        30.0,
        ("set runAsUser", "image will run as root"),
    ),
    "an image without the run's user": (
        stuck(
            k.waiting(
                "worker",
                "CreateContainerError",
                "failed to create containerd container: mount callback failed: unable to find user spacelift: "
                "no matching entries in passwd file",
            )
        ),
        Reason.CONFIG_ERROR,
        30.0,
        ("a custom runner image must have a user with UID 1983", "can't be created"),
    ),
    "a volume that the runtime can't mount": (
        stuck(k.waiting("worker", "RunContainerError", "not a directory")),
        Reason.CONFIG_ERROR,
        30.0,
        ("container worker can't be started", "not a directory"),
    ),
    "a launcher image that isn't there": (
        stuck(k.waiting("worker", "PodInitializing"), k.waiting("init", "ErrImagePull", "not found")),
        Reason.IMAGE_PULL,
        30.0,
        (f"container init: image {k.LAUNCHER}",),
    ),
    "a native sidecar that ends again and again": (
        stuck(
            k.waiting("worker", "PodInitializing"),
            k.waiting("init", "PodInitializing"),
            k.waiting(
                "redis",
                "CrashLoopBackOff",
                "back-off 20s restarting failed container=redis",
                restartCount=2,
                lastState={"terminated": {"exitCode": 1, "reason": "Error", "message": "bad config file"}},
            ),
            of=k.spec(sidecars=(k.sidecar(),)),
        ),
        Reason.CONFIG_ERROR,
        30.0,
        ("sidecar redis", "exit code 1", "restarted 2 times", "bad config file"),
    ),
    "a native sidecar that has just been started again": (
        stuck(
            k.waiting("worker", "PodInitializing"),
            k.waiting("init", "PodInitializing"),
            k.running("redis", started=False, restartCount=3, lastState={"terminated": {"exitCode": 137}}),
            of=k.spec(sidecars=(k.sidecar(),)),
        ),
        Reason.CONFIG_ERROR,
        30.0,
        ("sidecar redis", "exit code 137"),
    ),
    "a native sidecar's image": (
        stuck(
            k.waiting("worker", "PodInitializing"),
            k.waiting("init", "PodInitializing"),
            k.waiting("redis", "ErrImagePull", "not found"),
            of=k.spec(sidecars=(k.sidecar(),)),
        ),
        Reason.IMAGE_PULL,
        30.0,
        (f"container redis: image {k.REDIS}",),
    ),
    "no node with room": (
        k.pod(conditions=(UNSCHEDULABLE,), of=k.spec(node="")),
        Reason.UNSCHEDULABLE,
        300.0,
        ("requests cpu 1600m, memory 640Mi, ephemeral-storage 2Gi", "3 Insufficient cpu"),
    ),
    "a scheduler that doesn't exist": (
        k.pod(conditions=(), of=k.spec(node="") | {"schedulerName": "mine"}),
        Reason.UNSCHEDULABLE,
        300.0,
        ("scheduler mine (spec.pod.schedulerName) hasn't looked at it",),
    ),
}


@pytest.mark.parametrize("name", STUCK)
def test_a_pod_is_kept_from_starting_by(name: str) -> None:
    """Reason, grace, and the words of kubelet or scheduler beside container, image and requests."""
    pod, reason, grace, says = STUCK[name]
    found = starting.problem(pod)
    assert found is not None
    assert (found.outcome.reason, found.grace) == (reason, grace)
    for text in says:
        assert text in found.outcome.message


HEALTHY = {
    "a Pod that was just made": k.pod(conditions=(), of=k.spec()),
    "an image that is being pulled": stuck(k.waiting("worker", "ContainerCreating")),
    "a Pod that another controller holds back": k.pod(
        conditions=(k.condition("PodScheduled", "False", "SchedulingGated", "Scheduling is blocked"),),
        of=k.spec(node=""),
    ),
    "a native sidecar that starts": stuck(
        k.waiting("worker", "PodInitializing"),
        k.INIT_DONE,
        k.running("redis", started=False),
        of=k.spec(sidecars=(k.sidecar(),)),
    ),
    "an ordinary sidecar that can't start": k.pod(
        k.running("launcher-grpc"),
        k.waiting("worker", "ContainerCreating"),
        k.waiting("redis", "ImagePullBackOff", BACK_OFF),
        inits=(k.INIT_DONE,),
    ),
    "a native sidecar that crashes while init works": stuck(
        k.waiting("worker", "PodInitializing"),
        k.running("init"),
        k.waiting("redis", "CrashLoopBackOff", "back-off 20s", restartCount=2),
        of=k.spec(sidecars=(k.sidecar(),)),
    ),
    "a native sidecar that fails after it had started": k.pod(
        k.running("launcher-grpc"),
        k.waiting("worker", "ContainerCreating"),
        inits=(k.INIT_DONE, k.waiting("redis", "CrashLoopBackOff", restartCount=4)),
        of=k.spec(sidecars=(k.sidecar(),)),
    ),
}


@pytest.mark.parametrize("name", HEALTHY)
def test_nothing_is_wrong_with(name: str) -> None:
    """What goes its way, and what holds nobody up, is no problem of the run."""
    assert starting.problem(HEALTHY[name]) is None


def attempt(phase: str = "Starting") -> Attempt:
    """Return a recorded attempt."""
    run = a.busy(phase).run
    assert run is not None
    return run


def test_the_cause_of_a_failed_pull_outlives_the_back_off() -> None:
    """Kubelets before 1.32 tell the cause in ErrImagePull only, and are mostly found in ImagePullBackOff."""
    told, silent = (
        stuck(k.waiting("worker", "ErrImagePull", PULL_ERROR)),
        stuck(k.waiting("worker", "ImagePullBackOff", BACK_OFF)),
    )
    first = progress.situation(attempt(), [told])
    second = progress.situation(attempt(), [silent], before=first.problem)
    third = progress.situation(attempt(), [silent], before=second.problem)
    assert first.label == second.label
    assert third.problem is not None
    assert PULL_ERROR in third.problem.outcome.message


def test_the_cause_of_one_containers_trouble_is_not_put_on_another() -> None:
    """An init image that was pulled in the end says nothing of the runner image, nor one Pod of the next."""
    before = starting.problem(stuck(k.waiting("worker", "ErrImagePull", PULL_ERROR)))
    next_pod = replace(stuck(k.waiting("worker", "ImagePullBackOff", BACK_OFF)), uid="of-another-run")
    unrelated = starting.with_the_cause(starting.problem(next_pod), before)
    assert unrelated is not None
    assert PULL_ERROR not in unrelated.outcome.message
    other = stuck(k.waiting("worker", "PodInitializing"), k.waiting("init", "ImagePullBackOff", BACK_OFF))
    now = starting.with_the_cause(starting.problem(other), before)
    assert now is not None
    assert PULL_ERROR not in now.outcome.message


KILLED = (
    k.ended("launcher-grpc", 143, message=said("failed", "PodDeleted", "The Pod was told to terminate")),
    k.ended("worker", 143, message=said("failed", "PodDeleted", "The container was told to terminate")),
)


def test_a_pod_that_its_kubelet_ends_is_judged_once_the_kubelet_says_why() -> None:
    """The containers' ends are told first; phase and reason follow when nothing of the Pod runs."""
    first = k.pod(*KILLED, inits=(k.INIT_DONE,), phase="Running")
    seen = progress.situation(attempt("Running"), [first])
    assert progress.decide(attempt("Running"), seen, 1.0) == progress.Wait(
        DEFAULTS.launcher_report + 30.0 - 1.0
    )
    then = k.pod(*KILLED, inits=(k.INIT_DONE,), phase="Failed", reason="DeadlineExceeded")
    step = progress.decide(attempt("Running"), progress.situation(attempt("Running"), [then]), 0.0)
    assert isinstance(step, progress.Finish)
    assert step.outcome.reason is Reason.DEADLINE_EXCEEDED


def test_a_killed_init_container_waits_for_the_cause_as_well() -> None:
    """The phase doesn't claim that the worker container ran."""
    first = k.pod(*k.NOT_BEGUN, inits=(k.ended("init", 137),))
    seen = progress.situation(attempt(), [first])
    assert seen.kind is progress.Kind.CAUSE_AWAITED
    assert isinstance(progress.decide(attempt(), seen, 0.0), progress.Wait)
    scheduled = attempt("Scheduled")
    assert progress.decide(scheduled, progress.situation(scheduled, [first]), 0.0) == progress.Advance(
        Phase.STARTING, a.POD_UID
    )


def test_a_cause_that_never_comes_is_not_waited_for_for_ever() -> None:
    """A command may have killed the executor itself."""
    pod = k.pod(*KILLED, inits=(k.INIT_DONE,), phase="Running")
    seen = progress.situation(attempt("Running"), [pod])
    step = progress.decide(attempt("Running"), seen, DEFAULTS.launcher_report + 30.0)
    assert isinstance(step, progress.Finish)
    assert step.outcome.reason is Reason.POD_DELETED


def test_a_cause_is_awaited_for_as_long_as_the_pod_may_take_to_end() -> None:
    """A sidecar may use all of the Pod's grace, and the kubelet names the cause afterwards."""
    slow = k.spec() | {"terminationGracePeriodSeconds": 600}
    pod = k.pod(*KILLED, k.running("redis"), inits=(k.INIT_DONE,), phase="Running", of=slow)
    seen = progress.situation(attempt("Running"), [pod])
    assert progress.decide(attempt("Running"), seen, 600.0) == progress.Wait(DEFAULTS.launcher_report)


GRACES = Graces(
    image_pull=1.0, container_config=2.0, unschedulable=3.0, run_pod=4.0, deleted_pod=5.0, node_lost=6.0,
    launcher_report=7.0,
)  # fmt: skip


@pytest.mark.parametrize(
    ("pod", "seconds"),
    [
        (stuck(k.waiting("worker", "ErrImagePull", PULL_ERROR)), 1.0),
        (stuck(k.waiting("worker", "CreateContainerError", "x")), 2.0),
        (k.pod(conditions=(UNSCHEDULABLE,), of=k.spec(node="")), 3.0),
        (k.pod(deleting=True), 30.0 + 5.0),
        (k.pod(k.running("launcher-grpc"), k.running("worker"), deleting=True), 30.0 + 6.0),
        (k.pod(k.running("launcher-grpc"), k.ended("worker")), 7.0),
    ],
    ids=["image", "config", "unschedulable", "deleted", "node", "report"],
)
def test_each_grace_can_be_set(pod: PodView, seconds: float) -> None:
    """The verdict comes when the grace is over, not before."""
    run = attempt("Running")
    seen = progress.situation(run, [pod], GRACES)
    assert isinstance(progress.decide(run, seen, seconds - 0.5, GRACES), progress.Wait)
    assert isinstance(progress.decide(run, seen, seconds, GRACES), progress.Finish)


def test_a_lost_node_says_why_its_pod_was_deleted() -> None:
    """The taint manager deleted the Pod; the node never said what became of it."""
    target = k.disruption("DeletionByTaintManager", "Taint manager: deleting due to NoExecute taint")
    pod = k.pod(k.running("worker"), conditions=(target,), deleting=True)
    found = verdict.node_lost(pod)
    assert (found.result, found.reason) == (Result.LOST, Reason.NODE_LOST)
    assert "node node-1 doesn't report its end" in found.message
    assert "NoExecute taint" in found.message


def test_a_command_that_may_not_be_executed_names_the_runs_user() -> None:
    """The documented trouble of images without UID 1983, in an exit code and in the kubelet's words."""
    word = said("failed", "NonZeroExit", "Command 1 of 1 ended with exit code 126", worker=126)
    by_code = k.pod(k.ended("launcher-grpc", message=word), k.ended("worker", 126), phase="Failed")
    by_text = k.pod(k.GRPC_DONE, k.ended("worker", 128, "StartError", NO_PERMISSION), phase="Failed")
    by_launcher = k.pod(
        k.GRPC_DONE,
        k.ended(
            "worker",
            21,
            message=said(
                "failed", "ConfigError", "The executor can not make a pipe in its workspace", worker=21
            ),
        ),
        phase="Failed",
    )
    for pod, reason in (
        (by_code, Reason.NON_ZERO_EXIT),
        (by_text, Reason.CONFIG_ERROR),
        (by_launcher, Reason.CONFIG_ERROR),
    ):
        found = verdict.judge(pod)
        assert found.reason is reason
        assert "UID 1983" in found.message
        assert "custom runner image" in found.message


def test_a_key_that_git_refuses_is_no_trouble_of_the_image() -> None:
    """`init` runs in the launcher's own image."""
    case = ENDED["the launcher's init"]
    assert "1983" not in verdict.judge(case.pod).message


def test_the_runs_user_is_no_matter_of_a_users_container() -> None:
    """Its image needs no such user, and what it says of permissions is about something else."""
    said_by_image = "mkdir /data: permission denied"
    own_init = k.spec(inits=(k.container("migrate", k.MIGRATE),))
    ended = (
        k.pod(inits=(k.ended("migrate", 1, message=said_by_image),), of=own_init, phase="Failed"),
        k.pod(inits=(k.ended("migrate", 128, "StartError", NO_PERMISSION),), of=own_init, phase="Failed"),
    )
    waiting = (
        stuck(
            k.waiting("worker", "PodInitializing"),
            k.waiting(
                "migrate", "CreateContainerError", "unable to find user app: no matching entries in passwd"
            ),
            of=own_init,
        ),
        stuck(
            k.waiting("worker", "PodInitializing"),
            k.waiting("init", "PodInitializing"),
            k.ended("redis", 1, message=said_by_image, restartCount=2),
            of=k.spec(sidecars=(k.sidecar(),)),
        ),
    )
    problems = [starting.problem(each) for each in waiting]
    messages = [verdict.judge(each).message for each in ended] + [
        each.outcome.message for each in problems if each is not None
    ]
    assert len(messages) == 4
    assert [each for each in messages if "1983" in each] == []


def test_what_kubelets_demand_of_a_user_goes_for_a_users_container_too() -> None:
    """The pool's securityContext is every container's."""
    text = "container has runAsNonRoot and image will run as root"
    pod = stuck(
        k.waiting("worker", "PodInitializing"),
        k.waiting("migrate", "CreateContainerConfigError", text),
        of=k.spec(inits=(k.container("migrate", k.MIGRATE),)),
    )
    found = starting.problem(pod)
    assert found is not None
    assert "set runAsUser" in found.outcome.message


def test_a_scheduler_has_its_time_for_a_first_look() -> None:
    """Without any patience for nodes, a Pod that the scheduler hasn't seen yet is no Pod that no node takes."""
    none = Graces(unschedulable=0.0)
    unseen = starting.problem(k.pod(conditions=(), of=k.spec(node="")), none)
    refused = starting.problem(k.pod(conditions=(UNSCHEDULABLE,), of=k.spec(node="")), none)
    assert unseen is not None
    assert refused is not None
    assert (unseen.grace, refused.grace) == (30.0, 0.0)


def test_a_long_text_never_costs_what_only_we_know() -> None:
    """Ours comes first, the scheduler's words are cut."""
    endless = k.condition(
        "PodScheduled", "False", "Unschedulable", "0/5000 nodes are available: " + "x" * 5000
    )
    found = starting.problem(k.pod(conditions=(endless,), of=k.spec(node="")))
    assert found is not None
    assert found.outcome.message.startswith("no node takes the Pod, which requests cpu 1600m")
    assert len(found.outcome.message) <= 1024


def test_exit_codes_are_evidence_of_a_pod_that_never_started_too() -> None:
    """What ended before is told to the mothership."""
    found = starting.problem(stuck(k.waiting("worker", "ErrImagePull", PULL_ERROR)))
    assert found is not None
    assert found.outcome == Outcome(Result.FAILED, Reason.IMAGE_PULL, found.outcome.message, {"init": 0})
