"""Builders for the tests of the run Pod: an order, a pool's settings by the name of their file, parts of a Pod."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import yaml

from app.children.order import RunPodOrder
from app.children.run_pod import build_run_pod
from tests.unit.builders import POOL_ULID, RUN_ULID

Object = dict[str, Any]

GOLDEN: Final = Path(__file__).parent / "golden"
"""``<name>.pool.yaml``: a WorkerPool. ``<name>.pod.yaml``: the run Pod that comes of it."""

OUR_SECTIONS: Final = {
    "init": "initContainer",
    "launcher-grpc": "grpcServerContainer",
    "worker": "workerContainer",
}
"""Our containers, each with the field of spec.pod that is about it."""

ORDER: Final = RunPodOrder(
    namespace="default",
    pool_name="local-pool",
    pool_ulid=POOL_ULID,
    worker_ulid="01HPS6K4BNB7BPHCDHDWFAMJNV",
    run_id=RUN_ULID,
    stage="preparing",
    sequence=2,
    assignment=7,
    runner_image="spacelift.local/runner:dev",
    launcher_image="spacelift.local/launcher:dev",
    secret_name="01hps6xb76j1jb3ehsk4awe5ab-preparing-2",
    secret_uid="5f0c8a2e-3d7b-4f43-8a43-6f2f4b1f7d10",
)


def pool_settings(name: str) -> Object:
    """Return ``spec.pod`` of the pool in that golden file."""
    pool = yaml.safe_load((GOLDEN / f"{name}.pool.yaml").read_text(encoding="utf-8"))
    settings: Object = pool["spec"].get("pod") or {}
    return settings


def built(settings: Object | None = None, *, native_sidecars: bool = False, **fields: object) -> Object:
    """Return the run Pod of these settings, given whole or field by field."""
    return build_run_pod(ORDER, {**(settings or {}), **fields}, native_sidecars=native_sidecars)


def container(pod: Object, name: str) -> Object:
    """Return a container of the Pod by name."""
    spec = pod["spec"]
    (found,) = [item for item in spec["initContainers"] + spec["containers"] if item["name"] == name]
    return dict(found)


def container_names(pod: Object) -> tuple[list[str], list[str]]:
    """Return the names of the Pod's init containers and of its containers, in their order."""
    spec = pod["spec"]
    return [item["name"] for item in spec["initContainers"]], [item["name"] for item in spec["containers"]]
