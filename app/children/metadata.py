"""Metadata of a run Pod: how hook, agent and people know which attempt it serves."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.children.order import run_pod_name
from app.vocabulary import (
    ASSIGNMENT_LABEL,
    POOL_LABEL,
    POOL_NAME_ANNOTATION,
    RESERVED_PREFIX,
    RUN_LABEL,
    SEQUENCE_LABEL,
    STAGE_LABEL,
    VERDICT_FINALIZER,
    WORKER_LABEL,
)

if TYPE_CHECKING:
    from app.children.order import RunPodOrder
    from app.children.pod_settings import Settings
    from app.contract.fields import JsonObject


def pod_metadata(order: RunPodOrder, pod: Settings) -> JsonObject:
    """Return ``metadata``: the user's labels and annotations, and ours, which nothing of the user's overrides."""
    return {
        "name": run_pod_name(order.run_id, order.stage, order.sequence),
        "namespace": order.namespace,
        "labels": {**_users(pod, "labels"), **_labels(order)},
        "annotations": {**_users(pod, "annotations"), POOL_NAME_ANNOTATION: order.pool_name},
        "finalizers": [VERDICT_FINALIZER],
        "ownerReferences": [_secret_reference(order)],
    }


def _users(pod: Settings, key: str) -> dict[str, str]:
    """Return the user's labels or annotations without reserved ones, which the CRD refuses: ours alone carry meaning."""
    return {name: value for name, value in pod.texts(key).items() if not name.startswith(RESERVED_PREFIX)}


def _labels(order: RunPodOrder) -> dict[str, str]:
    return {
        RUN_LABEL: order.run_id,
        WORKER_LABEL: order.worker_ulid,
        POOL_LABEL: order.pool_ulid,
        STAGE_LABEL: order.stage,
        SEQUENCE_LABEL: str(order.sequence),
        ASSIGNMENT_LABEL: str(order.assignment),
    }


def _secret_reference(order: RunPodOrder) -> JsonObject:
    """Return a second owner: foreground deletion of the pool then leaves the Pod to the verdict."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "name": order.secret_name,
        "uid": order.secret_uid,
        "controller": False,
    }
