"""Everything that is installed is what each Kubernetes version of the supported range knows, field by field."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import pytest

from devcluster import build, render
from devcluster.kubectl import parse
from devcluster.paths import REPOSITORY
from devcluster.progress import say_nothing
from tests.integration.kubernetes_schemas import CLIENTS, models

OVERLAYS = sorted(
    path.parent.name for path in (REPOSITORY / "manifests" / "overlays").glob("*/kustomization.yaml")
)
OURS = ("spacelift.io", "metacontroller.k8s.io")
"""Groups that no Kubernetes knows: the API server judges them by our definitions (test_install.py, test_samples.py)."""

Object = dict[str, Any]


@cache
def documents() -> list[Object]:
    """Return every object of every overlay and sample, each once."""
    kubectl = str(build.tools(say_nothing) / "kubectl")
    texts = [render.kustomized(kubectl, f"manifests/overlays/{name}") for name in OVERLAYS]
    samples = (REPOSITORY / "manifests" / "samples").glob("*.yaml")
    texts += [sample.read_text(encoding="utf-8") for sample in samples]
    texts.append(egress())
    found = {str(each): each for text in texts for each in parse(text)}
    return [each for each in found.values() if not each["apiVersion"].split("/")[0].endswith(OURS)]


def egress() -> str:
    """Return the component that no overlay has."""
    path = Path("manifests") / "components" / "egress" / "networkpolicy.yaml"
    return (REPOSITORY / path).read_text(encoding="utf-8")


@pytest.mark.parametrize("minor", CLIENTS)
def test_every_object_is_known_to_the_version(minor: str) -> None:
    """No unknown field, none missing, every type and word as its OpenAPI has it."""
    kinds = {each["kind"] for each in documents()}
    assert {"Deployment", "NetworkPolicy", "PodDisruptionBudget", "PriorityClass", "Role"} <= kinds
    version = models(minor)
    assert [kind for kind in kinds if not version.knows(kind)] == []
    faults = {each["metadata"]["name"]: version.faults(each) for each in documents()}
    assert {name: found for name, found in faults.items() if found} == {}


@pytest.mark.parametrize(
    ("place", "value", "fault"),
    [
        ("spec.replica", 2, "Deployment.spec.replica: unknown"),
        ("spec.replicas", "2", "Deployment.spec.replicas: expected int"),
        ("spec.selector", None, "Deployment.spec.selector: missing"),
        ("spec.template.spec.containers", {}, "Deployment.spec.template.spec.containers: expected a list"),
    ],
)
def test_a_fault_is_found_and_named(place: str, value: Any, fault: str) -> None:  # noqa: ANN401 - any field
    """What is a check worth that never fails."""
    (deployment,) = [
        each
        for each in parse(render.kustomized(str(build.tools(say_nothing) / "kubectl"), "manifests"))
        if each["kind"] == "Deployment"
    ]
    target = deployment
    *way, last = place.split(".")
    for name in way:
        target = target[name]
    if value is None:
        del target[last]
    else:
        target[last] = value
    for minor in (min(CLIENTS), max(CLIENTS)):
        assert fault in models(minor).faults(deployment)


def test_the_newest_version_is_at_least_that_of_the_local_cluster() -> None:
    """The range ends where the tests run, or later."""
    module = (REPOSITORY / "devcluster" / "tools" / "go.mod").read_text(encoding="utf-8")
    (ours,) = {
        line.split()[1] for line in module.splitlines() if line.strip().startswith("k8s.io/kubernetes v")
    }
    newest = max(tuple(map(int, minor.split("."))) for minor in CLIENTS)
    assert newest >= tuple(map(int, ours.removeprefix("v").split(".")[:2]))


def test_no_image_floats() -> None:
    """Of the objects that make Pods, each image has a version."""
    images = [
        container["image"]
        for each in documents()
        if each["kind"] == "Deployment"
        for container in each["spec"]["template"]["spec"]["containers"]
    ]
    assert len(images) >= len(OVERLAYS)
    assert [image for image in images if render.image(image) != image] == []
