"""The process node as a component: a Node whose Pods are local processes."""

from __future__ import annotations

from collections.abc import Mapping

from devcluster import python
from devcluster.node.cgroup import MemoryLimits
from devcluster.processes import Program
from devcluster.site import Site, answers, trusting


def program(site: Site, arguments: tuple[str, ...], environment: Mapping[str, str]) -> Program:
    """Return the node. It counts as ready when the API that the API server reads logs from answers."""
    certs = site.certs
    argv = python.module(
        "devcluster.node",
        f"--kubeconfig={site.kubeconfig('node')}",
        f"--scheduler-kubeconfig={site.kubeconfig('scheduler')}",
        f"--state-dir={site.root / 'node'}",
        f"--name={site.node_name}",
        f"--port={site.ports['node']}",
        f"--tls-cert-file={certs / 'node-serving.crt'}",
        f"--tls-private-key-file={certs / 'node-serving.key'}",
        f"--client-ca-file={certs / 'ca.crt'}",
        *arguments,
    )
    tls = trusting(certs / "ca.crt", certs / "kubelet-client.crt", certs / "kubelet-client.key")
    return Program(
        "node", argv, lambda: answers(site.ports["node"], "/healthz", tls), environment, stop_within=20.0
    )


def sweep(node_name: str) -> None:
    """Remove the control groups of a node that could not do it itself."""
    MemoryLimits(node_name).close()
