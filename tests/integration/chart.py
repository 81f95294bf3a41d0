"""What helm makes of the chart, for tests; they are skipped, and say why, where helm can't be built."""

from __future__ import annotations

import json
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from devcluster import charts, helm
from devcluster.kubectl import parse
from devcluster.progress import ClusterError, say_to_stderr

RELEASE = "spacelift-workerpool-controller"
NAMESPACE = "spacelift-worker-controller-system"
FULL = RELEASE
"""How names of objects begin, with the release's name of the documents."""

KUBERNETES = "1.36.3"
"""What `helm template` is told; a helm that isn't its makers' own build believes in 1.20."""

Object = dict[str, Any]


@cache
def command() -> Path:
    """Return helm, or skip loudly."""
    try:
        return helm.helm(say_to_stderr)
    except ClusterError as error:
        pytest.skip(f"NO HELM, SO THE CHART ISN'T TESTED: {error}")


def template(*arguments: str, chart: Path = charts.CHART, release: str = RELEASE) -> str:
    """Return what the chart makes with these arguments; raises ClusterError with helm's words."""
    given = ("template", release, str(chart), "--namespace", NAMESPACE, "--kube-version", KUBERNETES)
    return helm.run(command(), *given, *arguments)


@cache
def _objects(values: str, arguments: tuple[str, ...], release: str) -> list[Object]:
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        file.write(values)
        file.flush()
        text = template("--values", file.name, *arguments, release=release)
    return parse(text)


def objects(values: Object | None = None, *arguments: str, release: str = RELEASE) -> list[Object]:
    """Return the objects that the chart makes; without definitions, which are large, unless values ask for them."""
    chosen = {"crds": {"install": False}, **(values or {})}
    return _objects(json.dumps(chosen, sort_keys=True), arguments, release)


def named(found: list[Object], kind: str, name: str, namespace: str = "") -> Object:
    """Return one object; `name` follows the full name that all begin with."""
    (one,) = [
        each
        for each in found
        if (each["kind"], each["metadata"]["name"]) in ((kind, f"{FULL}{name}"), (kind, name))
        and (not namespace or each["metadata"].get("namespace") == namespace)
    ]
    return one


def at(found: Any, path: str) -> Any:  # noqa: ANN401 - any field of any object
    """Return what is at a path such as `spec/ports/0/port`; None where there is nothing."""
    for step in path.split("/") if path else ():
        if isinstance(found, list):
            found = found[int(step)] if int(step) < len(found) else None
        else:
            found = (found or {}).get(step.replace("~1", "/"))
    return found
