"""The chart installs what the manifests install, object by object and field by field, but for one table of differences."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from typing import Any

import pytest

from devcluster import build, render
from devcluster.kubectl import parse
from devcluster.paths import REPOSITORY
from devcluster.progress import say_nothing
from tests.integration.chart import NAMESPACE, Object, objects

VARIANTS: dict[str, Object] = {
    "manifests": {"crds": {"install": True}},
    "manifests/overlays/all-namespaces": {},
    "manifests/overlays/namespaces": {"controllerManager": {"namespaces": ["team-a", "team-b"]}},
    "manifests/overlays/openshift": {"openshift": {"enabled": True}},
    "manifests/overlays/metrics": {"metricsService": {"enabled": True}},
    "manifests/overlays/metrics-plain": {"metricsService": {"enabled": True, "secure": False}},
    "manifests/overlays/fips": {"controllerManager": {"enforceFips140": True}},
    "manifests/overlays/hooks-without-token": {"hooks": {"token": False}},
    "manifests/overlays/plain-hooks": {"hooks": {"tls": False}},
}
"""Folder -> values that are to install the same. The definitions are compared once."""


@dataclass(frozen=True)
class Difference:
    """A difference that is meant."""

    which: str
    path: str
    """Both with * and ? as in a shell."""
    manifests: Any
    chart: Any
    """The two values; ANY for what depends on the object."""
    why: str


NOTHING = "(nothing)"
ANY = "(any)"
INSTANCE = "app.kubernetes.io/instance"
HOOKS = f"spacelift-workerpool-controller-webhook-service.{NAMESPACE}"
FIELD = "spec.template.spec.containers.manager"

# fmt: off
DIFFERENCES = (
    Difference("Namespace/*", "", ANY, NOTHING, "helm makes it, by --create-namespace, and can't label it"),
    Difference("*", "metadata.labels.helm.sh/chart", NOTHING, ANY, "every chart's labels"),
    Difference("*", "metadata.labels.app.kubernetes.io/version", NOTHING, "0.1.0", "every chart's labels"),
    Difference("*", "metadata.labels.app.kubernetes.io/managed-by", NOTHING, "Helm", "every chart's labels"),
    Difference("*", f"metadata.labels.{INSTANCE}", NOTHING, ANY, "every chart's labels"),
    Difference("*Controller/*", "metadata.labels.app.kubernetes.io/name", NOTHING, ANY, "every chart's labels"),
    Difference("*", f"spec.*matchLabels.{INSTANCE}", NOTHING, ANY, "two releases in one namespace are told apart"),
    Difference("Service/*", f"spec.selector.{INSTANCE}", NOTHING, ANY, "the same"),
    Difference("Deployment/*", f"spec.template.metadata.labels.{INSTANCE}", NOTHING, ANY, "the same"),
    Difference("Deployment/*", "spec.template.metadata.labels.control-plane", NOTHING, "controller-manager", "releases of this name have had it in the Deployment's selector, which can't change"),
    Difference("*", "spec.*matchLabels.control-plane", NOTHING, "controller-manager", "the same"),
    Difference("Service/*", "spec.selector.control-plane", NOTHING, "controller-manager", "the same"),
    Difference("Service/*-metrics-service", "metadata.labels.app.kubernetes.io/component", NOTHING, "metrics", "a ServiceMonitor chooses by it"),
    Difference("Service/*-metrics-service", "spec.ports.0.name", "http", "https", "values name the ports; without TLS the default stays"),
    Difference("Deployment/*", f"{FIELD}.args.--hook-server-names={HOOKS},{HOOKS}.svc,{HOOKS}.svc.cluster.local", NOTHING, True, "names and domain are values; these are the operator's defaults"),
    Difference("Deployment/*", f"{FIELD}.args.--service-account=*-controller-manager", NOTHING, True, "the same"),
    Difference("Deployment/*", f"{FIELD}.args.--manager-role=*-manager-role", NOTHING, True, "the same"),
    Difference("Deployment/*", f"{FIELD}.args.--controller-namespace=$(CONTROLLER_NAMESPACE)", NOTHING, True, "the release's namespace is a value"),
    Difference("Deployment/*", f"{FIELD}.env.CONTROLLER_NAMESPACE.valueFrom.fieldRef.fieldPath", NOTHING, "metadata.namespace", "the same"),
    Difference("CustomResourceDefinition/*", "metadata.annotations.helm.sh/resource-policy", NOTHING, "keep", "deleting a definition deletes every pool"),
)
# fmt: on


def leaves(found: Any, path: str = "") -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - any field
    """Return each value with its path. A Pod's arguments are a set; containers and variables go by their names."""
    if not path.startswith("spec.template.spec."):
        pass
    elif path.endswith(".args"):
        found = dict.fromkeys(found, True)
    elif path.endswith((".containers", ".env")):
        found = {each["name"]: {key: value for key, value in each.items() if key != "name"} for each in found}
    if isinstance(found, dict) and found:
        for key, value in found.items():
            yield from leaves(value, f"{path}.{key}" if path else key)
    elif isinstance(found, list) and found:
        for place, value in enumerate(found):
            yield from leaves(value, f"{path}.{place}")
    else:
        yield path, found


def identity(found: Object) -> str:
    """Return kind, namespace and name."""
    parts = [found["kind"], found["metadata"].get("namespace", ""), found["metadata"]["name"]]
    return "/".join(part for part in parts if part)


def split_arguments(found: Object) -> Object:
    """Return a Deployment with one --namespaces for each; both ways mean the same."""
    if found["kind"] != "Deployment":
        return found
    (container,) = found["spec"]["template"]["spec"]["containers"]
    flag = "--namespaces="
    args = [
        f"{flag}{name}" if name else each
        for each in container["args"]
        for name in (each.removeprefix(flag).split(",") if each.startswith(flag) else [""])
    ]
    container["args"] = args
    return found


def flat(found: list[Object]) -> dict[str, dict[str, Any]]:
    """Return every value of every object."""
    flattened = {identity(each): dict(leaves(split_arguments(each))) for each in found}
    assert len(flattened) == len(found), "the same object twice"
    return flattened


@cache
def kustomized(folder: str) -> list[Object]:
    """Return what kustomize makes of a folder."""
    text = render.kustomized(str(build.tools(say_nothing) / "kubectl"), folder)
    parts = text.split("\n---\n")
    if "crds" not in VARIANTS[folder]:
        parts = [each for each in parts if "\nkind: CustomResourceDefinition\n" not in each]
    return parse("\n---\n".join(parts))


@cache
def differences(folder: str) -> list[tuple[str, str, Any, Any]]:
    """Return object, path and both values of whatever differs."""
    manifests, chart = flat(kustomized(folder)), flat(objects(VARIANTS[folder]))
    found: list[tuple[str, str, Any, Any]] = []
    for name in sorted({*manifests, *chart}):
        if name not in manifests or name not in chart:
            here = NOTHING if name in chart else ANY
            found.append((name, "", here, ANY if here == NOTHING else NOTHING))
            continue
        ours, theirs = manifests[name], chart[name]
        for path in sorted({*ours, *theirs}):
            values = ours.get(path, NOTHING), theirs.get(path, NOTHING)
            if values[0] != values[1]:
                found.append((name, path, *values))
    return found


def is_meant(found: tuple[str, str, Any, Any], meant: Difference) -> bool:
    """Whether a row of the table says this difference."""
    name, path, *values = found
    return (
        fnmatchcase(name, meant.which)
        and fnmatchcase(path, meant.path)
        and all(
            value == expected or (expected == ANY and value != NOTHING)
            for value, expected in zip(values, (meant.manifests, meant.chart), strict=True)
        )
    )


@pytest.mark.parametrize("folder", VARIANTS)
def test_the_chart_installs_what_the_manifests_install(folder: str) -> None:
    """Each difference is in the table."""
    assert len(kustomized(folder)) > 10
    unmeant = [
        found for found in differences(folder) if not any(is_meant(found, each) for each in DIFFERENCES)
    ]
    assert unmeant == []


def test_every_overlay_has_its_values() -> None:
    """A new one needs a line above; those of Metacontroller are no part of the chart."""
    overlays = (REPOSITORY / "manifests" / "overlays").iterdir()
    ours = {
        f"manifests/overlays/{each.name}" for each in overlays if not each.name.startswith("metacontroller")
    }
    assert ours == {*VARIANTS} - {"manifests"}


@pytest.mark.parametrize("meant", DIFFERENCES, ids=lambda each: f"{each.which} {each.path}")
def test_no_row_of_the_table_is_stale(meant: Difference) -> None:
    """Each says a difference that there is."""
    assert any(is_meant(found, meant) for folder in VARIANTS for found in differences(folder))


def test_the_egress_policy_is_the_components() -> None:
    """Which no overlay has."""
    file = REPOSITORY / "manifests" / "components" / "egress" / "networkpolicy.yaml"
    (manifest,) = parse(file.read_text(encoding="utf-8"))
    (policy,) = [
        each
        for each in objects({"networkPolicy": {"egress": True}})
        if each["metadata"]["name"] == manifest["metadata"]["name"]
    ]
    for label in (INSTANCE, "control-plane"):
        del policy["spec"]["podSelector"]["matchLabels"][label]
    assert policy["spec"] == manifest["spec"]
