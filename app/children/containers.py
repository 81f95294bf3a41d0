"""The containers of a run Pod: ``init``, ``launcher-grpc``, ``worker``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.children.environment import launcher_environment, merged_environment, worker_environment
from app.vocabulary import (
    EXECUTOR_COMMAND,
    GRPC_CONTAINER,
    INIT_CONTAINER,
    LAUNCHER_COMMAND,
    RUN_USER_ID,
    WORKER_CONTAINER,
)

if TYPE_CHECKING:
    from app.children.order import RunPodOrder
    from app.children.pod_settings import Settings
    from app.children.volumes import RunVolumes
    from app.contract.fields import JsonObject

_PASSED_ON = ("envFrom", "resources", "imagePullPolicy")
"""Settings of a container that are copied as they are."""


def init_container(order: RunPodOrder, settings: Settings, volumes: RunVolumes) -> JsonObject:
    """Return the init container that claims the start and prepares the workspace."""
    container = {
        "name": INIT_CONTAINER,
        "image": _launcher_image(order, settings),
        "command": [LAUNCHER_COMMAND],
        "args": ["init"],
        "env": launcher_environment(order),
        "volumeMounts": volumes.init_mounts(),
    }
    return _with_overrides(container, settings, "initContainer")


def grpc_container(order: RunPodOrder, settings: Settings, volumes: RunVolumes) -> JsonObject:
    """Return the container that streams logs, renews the lease and carries the stop signal."""
    container = {
        "name": GRPC_CONTAINER,
        "image": _launcher_image(order, settings),
        "command": [LAUNCHER_COMMAND],
        "args": ["grpc-server"],
        "env": launcher_environment(order),
        "volumeMounts": volumes.grpc_mounts(),
    }
    return _with_overrides(container, settings, "grpcServerContainer")


def worker_container(order: RunPodOrder, settings: Settings, volumes: RunVolumes) -> JsonObject:
    """Return the container that runs the run's commands in the runner image."""
    container = {
        "name": WORKER_CONTAINER,
        "image": order.runner_image,
        "command": [EXECUTOR_COMMAND],
        "env": worker_environment(order, settings.text("customBinariesPath")),
        "volumeMounts": volumes.worker_mounts(),
    }
    return _with_overrides(container, settings, "workerContainer")


def _launcher_image(order: RunPodOrder, settings: Settings) -> str:
    return settings.text("launcherImage") or order.launcher_image


def _with_overrides(container: JsonObject, pod_settings: Settings, section: str) -> JsonObject:
    settings = pod_settings.section(section)
    passed_on = {key: value for key in _PASSED_ON if (value := settings.given(key)) is not None}
    return {
        **container,
        **passed_on,
        "env": merged_environment(container["env"], settings.objects("env")),
        "volumeMounts": container["volumeMounts"] + settings.objects("volumeMounts"),
        "securityContext": {
            **_default_security_context(pod_settings.mapping("securityContext")),
            **settings.mapping("securityContext"),
        },
    }


def _default_security_context(of_pod: JsonObject) -> JsonObject:
    """Return the restricted defaults, less what the user set for the whole Pod, which a container's would hide."""
    identity = {"runAsUser": RUN_USER_ID, "runAsGroup": RUN_USER_ID, "runAsNonRoot": True}
    return {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        **{key: value for key, value in identity.items() if key not in of_pod},
    }
