"""Builders of observed objects: a test says only what it is about."""

from __future__ import annotations

from typing import Any

from app.contract.requests import CompositeRequest, DecoratorRequest
from app.reconcile.identity import worker_ulid

Object = dict[str, Any]

POOL_ULID = "01HPS9HDSWCQ73RPDTVAK0KK0A"
POOL_UID = "7a2f9c1e-52d5-4c26-9d70-0a5a8f6f4d11"
RUN_ULID = "01HPS6XB76J1JB3EHSK4AWE5AB"
SETTINGS = "local-pool-0123456789"


def pool(
    *,
    size: int | None = 2,
    ulid: str | None = POOL_ULID,
    closed: int | None = None,
    status: Object | None = None,
    uid: str = POOL_UID,
    connection: str | None = None,
    cycle: str | None = None,
) -> Object:
    """Return an observed WorkerPool; `closed` is H in its status, `cycle` the text of the cycle's annotation."""
    labels = {} if ulid is None else {"workers.spacelift.io/ulid": ulid}
    annotations = {} if connection is None else {"workers.spacelift.io/connection": connection}
    annotations |= {} if cycle is None else {"workers.spacelift.io/cycle": cycle}
    status = dict(status or {}) | ({} if closed is None else {"sequence": closed})
    reference = {"secretKeyRef": {"name": "local-pool", "key": "token"}}
    return {
        "apiVersion": "workers.spacelift.io/v1beta1",
        "kind": "WorkerPool",
        "metadata": {
            "name": "local-pool",
            "namespace": "default",
            "uid": uid,
            "generation": 1,
            "creationTimestamp": "2026-01-02T03:04:05Z",
            "labels": labels,
            "annotations": annotations,
        },
        "spec": {"token": reference, "privateKey": reference} | ({} if size is None else {"poolSize": size}),
        "status": status,
    }


def worker(
    sequence: int = 1,
    *,
    pool_ulid: str = POOL_ULID,
    draining: bool = False,
    deleted: bool = False,
    **status: object,
) -> Object:
    """Return an observed Worker with these fields of status."""
    ulid = worker_ulid(POOL_UID, sequence)
    metadata: Object = {
        "name": f"local-pool-{ulid.lower()}",
        "namespace": "default",
        "uid": f"worker-uid-{sequence}",
        "labels": {
            "controller-uid": POOL_UID,
            "workers.spacelift.io/ulid": ulid,
            "workers.spacelift.io/workerpool": pool_ulid,
        },
        "annotations": {"workers.spacelift.io/workerpool-name": "local-pool"},
    }
    if deleted:
        metadata["deletionTimestamp"] = "2026-01-02T04:00:00Z"
    return {
        "apiVersion": "workers.spacelift.io/v1beta1",
        "kind": "Worker",
        "metadata": metadata,
        "spec": {"sequence": sequence, "draining": draining},
        "status": status,
    }


def busy_worker(sequence: int = 1, *, draining: bool = False, deleted: bool = False) -> Object:
    """Return an observed Worker with a running run."""
    return worker(
        sequence,
        draining=draining,
        deleted=deleted,
        registration="Registered",
        registered=True,
        state="BUSY",
        currentRunID=RUN_ULID,
        assignment=1,
        run=run("Running", podUID="pod-uid"),
    )


def idle_worker(
    sequence: int = 1, *, draining: bool = False, deleted: bool = False, **status: object
) -> Object:
    """Return an observed, registered Worker without a run."""
    idle: Object = {"registration": "Registered", "registered": True, "state": "IDLE"} | status
    return worker(sequence, draining=draining, deleted=deleted, **idle)


def run(phase: str = "Scheduled", *, sequence: int = 2, assignment: int = 1, **fields: object) -> Object:
    """Return ``status.run`` of a Worker."""
    return {
        "id": RUN_ULID,
        "stage": "preparing",
        "sequence": sequence,
        "assignment": assignment,
        "phase": phase,
        "runnerImage": "spacelift.local/runner:dev",
        "launcherImage": "spacelift.local/launcher:dev",
        "secretName": f"{RUN_ULID.lower()}-preparing-{sequence}",
        "secretUID": "secret-uid",
        "settings": SETTINGS,
        "scheduledAt": "2026-01-02T03:05:00Z",
    } | fields


def pod(
    *,
    sequence: int = 2,
    assignment: int = 1,
    uid: str = "pod-uid",
    phase: str = "Running",
    labels: Object | None = None,
) -> Object:
    """Return an observed run Pod of that attempt."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"{RUN_ULID.lower()}-preparing-{sequence}",
            "namespace": "default",
            "uid": uid,
            "labels": {
                "workers.spacelift.io/run-id": RUN_ULID,
                "workers.spacelift.io/sequence": str(sequence),
                "workers.spacelift.io/assignment": str(assignment),
            }
            if labels is None
            else labels,
        },
        "status": {"phase": phase},
    }


def revision(pod_settings: Object | None = None, name: str = SETTINGS) -> Object:
    """Return the ControllerRevision that freezes `pod_settings`."""
    return {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {"name": name, "namespace": "default"},
        "data": {"pod": pod_settings or {}, "pool": {"name": "local-pool", "uid": POOL_UID}},
    }


def pool_request(parent: Object, *children: Object, finalizing: bool = False) -> CompositeRequest:
    """Return a parsed call of a pool hook."""
    return CompositeRequest(parent=parent, children=tuple(children), finalizing=finalizing)


def worker_request(
    parent: Object, *pods: Object, revisions: tuple[Object, ...] = (), finalizing: bool = False
) -> DecoratorRequest:
    """Return a parsed call of a Worker hook."""
    related = {item["metadata"]["name"]: item for item in revisions}
    return DecoratorRequest(parent=parent, attachments=pods, related=related, finalizing=finalizing)


def names(objects: list[Object] | tuple[Object, ...]) -> list[str]:
    """Return the objects' names."""
    return [item["metadata"]["name"] for item in objects]


def sequences(workers: list[Object]) -> list[int]:
    """Return the sequence numbers of Workers."""
    return [item["spec"]["sequence"] for item in workers]
