"""Helm, built like the control plane's programs, for what has to do with the chart."""

from __future__ import annotations

import subprocess
from pathlib import Path

from devcluster import build
from devcluster.paths import PACKAGE
from devcluster.progress import ClusterError, Say, say_to_stderr

HELM = build.Toolset(
    {"helm": "helm.sh/helm/v3/cmd/helm"}, PACKAGE / "charttools", name="-charts", takes="2 minutes"
)
"""A module of its own: Helm's Kubernetes libraries are of another version than the control plane's."""


def helm(say: Say = say_to_stderr) -> Path:
    """Return the helm command, building it the first time; raises ClusterError when it can't be built."""
    return build.tools(say, HELM) / "helm"


def provide_for_tests(say: Say) -> None:
    """Build helm before the tests do, which have less time; say which are skipped when it can't be built."""
    try:
        helm(say)
    except ClusterError as error:
        say(f"tests of the chart are skipped without helm: {error}")


def run(command: Path, *arguments: str) -> str:
    """Return what helm writes; raises ClusterError with its own words when it fails.

    Helm's configuration and caches of the machine are not read: what comes out depends on the arguments alone.
    """
    nowhere = "/nonexistent"
    environment = {
        "HOME": nowhere,
        "HELM_CACHE_HOME": nowhere,
        "HELM_CONFIG_HOME": nowhere,
        "HELM_DATA_HOME": nowhere,
        "KUBECONFIG": nowhere,
    }
    done = subprocess.run(
        [str(command), *arguments], capture_output=True, text=True, check=False, env=environment
    )
    if done.returncode != 0:
        msg = f"helm {' '.join(arguments)}: {done.stderr.strip()}\n{done.stdout.strip()}"
        raise ClusterError(msg)
    return done.stdout
