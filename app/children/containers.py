"""The containers of a run Pod: ``init``, ``launcher-grpc``, ``worker``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.children.environment import launcher_environment, merged_environment, worker_environment
from app.children.mounts import merged_mounts
from app.children.pod_settings import is_given
from app.children.security import container_security_context
from app.vocabulary import (
    EXECUTOR_COMMAND,
    GRPC_CONTAINER,
    INIT_CONTAINER,
    LAUNCHER_COMMAND,
    WORKER_CONTAINER,
)

if TYPE_CHECKING:
    from app.children.order import RunPodOrder
    from app.children.pod_settings import Settings
    from app.children.volumes import RunVolumes
    from app.contract.fields import JsonObject


def init_container(order: RunPodOrder, pod: Settings, volumes: RunVolumes) -> JsonObject:
    """Return the init container that claims the start and prepares the workspace."""
    container = {
        "name": INIT_CONTAINER,
        "image": _launcher_image(order, pod),
        "command": [LAUNCHER_COMMAND],
        "args": ["init"],
        "env": launcher_environment(order),
        "volumeMounts": volumes.init_mounts(),
    }
    return _with_overrides(container, pod, "initContainer")


def grpc_container(order: RunPodOrder, pod: Settings, volumes: RunVolumes) -> JsonObject:
    """Return the container that streams logs, renews the lease and carries the stop signal."""
    container = {
        "name": GRPC_CONTAINER,
        "image": _launcher_image(order, pod),
        "command": [LAUNCHER_COMMAND],
        "args": ["grpc-server"],
        "env": launcher_environment(order),
        "volumeMounts": volumes.grpc_mounts(),
    }
    return _with_overrides(container, pod, "grpcServerContainer")


def worker_container(order: RunPodOrder, pod: Settings, volumes: RunVolumes) -> JsonObject:
    """Return the container that runs the run's commands in the runner image."""
    container = {
        "name": WORKER_CONTAINER,
        "image": order.runner_image,
        "command": [EXECUTOR_COMMAND],
        "env": worker_environment(order, pod.text("customBinariesPath")),
        "volumeMounts": volumes.worker_mounts(),
    }
    return _with_overrides(container, pod, "workerContainer")


def _launcher_image(order: RunPodOrder, pod: Settings) -> str:
    return pod.text("launcherImage") or order.launcher_image


def _with_overrides(container: JsonObject, pod: Settings, section: str) -> JsonObject:
    """Return the container with the user's settings for it, from ``spec.pod.<section>``."""
    settings = pod.section(section)
    users = {
        "envFrom": settings.objects("envFrom"),
        "resources": settings.dense("resources"),
        "imagePullPolicy": settings.text("imagePullPolicy"),
    }
    return {
        **container,
        **{key: value for key, value in users.items() if is_given(value)},
        "env": merged_environment(container["env"], settings.items("env")),
        "volumeMounts": merged_mounts(container["volumeMounts"], settings),
        "securityContext": container_security_context(pod, settings),
    }
