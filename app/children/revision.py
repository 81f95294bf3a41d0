"""What a settings revision holds: the pool's ``spec.pod`` as it was when the run was scheduled, and the cluster's abilities.

The agent writes ``data`` as {pod, pool, cluster}; `pool` is for the agent alone.
"""

from __future__ import annotations

from dataclasses import dataclass

from app.contract.fields import JsonObject, json_type
from app.errors import PodSettingsError


@dataclass(frozen=True, slots=True)
class FrozenSettings:
    """``data.pod``, and whether the cluster has native sidecars: absent means that it hasn't."""

    pod: JsonObject
    native_sidecars: bool


def read_revision(revision: JsonObject) -> FrozenSettings:
    """Return what the revision holds; raise PodSettingsError when there is no ``data.pod``.

    A run under no settings at all would escape what the pool demands, its runtime class or its node for example.
    """
    data = revision.get("data")
    if not isinstance(data, dict):
        raise PodSettingsError("data", f"must be an object, is {json_type(data)}")
    pod = data.get("pod")
    if not isinstance(pod, dict):
        raise PodSettingsError("pod", f"must be an object, is {json_type(pod)}")
    cluster = data.get("cluster")
    return FrozenSettings(
        pod, native_sidecars=isinstance(cluster, dict) and cluster.get("nativeSidecars") is True
    )
