"""The kubectl of the cluster's own version, with its cache kept inside of the cluster's directory."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from devcluster.progress import ClusterError
from devcluster.site import Site

Document = dict[str, Any]


class Kubectl:
    """Runs kubectl as one of the cluster's clients."""

    def __init__(self, site: Site, who: str = "admin") -> None:
        """Speak as `who`, a client that has a kubeconfig."""
        self._binary = site.tool("kubectl")
        self._environment = {
            **os.environ,
            "KUBECONFIG": str(site.kubeconfig(who)),
            "KUBECACHEDIR": str(site.kubectl_cache),
        }

    def __call__(self, *arguments: str, stdin: str | None = None) -> str:
        """Return what kubectl printed; raise with its own message when it fails."""
        done = subprocess.run(
            [self._binary, *arguments],
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            text=True,
            check=False,
            env=self._environment,
        )
        if done.returncode != 0:
            msg = f"kubectl {' '.join(arguments)}: {done.stderr.strip() or done.stdout.strip()}"
            raise ClusterError(msg)
        return done.stdout

    def apply(self, documents: Sequence[Document]) -> None:
        """Apply objects server-side, in one call."""
        if documents:
            items = {"apiVersion": "v1", "kind": "List", "items": list(documents)}
            self("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=json.dumps(items))

    def documents(self, path: Path) -> list[Document]:
        """Read the objects of a file, of a kustomization, or of all YAML files of a directory."""
        if (path / "kustomization.yaml").exists():
            return parse(self("kustomize", "--load-restrictor=LoadRestrictionsNone", str(path)))
        files = sorted(path.glob("*.yaml")) if path.is_dir() else [path]
        return [document for file in files for document in parse(file.read_text())]


def parse(text: str) -> list[Document]:
    """Return the objects of a YAML stream, lists taken apart."""
    found = [document for document in yaml.load_all(text, _LOADER) if document]
    return [
        item
        for document in found
        for item in (document["items"] if document["kind"] == "List" else [document])
    ]


# The CRDs are thousands of lines: the pure Python parser takes seconds for them.
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
