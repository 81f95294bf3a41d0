"""Environment of the run Pod's containers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.vocabulary import CREDENTIALS_PATH, RESERVED_VARIABLES

if TYPE_CHECKING:
    from app.children.order import RunPodOrder
    from app.children.pod_settings import Settings
    from app.contract.fields import JsonObject


def launcher_environment(order: RunPodOrder) -> list[JsonObject]:
    """Return the variables of ``init`` and ``launcher-grpc``: which attempt this is, and which Pod."""
    return [
        *_run_environment(order),
        _variable("SPACELIFT_RUN_SEQUENCE", str(order.sequence)),
        _from_pod("SPACELIFT_POD_UID", "metadata.uid"),
        _from_pod("SPACELIFT_POD_NAME", "metadata.name"),
        _variable("SPACELIFT_WORKER_ID", order.worker_ulid),
        _variable("SPACELIFT_WORKER_POOL_ID", order.pool_ulid),
        _variable("SPACELIFT_CREDENTIALS_DIR", CREDENTIALS_PATH),
    ]


def worker_environment(order: RunPodOrder, custom_binaries_path: str | None) -> list[JsonObject]:
    """Return the variables of ``worker``: no more than the run's own commands may know.

    The executor puts the custom path before the launcher's binaries, and both before the image's own ``PATH``,
    which can't be written here: nobody knows it before the container starts.
    """
    variables = _run_environment(order)
    if custom_binaries_path is not None:
        variables.append(_variable("SPACELIFT_CUSTOM_BINARIES_PATH", custom_binaries_path))
    return variables


def merged_environment(own: list[JsonObject], users: list[Settings]) -> list[JsonObject]:
    """Return our variables followed by the user's, except those of reserved names, which the CRD refuses.

    Ours stand first so that the user's may refer to them, and win because the start claim depends on them.
    """
    return own + [
        variable.values for variable in users if variable.needed_text("name") not in RESERVED_VARIABLES
    ]


def _run_environment(order: RunPodOrder) -> list[JsonObject]:
    return [_variable("SPACELIFT_RUN_ID", order.run_id), _variable("SPACELIFT_RUN_STAGE", order.stage)]


def _variable(name: str, value: str) -> JsonObject:
    return {"name": name, "value": value}


def _from_pod(name: str, field_path: str) -> JsonObject:
    return {"name": name, "valueFrom": {"fieldRef": {"fieldPath": field_path}}}
