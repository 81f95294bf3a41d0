"""Run Pods with the statuses that schedulers and kubelets write, field for field (Kubernetes 1.36).

The Pod is the one that the hook builds for a pool with limits, with what API server and scheduler add. Texts are those
of the sources: kube-scheduler, pkg/kubelet (eviction, lifecycle, images, kuberuntime) and containerd.
"""

import copy
from typing import Any

from app.agent.pod_state import PodView, parse_pod, trim_pod
from tests.unit.agent import builders as a

Json = dict[str, Any]

RUNNER = "registry.example/team/runner:1.2"
LAUNCHER = "registry.example/launcher:0.1"
MIGRATE = "registry.example/team/migrate:7"
REDIS = "docker.io/library/redis:8"


def container(name: str, image: str, memory: str = "", **requests: str) -> Json:
    """Return a container of a Pod's spec; `memory` is its limit."""
    resources: Json = {"limits": {"memory": memory}} if memory else {}
    if requests or memory:
        named = {key.replace("_", "-"): value for key, value in requests.items()}
        resources["requests"] = {"memory": memory, **named} if memory else named
    return {
        "name": name,
        "image": image,
        "resources": resources,
        "env": [{"name": "SPACELIFT_RUN_ID", "value": a.RUN}],
        "volumeMounts": [{"name": "workspace", "mountPath": "/mnt/workspace", "subPath": "project"}],
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        "imagePullPolicy": "IfNotPresent",
    }


def sidecar(name: str = "redis", image: str = REDIS, memory: str = "64Mi") -> Json:
    """Return a native sidecar."""
    return {**container(name, image, memory, cpu="100m"), "restartPolicy": "Always"}


def spec(*, inits: tuple[Json, ...] = (), sidecars: tuple[Json, ...] = (), node: str = "node-1") -> Json:
    """Return the spec of a run Pod; `sidecars` are native ones, before `init`."""
    found: Json = {
        "initContainers": [
            *inits,
            *sidecars,
            container("init", LAUNCHER, "128Mi", cpu="250m"),
        ],
        "containers": [
            container("launcher-grpc", LAUNCHER, "128Mi", cpu="100m"),
            container("worker", RUNNER, "512Mi", cpu="1500m", ephemeral_storage="2Gi"),
        ],
        "restartPolicy": "Never",
        "activeDeadlineSeconds": 4200,
        "terminationGracePeriodSeconds": 30,
        "schedulerName": "default-scheduler",
        "tolerations": [{"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"}],
    }
    return found | ({"nodeName": node} if node else {})


def waiting(name: str, reason: str, message: str = "", **more: Any) -> Json:  # noqa: ANN401
    """Return the status of a container that waits; kubelets leave an empty message out."""
    state: Json = {"reason": reason} | ({"message": message} if message else {})
    return _status(name, {"waiting": state}, started=False, **more)


def running(name: str, **more: Any) -> Json:  # noqa: ANN401
    """Return the status of a container that runs."""
    return _status(name, {"running": {"startedAt": "2026-01-01T00:00:10Z"}}, **{"started": True, **more})


def ended(name: str, code: int = 0, reason: str = "", message: str = "", **more: Any) -> Json:  # noqa: ANN401
    """Return the status of a container that ended."""
    state: Json = {
        "exitCode": code,
        "reason": reason or ("Completed" if code == 0 else "Error"),
        "startedAt": "2026-01-01T00:00:10Z",
        "finishedAt": "2026-01-01T00:01:00Z",
        "containerID": f"containerd://{name}",
    } | ({"message": message} if message else {})
    return _status(name, {"terminated": state}, started=False, **more)


def condition(kind: str, status: str, reason: str = "", message: str = "") -> Json:
    """Return one of a Pod's conditions."""
    found = {
        "type": kind,
        "status": status,
        "lastProbeTime": None,
        "lastTransitionTime": "2026-01-01T00:00:06Z",
    }
    return found | {key: value for key, value in (("reason", reason), ("message", message)) if value}


def disruption(reason: str, message: str) -> Json:
    """Return the condition of a Pod that somebody disrupts."""
    return condition("DisruptionTarget", "True", reason, message)


def pod_object(
    *containers: Json,
    inits: tuple[Json, ...] = (),
    conditions: tuple[Json, ...] = (condition("PodScheduled", "True"),),
    deleting: bool = False,
    of: Json | None = None,
    **status: Any,  # noqa: ANN401 - fields of a Pod's status
) -> Json:
    """Return a run Pod of `spec` (or `of`); `status` are phase, reason and message."""
    found = a.pod_object(deleting=deleting)
    found["metadata"] |= {
        "managedFields": [{"manager": "metacontroller", "operation": "Update"}],
        "ownerReferences": [{"kind": "Worker", "name": a.WORKER_NAME, "uid": a.WORKER_UID}],
    }
    found["spec"] = copy.deepcopy(of or spec())
    found["status"] = {
        "phase": "Pending",
        "conditions": list(conditions),
        "hostIP": "10.0.0.1",
        "qosClass": "Burstable",
        **status,
    }
    if inits:
        found["status"]["initContainerStatuses"] = list(inits)
    if containers:
        found["status"]["containerStatuses"] = list(containers)
    return found


def pod(*containers: Json, **changes: Any) -> PodView:  # noqa: ANN401 - as pod_object
    """Return what the agent sees of such a Pod: through its cache, as it is in production."""
    return parse_pod(trim_pod(pod_object(*containers, **changes)))


def _status(name: str, state: Json, **more: Any) -> Json:  # noqa: ANN401
    fields: Json = {"restartCount": 0, "ready": False, "image": "sha256:1", "imageID": "", "lastState": {}}
    return {"name": name, "state": state, **fields, **more}


INIT_DONE = ended("init")
NOT_BEGUN = (waiting("launcher-grpc", "PodInitializing"), waiting("worker", "PodInitializing"))
GRPC_RUNS = running("launcher-grpc")
GRPC_DONE = ended("launcher-grpc")
