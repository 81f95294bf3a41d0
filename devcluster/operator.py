"""The operator as a process that has the rights of its ServiceAccount, and no others."""

from __future__ import annotations

from collections.abc import Mapping

from devcluster import kubeconfig, python
from devcluster.kubectl import Kubectl
from devcluster.processes import Program
from devcluster.site import Site, answers

NAMESPACE = "spacelift-worker-controller-system"
SERVICE_ACCOUNT = "spacelift-workerpool-controller-controller-manager"
TOKEN_LIFETIME = "24h"  # noqa: S105 - longer than any cluster lives, not a token


def write_kubeconfig(site: Site, kubectl: Kubectl) -> None:
    """Ask for a token of the operator's ServiceAccount and write the operator's kubeconfig."""
    token = kubectl(
        "create", "token", SERVICE_ACCOUNT, f"--namespace={NAMESPACE}", f"--duration={TOKEN_LIFETIME}"
    )
    text = kubeconfig.with_token(site.via("operator-api"), site.certs / "ca.crt", token.strip())
    kubeconfig.write(site.kubeconfig("operator"), text)


def purposes(replica: str) -> tuple[str, str]:
    """Return what a replica's two ports are for: hooks and probes."""
    return f"{replica}-hooks", f"{replica}-health"


def program(
    site: Site, arguments: tuple[str, ...], environment: Mapping[str, str], replica: str = "operator"
) -> Program:
    """Return a replica of the operator."""
    hooks, health = purposes(replica)
    argv = python.module(
        "app",
        f"--hook-bind-address={site.address(hooks)}",
        f"--health-probe-bind-address={site.address(health)}",
        f"--kubeconfig={site.kubeconfig('operator')}",
        "--leader-elect",
        f"--replica-name={replica}",
        *arguments,
    )
    return Program(
        replica,
        argv,
        lambda: answers(site.ports[health], "/readyz"),
        environment,
        stop_within=20.0,
    )


def environment(site: Site) -> dict[str, str]:
    """Return how the hooks and the probes are reached."""
    return {
        "OPERATOR_HOOKS_ENDPOINT": site.url("operator-hooks", "http"),
        "OPERATOR_HEALTH_ENDPOINT": site.url("operator-health", "http"),
    }
