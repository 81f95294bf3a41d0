"""Builders of the objects and messages that the agent's tests are about: a test shows only what matters to it."""

import copy
from typing import Any

from app import vocabulary as words
from app.agent.pod_state import PodView, parse_pod
from app.agent.pool_state import PoolView, parse_pool
from app.agent.worker_state import WorkerView, parse_worker
from protocol.messages import RunCanceled, RunReleased, RunScheduled

RUN = "01HPS6XB76J1JB3EHSK4AWE5AB"
OTHER_RUN = "01HPS85J6SRG37DG6FGNRZGHMM"
POOL_ULID = "01HPS9HDSWCQ73RPDTVAK0KK0A"
WORKER_ULID = "01HPS6K4BNB7BPHCDHDWFAMJNV"
POOL = "local-pool"
NAMESPACE = "default"
POOL_UID = "pool-uid"
WORKER_UID = "worker-uid"
POD_UID = "pod-uid"
WORKER_NAME = f"{POOL}-{WORKER_ULID.lower()}"
POD_NAME = f"{RUN.lower()}-preparing-2"

Json = dict[str, Any]


def worker_object(*, status: Json | None = None, **changes: Any) -> Json:  # noqa: ANN401
    """Return a registered, idle Worker; `changes` are deleting, managed, draining, uid, sequence, ulid, owner."""
    ulid = changes.get("ulid", WORKER_ULID)
    metadata: Json = {
        "namespace": NAMESPACE,
        "name": f"{POOL}-{ulid.lower()}",
        "uid": changes.get("uid", WORKER_UID),
        "resourceVersion": "10",
        "labels": {
            words.ULID_LABEL: ulid,
            words.POOL_LABEL: changes.get("pool_ulid", POOL_ULID),
            words.OWNER_LABEL: changes.get("owner", POOL_UID),
        },
        "annotations": {words.POOL_NAME_ANNOTATION: POOL},
        "finalizers": [words.WORKER_FINALIZER] if changes.get("managed", True) else [],
    }
    if changes.get("deleting"):
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    registered = {"registration": "Registered", "registered": True, "state": "IDLE", "assignment": 4}
    return {
        "apiVersion": words.API_VERSION,
        "kind": words.WORKER_KIND,
        "metadata": metadata,
        "spec": {"sequence": changes.get("sequence", 1), "draining": changes.get("draining", False)},
        "status": registered if status is None else status,
    }


def run_status(phase: str = "Scheduled", **changes: Any) -> Json:  # noqa: ANN401
    """Return `status.run` of assignment 5; from Starting on it has the Pod's UID, Finished has an outcome."""
    run: Json = {
        "id": RUN,
        "stage": "preparing",
        "sequence": 2,
        "assignment": 5,
        "phase": phase,
        "runnerImage": "runner:1",
        "launcherImage": "launcher:1",
        "secretName": POD_NAME,
        "secretUID": "secret-uid",
        "settings": f"{POOL}-0123456789",
        "scheduledAt": "2026-01-01T00:00:00Z",
    }
    if phase != "Scheduled":
        run["podUID"] = POD_UID
    if phase == "Finished":
        run["outcome"] = {"result": "succeeded", "reason": "Completed", "message": "", "exitCodes": {}}
    return {**run, **changes}


def busy_status(phase: str = "Scheduled", **changes: Any) -> Json:  # noqa: ANN401
    """Return the status of a registered Worker with a run."""
    kept = changes.pop("keptPods", [])
    return {
        "registration": "Registered",
        "registered": True,
        "state": "BUSY",
        "currentRunID": RUN,
        "assignment": 5,
        "keptPods": kept,
        "run": run_status(phase, **changes),
    }


def worker(**changes: Any) -> WorkerView:  # noqa: ANN401
    """Return the view of `worker_object`."""
    return parse_worker(worker_object(**changes))


def busy(phase: str = "Scheduled", **changes: Any) -> WorkerView:  # noqa: ANN401
    """Return the view of a Worker with a run in `phase`; `worker_changes` change the Worker itself."""
    worker_changes = changes.pop("worker_changes", {})
    return worker(status=busy_status(phase, **changes), **worker_changes)


def waiting(name: str, reason: str = "ContainerCreating", message: str = "") -> Json:
    """Return the status of a container that waits."""
    return {"name": name, "state": {"waiting": {"reason": reason, "message": message}}}


def running(name: str) -> Json:
    """Return the status of a container that runs."""
    return {"name": name, "state": {"running": {"startedAt": "2026-01-01T00:00:10Z"}}}


def ended(name: str, code: int = 0, reason: str = "", message: str = "") -> Json:
    """Return the status of a container that ended."""
    word = reason or ("Completed" if code == 0 else "Error")
    terminated = {"exitCode": code, "reason": word, "message": message, "finishedAt": "2026-01-01T00:01:00Z"}
    return {"name": name, "state": {"terminated": terminated}}


def pod_object(*containers: Json, init: Json | None = None, **changes: Any) -> Json:  # noqa: ANN401
    """Return the run Pod of assignment 5; without containers it is fresh and nothing of it runs."""
    metadata: Json = {
        "namespace": NAMESPACE,
        "name": changes.get("name", POD_NAME),
        "uid": changes.get("uid", POD_UID),
        "resourceVersion": "20",
        "creationTimestamp": "2026-01-01T00:00:05Z",
        "labels": {
            words.RUN_LABEL: changes.get("run", RUN),
            words.WORKER_LABEL: changes.get("ulid", WORKER_ULID),
            words.POOL_LABEL: POOL_ULID,
            words.STAGE_LABEL: "preparing",
            words.SEQUENCE_LABEL: str(changes.get("sequence", 2)),
            words.ASSIGNMENT_LABEL: str(changes.get("assignment", 5)),
        },
        "annotations": {words.POOL_NAME_ANNOTATION: POOL},
        "finalizers": [words.VERDICT_FINALIZER] if changes.get("guarded", True) else [],
    }
    if changes.get("deleting"):
        metadata |= {"deletionTimestamp": "2026-01-01T00:02:00Z", "deletionGracePeriodSeconds": 30}
    status: Json = {
        "phase": changes.get("phase", "Pending"),
        "reason": changes.get("reason", ""),
        "message": changes.get("message", ""),
        "conditions": changes.get("conditions", []),
        "initContainerStatuses": [init or waiting("init", "PodInitializing")],
        "containerStatuses": list(containers) or [waiting("launcher-grpc"), waiting("worker")],
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata,
        "spec": {"nodeName": changes.get("node", "node-1")},
        "status": status,
    }


def pod(*containers: Json, init: Json | None = None, **changes: Any) -> PodView:  # noqa: ANN401
    """Return the view of `pod_object`."""
    return parse_pod(pod_object(*containers, init=init, **changes))


def pool_object(**spec: Any) -> Json:  # noqa: ANN401
    """Return a WorkerPool of one worker; `spec` replaces fields of its spec."""
    return {
        "apiVersion": words.API_VERSION,
        "kind": words.WORKER_POOL_KIND,
        "metadata": {
            "namespace": NAMESPACE,
            "name": POOL,
            "uid": POOL_UID,
            "resourceVersion": "5",
            "generation": 1,
            "labels": {},
        },
        "spec": {
            "poolSize": 1,
            "token": {"secretKeyRef": {"name": "creds", "key": "token"}},
            "privateKey": {"secretKeyRef": {"name": "creds", "key": "privateKey"}},
            **copy.deepcopy(spec),
        },
    }


def pool(**spec: Any) -> PoolView:  # noqa: ANN401
    """Return the view of `pool_object`."""
    return parse_pool(pool_object(**spec))


def scheduled(assignment: int = 5, **changes: Any) -> RunScheduled:  # noqa: ANN401
    """Return the message that schedules `RUN` on the Worker."""
    fields = {
        "worker_uid": WORKER_UID,
        "pool_uid": POOL_UID,
        "run": RUN,
        "stage": "preparing",
        "sequence": 2,
        "assignment": assignment,
        "runner_image": "runner:1",
        "launcher_image": "launcher:1",
        "payload": "sealed",
    }
    return RunScheduled(**{**fields, **changes})


def released(run: str = RUN, sequence: int = 2) -> RunReleased:
    """Return the message that releases the Worker."""
    return RunReleased(worker_uid=WORKER_UID, pool_uid=POOL_UID, run=run, sequence=sequence)


def canceled(run: str = RUN, sequence: int = 2) -> RunCanceled:
    """Return the message that cancels the attempt."""
    return RunCanceled(worker_uid=WORKER_UID, pool_uid=POOL_UID, run=run, sequence=sequence)
