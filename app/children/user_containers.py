"""Containers of the user's: before ``init``, and beside the run. They stay as written, their restart policy aside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from app.children.mounts import refuse_credentials
from app.children.names import check_names
from app.vocabulary import RESERVED_CONTAINERS

if TYPE_CHECKING:
    from app.children.pod_settings import Settings
    from app.contract.fields import JsonObject

_CUSTOM_INIT = "customInitContainers"
_SIDECARS = "additionalSidecarContainers"
_POLICY = "restartPolicy"


@dataclass(frozen=True, slots=True)
class UserContainers:
    """The user's containers, in the three places of a Pod where they may stand."""

    before_init: list[JsonObject]
    """Each runs to its end before the next one starts; one of restartPolicy Always stays, as native sidecars do."""

    native_sidecars: list[JsonObject]
    """Start behind those, before ``init``, and are ended by the kubelet when the run's containers are."""

    beside_worker: list[JsonObject]
    """Ordinary containers: they run on until the Pod is let go."""


def user_containers(pod: Settings, *, native_sidecars: bool) -> UserContainers:
    """Return the user's containers; `native_sidecars` says that the cluster has them (Kubernetes 1.29).

    Raises PodSettingsError for a name that is taken and for a mount of the run's credentials.
    """
    containers = [*pod.items(_CUSTOM_INIT), *pod.items(_SIDECARS)]
    check_names(containers, RESERVED_CONTAINERS, "container")
    for container in containers:
        refuse_credentials(container)
    sidecars = pod.objects(_SIDECARS)
    return UserContainers(
        before_init=[_without_empty_policy(each) for each in pod.objects(_CUSTOM_INIT)],
        native_sidecars=[{**sidecar, _POLICY: "Always"} for sidecar in sidecars] if native_sidecars else [],
        beside_worker=[] if native_sidecars else [_without_policy(each) for each in sidecars],
    )


def _without_empty_policy(container: JsonObject) -> JsonObject:
    """Return an init container without an empty policy, which the API server takes for a wrong one."""
    return container if container.get(_POLICY) else _without_policy(container)


def _without_policy(container: JsonObject) -> JsonObject:
    """Return a container without a policy: the API server refuses any on one that isn't an init container."""
    return {key: value for key, value in container.items() if key != _POLICY}
