"""The Pod of one attempt of a run.

Called by the Worker hook in phase Scheduled, and by the agent when it asks the API server (dry run) why such a
Pod isn't there. Everything in ``spec.pod`` of the pool is honoured; what is null or empty counts as not given.
The default runner images are the exception: the agent chose the image when it claimed the run.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.children.containers import grpc_container, init_container, worker_container
from app.children.metadata import pod_metadata
from app.children.pod_fields import copied_fields, deadline
from app.children.pod_settings import read_settings
from app.children.security import pod_security_context
from app.children.user_containers import user_containers
from app.children.volumes import run_volumes
from app.vocabulary import POD_KIND

if TYPE_CHECKING:
    from app.children.order import RunPodOrder
    from app.children.pod_settings import Settings
    from app.contract.fields import JsonObject


def build_run_pod(
    order: RunPodOrder, pod_settings: JsonObject, *, native_sidecars: bool = False
) -> JsonObject:
    """Return the run Pod of `order` with the pool's ``spec.pod``.

    `native_sidecars`: sidecars become init containers that restart, behind the user's own ones and before ``init``;
    the kubelet ends them with the run.
    Raises PodSettingsError, with the field's path, when no Pod can be built from the settings.
    """
    pod = read_settings(pod_settings)
    return {
        "apiVersion": "v1",
        "kind": POD_KIND,
        "metadata": pod_metadata(order, pod),
        "spec": _spec(order, pod, native_sidecars=native_sidecars),
    }


def _spec(order: RunPodOrder, pod: Settings, *, native_sidecars: bool) -> JsonObject:
    volumes = run_volumes(pod, order.secret_name)
    users = user_containers(pod, native_sidecars=native_sidecars)
    return {
        **copied_fields(pod),
        "restartPolicy": "Never",
        "activeDeadlineSeconds": deadline(pod),
        "securityContext": pod_security_context(pod),
        "volumes": volumes.to_pod(),
        "initContainers": [
            *users.before_init,
            # Before init, which claims the start: nobody renews the lease until launcher-grpc runs, so a sidecar that
            # is slow to start would use it up. Here it holds up a Pod without a grant, and when such a Pod is lost,
            # its run is scheduled again instead of failing.
            *users.native_sidecars,
            init_container(order, pod, volumes),
        ],
        "containers": [
            grpc_container(order, pod, volumes),
            worker_container(order, pod, volumes),
            *users.beside_worker,
        ],
    }
