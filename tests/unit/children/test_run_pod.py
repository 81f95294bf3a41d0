"""Facts about the run Pod. The golden files beside this one show it whole."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from app.children.order import RunPodOrder, run_pod_name
from app.children.run_pod import build_run_pod
from app.errors import PodSettingsError
from tests.unit.builders import POOL_ULID, RUN_ULID

GOLDEN = Path(__file__).parent / "golden"
WORKER_ULID = "01HPS6K4BNB7BPHCDHDWFAMJNV"
ORDER = RunPodOrder(
    namespace="default",
    pool_name="local-pool",
    pool_ulid=POOL_ULID,
    worker_ulid=WORKER_ULID,
    run_id=RUN_ULID,
    stage="preparing",
    sequence=2,
    assignment=7,
    runner_image="spacelift.local/runner:dev",
    launcher_image="spacelift.local/launcher:dev",
    secret_name="01hps6xb76j1jb3ehsk4awe5ab-preparing-2",
    secret_uid="5f0c8a2e-3d7b-4f43-8a43-6f2f4b1f7d10",
)


def golden(name: str) -> Any:  # noqa: ANN401 - any YAML value
    """Return what a golden file holds."""
    return yaml.safe_load((GOLDEN / f"{name}.yaml").read_text(encoding="utf-8"))


def container(pod: dict[str, Any], name: str) -> dict[str, Any]:
    """Return a container of the Pod by name."""
    spec = pod["spec"]
    return next(item for item in spec["initContainers"] + spec["containers"] if item["name"] == name)


def test_the_pod_of_a_minimal_pool_is_the_golden_one() -> None:
    """Nothing in spec.pod: every default of the design."""
    assert build_run_pod(ORDER, {}) == golden("minimal.pod")


def test_the_pod_of_a_pool_with_all_options_is_the_golden_one() -> None:
    """Every documented field of spec.pod finds its place."""
    assert build_run_pod(ORDER, golden("all_options.settings")) == golden("all_options.pod")


def test_empty_and_null_options_count_as_not_given() -> None:
    """The documented example, left empty, gives the same Pod as no settings at all."""
    assert build_run_pod(ORDER, golden("empty_options.settings")) == golden("minimal.pod")


def test_building_changes_neither_settings_nor_a_pod_built_before() -> None:
    """The settings come from a cache of requests, and two Pods share nothing that one could change."""
    settings = golden("all_options.settings")
    first = build_run_pod(ORDER, settings)
    assert build_run_pod(ORDER, settings) == first
    assert settings == golden("all_options.settings")


def test_the_worker_container_sees_neither_credentials_nor_mothership() -> None:
    """The run's own commands execute there."""
    worker = container(build_run_pod(ORDER, {}), "worker")
    assert "run-credentials" not in [mount["name"] for mount in worker["volumeMounts"]]
    assert {item["name"] for item in worker["env"]} == {"SPACELIFT_RUN_ID", "SPACELIFT_RUN_STAGE"}


def test_the_user_cannot_override_the_names_that_the_start_claim_needs() -> None:
    """Neither by env nor by labels."""
    settings = {
        "labels": {"workers.spacelift.io/run-id": "x"},
        "initContainer": {"env": [{"name": "SPACELIFT_POD_UID", "value": "x"}]},
    }
    pod = build_run_pod(ORDER, settings)
    assert pod["metadata"]["labels"]["workers.spacelift.io/run-id"] == RUN_ULID
    values = [item for item in container(pod, "init")["env"] if item["name"] == "SPACELIFT_POD_UID"]
    assert values == [{"name": "SPACELIFT_POD_UID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}}]


def test_a_sidecar_keeps_its_images_user_and_the_pods_user_is_everybodys() -> None:
    """The documented docker:dind sidecar runs as root; a user set for the whole Pod isn't hidden by our default."""
    sidecar = build_run_pod(
        ORDER, {"additionalSidecarContainers": [{"name": "docker", "image": "docker:dind"}]}
    )
    assert "runAsUser" not in sidecar["spec"]["securityContext"]
    assert "securityContext" not in container(sidecar, "docker")
    pod = build_run_pod(ORDER, {"securityContext": {"runAsUser": 1000}})
    assert pod["spec"]["securityContext"]["runAsUser"] == 1000
    assert "runAsUser" not in container(pod, "worker")["securityContext"]


def test_false_and_zero_are_values() -> None:
    """Only null and empty count as not given."""
    spec = build_run_pod(ORDER, {"automountServiceAccountToken": False, "terminationGracePeriodSeconds": 0})[
        "spec"
    ]
    assert spec["automountServiceAccountToken"] is False
    assert spec["terminationGracePeriodSeconds"] == 0


def test_the_pod_is_named_after_run_stage_and_sequence() -> None:
    """A re-scheduled stage has a higher sequence, and so another name."""
    assert run_pod_name("01HPS6XB76J1JB3EHSK4AWE5AB", "preparing-apply", 9) == (
        "01hps6xb76j1jb3ehsk4awe5ab-preparing-apply-9"
    )


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"volumes": "none"}, "pod.volumes"),
        ({"volumes": ["none"]}, "pod.volumes"),
        ({"workspaceVolume": "none"}, "pod.workspaceVolume"),
        ({"binariesCacheVolume": {"name": "run-credentials"}}, "pod.binariesCacheVolume.name"),
        ({"launcherImage": 3}, "pod.launcherImage"),
        ({"initContainer": []}, None),
        ({"initContainer": ["x"]}, "pod.initContainer"),
        ({"workerContainer": {"env": {"A": "b"}}}, "pod.workerContainer.env"),
        ({"labels": "x"}, "pod.labels"),
    ],
)
def test_settings_of_an_impossible_shape_are_refused_with_their_field(
    settings: dict[str, Any], field: str | None
) -> None:
    """Instead of a Pod that means something else."""
    if field is None:
        assert build_run_pod(ORDER, settings) == golden("minimal.pod")
        return
    with pytest.raises(PodSettingsError) as caught:
        build_run_pod(ORDER, settings)
    assert caught.value.field == field
