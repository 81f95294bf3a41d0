"""The operator as a process that has the rights of its ServiceAccount, and no others."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping

from devcluster import accounts, python
from devcluster.kubectl import Kubectl
from devcluster.ports import LOOPBACK
from devcluster.processes import Program
from devcluster.progress import wait_until
from devcluster.site import Site, answers

NAMESPACE = "spacelift-worker-controller-system"
SERVICE_ACCOUNT = "spacelift-workerpool-controller-controller-manager"
HOOK_SECRET = "spacelift-workerpool-controller-hooks"  # noqa: S105 - the name of a Secret
CONTROLLERS = ("compositecontroller/workerpool", "decoratorcontroller/worker")


def write_kubeconfig(site: Site, kubectl: Kubectl) -> None:
    """Ask for a token of the operator's ServiceAccount and write the operator's kubeconfig."""
    accounts.write_kubeconfig(site, kubectl, "operator", "operator-api", NAMESPACE, SERVICE_ACCOUNT)


def wait_trusted(site: Site, kubectl: Kubectl) -> None:
    """Wait until the hooks' driver knows how to call them, and write curl's settings for calling them by hand."""

    def told() -> bool:
        jsonpath = "{.spec.endpointConfigs[0].host}"
        return all(kubectl("get", each, "-o", f"jsonpath={jsonpath}") for each in CONTROLLERS)

    wait_until(told, "the operator to say how its hooks are called", within=30)
    found = kubectl("get", "secret", HOOK_SECRET, f"--namespace={NAMESPACE}", "-o", "json")
    secret = json.loads(found)["data"]
    authority, token = (base64.b64decode(secret[key]).decode() for key in ("ca.crt", "token"))
    ca = site.certs / "hooks-ca.crt"
    ca.write_text(authority)
    settings = site.hooks_curlrc
    settings.touch(mode=0o600)
    settings.write_text(f'cacert = "{ca}"\nheader = "Authorization: Bearer {token}"\n')


def purposes(replica: str) -> tuple[str, str]:
    """Return what a replica's two ports are for: hooks and probes."""
    return f"{replica}-hooks", f"{replica}-health"


def program(
    site: Site,
    arguments: tuple[str, ...],
    environment: Mapping[str, str],
    replica: str = "operator",
    *,
    secure: bool = True,
) -> Program:
    """Return a replica of the operator; `secure` serves the hooks as the manifests do."""
    hooks, health = purposes(replica)
    secured = (
        f"--hook-credentials-secret={HOOK_SECRET}",
        "--hook-require-token",
        f"--hook-server-names={LOOPBACK}",
    )
    argv = python.module(
        "app",
        f"--hook-bind-address={site.address(hooks)}",
        f"--health-probe-bind-address={site.address(health)}",
        f"--kubeconfig={site.kubeconfig('operator')}",
        "--leader-elect",
        f"--replica-name={replica}",
        *(secured if secure else ()),
        *arguments,
    )
    return Program(
        replica,
        argv,
        lambda: answers(site.ports[health], "/readyz"),
        environment,
        stop_within=20.0,
    )


def environment(site: Site, *, secure: bool = True) -> dict[str, str]:
    """Return how the hooks and the probes are reached."""
    found = {
        "OPERATOR_HOOKS_ENDPOINT": site.url("operator-hooks", "https" if secure else "http"),
        "OPERATOR_HEALTH_ENDPOINT": site.url("operator-health", "http"),
    }
    return {**found, "OPERATOR_HOOKS_CURLRC": str(site.hooks_curlrc)} if secure else found
