"""Containers of the user's: before ``init``, and beside the run. They stay as the user wrote them."""

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


@dataclass(frozen=True, slots=True)
class UserContainers:
    """The user's containers, in the three places of a Pod where they may stand."""

    before_init: list[JsonObject]
    """Each runs to its end before ``init`` starts."""

    native_sidecars: list[JsonObject]
    """Start once ``init`` is done, run beside the run, and are ended by the kubelet when the run's containers are."""

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
        before_init=pod.objects(_CUSTOM_INIT),
        native_sidecars=[{**sidecar, "restartPolicy": "Always"} for sidecar in sidecars]
        if native_sidecars
        else [],
        beside_worker=[] if native_sidecars else sidecars,
    )
