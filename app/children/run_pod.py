"""The Pod of one attempt of a run.

Called by the Worker hook in phase Scheduled, and by the agent when it asks the API server (dry run) why such a
Pod isn't there. Everything in ``spec.pod`` of the pool is honoured; what is null or empty counts as not given.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.children.containers import grpc_container, init_container, worker_container
from app.children.order import RunPodOrder, run_pod_name
from app.children.pod_settings import Settings
from app.children.volumes import run_volumes
from app.vocabulary import (
    ASSIGNMENT_LABEL,
    DEFAULT_ACTIVE_DEADLINE_SECONDS,
    POD_KIND,
    POOL_LABEL,
    POOL_NAME_ANNOTATION,
    RUN_LABEL,
    RUN_USER_ID,
    SEQUENCE_LABEL,
    STAGE_LABEL,
    VERDICT_FINALIZER,
    WORKER_LABEL,
)

if TYPE_CHECKING:
    from app.contract.fields import JsonObject

_PASSED_ON = (
    "terminationGracePeriodSeconds",
    "serviceAccountName",
    "automountServiceAccountToken",
    "imagePullSecrets",
    "nodeSelector",
    "nodeName",
    "affinity",
    "schedulerName",
    "tolerations",
    "hostAliases",
    "dnsConfig",
    "dnsPolicy",
    "runtimeClassName",
    "topologySpreadConstraints",
)
"""Fields of ``spec.pod`` that mean the same in a Pod's spec and are copied as they are."""


def build_run_pod(order: RunPodOrder, pod_settings: JsonObject) -> JsonObject:
    """Return the run Pod; raise PodSettingsError when the settings have an impossible shape."""
    settings = Settings(pod_settings, "pod")
    return {
        "apiVersion": "v1",
        "kind": POD_KIND,
        "metadata": _metadata(order, settings),
        "spec": _spec(order, settings),
    }


def _metadata(order: RunPodOrder, settings: Settings) -> JsonObject:
    return {
        "name": run_pod_name(order.run_id, order.stage, order.sequence),
        "namespace": order.namespace,
        # Ours win: agent and hook know the attempt by these labels.
        "labels": {**settings.mapping("labels"), **_labels(order)},
        "annotations": {**settings.mapping("annotations"), POOL_NAME_ANNOTATION: order.pool_name},
        "finalizers": [VERDICT_FINALIZER],
        "ownerReferences": [_secret_reference(order)],
    }


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


def _spec(order: RunPodOrder, settings: Settings) -> JsonObject:
    volumes = run_volumes(settings, order.secret_name)
    passed_on = {key: value for key in _PASSED_ON if (value := settings.given(key)) is not None}
    deadline = settings.given("activeDeadlineSeconds")
    return {
        **passed_on,
        "restartPolicy": "Never",
        "activeDeadlineSeconds": DEFAULT_ACTIVE_DEADLINE_SECONDS if deadline is None else deadline,
        "securityContext": _security_context(settings),
        "volumes": volumes.to_pod(),
        "initContainers": [
            *settings.objects("customInitContainers"),
            init_container(order, settings, volumes),
        ],
        "containers": [
            grpc_container(order, settings, volumes),
            worker_container(order, settings, volumes),
            *settings.objects("additionalSidecarContainers"),
        ],
    }


def _security_context(settings: Settings) -> JsonObject:
    """Return what holds for every container; user and group are set on ours alone, so that sidecars keep theirs."""
    return {
        "fsGroup": RUN_USER_ID,
        "seccompProfile": {"type": "RuntimeDefault"},
        **settings.mapping("securityContext"),
    }
