"""One cluster's place: its directories, its ports, and the addresses that follow from them."""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from devcluster import links
from devcluster.ports import LOOPBACK

PURPOSES = (
    "etcd",
    "etcd-peer",
    "kube-apiserver",
    "kube-controller-manager",
    "node",
    "mosquitto",
    "mothership",
    "operator-hooks",
    "operator-health",
    "hookdriver-health",
    "hookdriver-metrics",
)
PROBE_TIMEOUT = 2.0


@dataclass(frozen=True)
class Site:
    """Where a cluster's files are and where its components listen."""

    root: Path
    tools: Path
    ports: Mapping[str, int]
    bridge: str = ""
    """Address at which Pods reach the API server, where they have a network of their own."""
    oldest: Path | None = None
    """Where the control plane's programs of the oldest supported Kubernetes are, when the cluster is one of that."""

    @property
    def certs(self) -> Path:
        """Certificates and keys of the control plane."""
        return self.root / "certs"

    @property
    def logs(self) -> Path:
        """One log for each component."""
        return self.root / "logs"

    @property
    def mothership_data(self) -> Path:
        """The mothership's data directory: its authority, certificates, admin token and database."""
        return self.root / "mothership"

    @property
    def kubectl_cache(self) -> Path:
        """Where kubectl keeps what it discovered, so that nothing of it stays in the user's home."""
        return self.root / "kubectl-cache"

    @property
    def hooks_curlrc(self) -> Path:
        """Settings for curl to call the operator's hooks: whom to trust, and the token."""
        return self.root / "hooks.curlrc"

    @property
    def audit_log(self) -> Path:
        """What the operator and the hooks' driver asked of the API server, one JSON line each; rotated when large."""
        return self.logs / "audit.log"

    @property
    def node_name(self) -> str:
        """The node's name: of its own on this machine, because control groups are named after it."""
        return f"{'node' if self.bridge else 'process-node'}-{self.ports['kube-apiserver']}"

    def kubeconfig(self, who: str) -> Path:
        """Return the kubeconfig of `admin`, `operator` and the like; the admin's is the cluster's own."""
        return self.root / ("kubeconfig" if who == "admin" else f"{who}.kubeconfig")

    def tool(self, name: str) -> str:
        """Return the path of a built program."""
        if self.oldest is not None and (self.oldest / name).exists():
            return str(self.oldest / name)
        return str(self.tools / name)

    def address(self, purpose: str) -> str:
        """Return `127.0.0.1:<port>`."""
        return f"{LOOPBACK}:{self.ports[purpose]}"

    def url(self, purpose: str, scheme: str = "https") -> str:
        """Return the address with a scheme in front."""
        return f"{scheme}://{self.address(purpose)}"

    def via(self, link: str, scheme: str = "https") -> str:
        """Return where the client of a link connects to: its relay if it has one, else the server itself."""
        relay = links.purpose(link)
        return self.url(relay if relay in self.ports else links.LINKS[link], scheme)

    def make_directories(self) -> None:
        """Make what is empty at the start."""
        for directory in (self.certs, self.logs, self.kubectl_cache, self.root / "data"):
            directory.mkdir(parents=True, exist_ok=True)
        self.root.chmod(0o700)


def listens(port: int) -> bool:
    """Say whether something accepts connections on the loopback port."""
    try:
        socket.create_connection((LOOPBACK, port), PROBE_TIMEOUT).close()
    except OSError:
        return False
    return True


def answers(
    port: int, path: str, tls: ssl.SSLContext | None = None, token: str | None = None, *, expected: int = 200
) -> bool:
    """Say whether a GET of the path on the loopback port is answered with the expected status."""
    connection = (
        http.client.HTTPSConnection(LOOPBACK, port, timeout=PROBE_TIMEOUT, context=tls)
        if tls
        else http.client.HTTPConnection(LOOPBACK, port, timeout=PROBE_TIMEOUT)
    )
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        connection.request("GET", path, headers=headers)
        response = connection.getresponse()
        response.read()
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
    return response.status == expected


def trusting(authority: Path, certificate: Path | None = None, key: Path | None = None) -> ssl.SSLContext:
    """Return TLS settings that trust one authority, with a client certificate if given."""
    context = ssl.create_default_context(cafile=str(authority))
    if certificate is not None:
        context.load_cert_chain(certificate, key)
    return context
