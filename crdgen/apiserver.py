"""Asking a real API server: one that runs already, or one that is started for the question and stopped again."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devcluster.cluster import Cluster
from devcluster.kubectl import Kubectl
from devcluster.progress import Say

CORE = "/openapi/v3/api/v1"
"""Where an API server describes the types of its core group."""


@dataclass(frozen=True)
class Published:
    """What an API server says about itself."""

    version: str
    """Its release, for example ``v1.36.3``."""
    openapi: dict[str, Any]
    """Its OpenAPI v3 document of the core group."""


def ask(kubectl: Kubectl) -> Published:
    """Ask a running API server; raise ClusterError with kubectl's text when it doesn't answer."""
    version = json.loads(kubectl("get", "--raw", "/version"))["gitVersion"]
    return Published(version, json.loads(kubectl("get", "--raw", CORE)))


def ask_new(say: Say) -> Published:
    """Start etcd and an API server, ask it and stop both; the first time the programs are built, which takes minutes."""
    with (
        tempfile.TemporaryDirectory(prefix="crdgen-") as folder,
        Cluster(Path(folder) / "cluster", components={"kube-apiserver"}, say=say) as cluster,
    ):
        return ask(cluster.kubectl)
