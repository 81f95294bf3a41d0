"""What drives the hooks: Metacontroller when its binary is given, else the stand-in."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from devcluster import accounts, python
from devcluster.kubectl import Kubectl
from devcluster.processes import Program
from devcluster.progress import ClusterError
from devcluster.site import Site, answers

# Metacontroller's own defaults are 5 workers and 5 requests a second: a burst would wait for minutes.
WORKERS = 20
QPS = 500
BURST = 1000


NAMESPACE = "metacontroller"
SERVICE_ACCOUNT = "metacontroller"


def write_kubeconfig(site: Site, kubectl: Kubectl) -> None:
    """Ask for a token of Metacontroller's ServiceAccount and write its kubeconfig."""
    accounts.write_kubeconfig(site, kubectl, "hookdriver", "hookdriver-api", NAMESPACE, SERVICE_ACCOUNT)


def program(
    site: Site, binary: str | None, arguments: tuple[str, ...], environment: Mapping[str, str]
) -> Program:
    """Return the hooks' driver."""
    common = (
        f"--workers={WORKERS}",
        f"--client-go-qps={QPS}",
        f"--client-go-burst={BURST}",
        f"--health-probe-bind-address={site.address('hookdriver-health')}",
    )
    kubeconfig = str(site.kubeconfig("hookdriver"))
    argv = (
        _real(site, binary)
        if binary
        else python.module("devcluster.hookdriver", f"--kubeconfig={kubeconfig}")
    )
    return Program(
        "hookdriver",
        (*argv, *common, *arguments),
        lambda: answers(site.ports["hookdriver-health"], "/readyz"),
        {**environment, "KUBECONFIG": kubeconfig},
    )


def _real(site: Site, binary: str) -> tuple[str, ...]:
    if not Path(binary).is_file():
        msg = f"METACONTROLLER_BIN names {binary}, which is no file"
        raise ClusterError(msg)
    return (
        binary,
        "--discovery-interval=5s",
        "--leader-election=false",
        f"--metrics-address={site.address('hookdriver-metrics')}",
    )
