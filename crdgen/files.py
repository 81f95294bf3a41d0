"""The generated files: which there are, from which source each is made, and how the committed ones differ."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from crdgen import source
from crdgen.definition import expand
from crdgen.kubernetes import Kubernetes
from crdgen.output import render

SOURCES: Final = {
    "workers.spacelift.io_workerpools.yaml": "workerpool.yaml",
    "workers.spacelift.io_workers.yaml": "worker.yaml",
}
"""Generated file -> its source in this package."""
REFINEMENTS: Final = "refinements.yaml"
FOLDER: Final = Path(__file__).parent.parent / "crds"
"""Where the committed files are."""


def definitions(openapi: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the CRD of each source by the name of its generated file."""
    kubernetes = Kubernetes.from_openapi(openapi, source.read(REFINEMENTS))
    return {name: expand(source.read(origin), kubernetes) for name, origin in SOURCES.items()}


def texts(openapi: dict[str, Any], version: str) -> dict[str, str]:
    """Return the text of each generated file by its name."""
    return {name: render(crd, SOURCES[name], version) for name, crd in definitions(openapi).items()}


def differences(wanted: Mapping[str, str], folder: Path = FOLDER) -> str:
    """Return a unified diff from the files in `folder` to what they should be, empty when there is none."""
    lines: list[str] = []
    for name, text in wanted.items():
        path = folder / name
        committed = path.read_text(encoding="utf-8") if path.exists() else ""
        lines += difflib.unified_diff(
            committed.splitlines(keepends=True),
            text.splitlines(keepends=True),
            f"committed/{name}",
            f"generated/{name}",
        )
    return "".join(lines)
