"""etcd, kube-apiserver and kube-controller-manager: real certificates, RBAC on, everything on loopback."""

from __future__ import annotations

import json
from dataclasses import dataclass

from devcluster import kubeconfig, pki
from devcluster.pki import Authority, Identity, KeyPair
from devcluster.ports import LOOPBACK
from devcluster.processes import Program
from devcluster.site import Site, answers, listens, trusting

SERVICE_RANGE = "10.96.0.0/16"
FIRST_SERVICE_ADDRESS = "10.96.0.1"
# Of a network namespace that nothing leads into: everything there is the cluster's own.
ANYWHERE = "0.0.0.0"  # noqa: S104
ISSUER = "https://kubernetes.default.svc.cluster.local"
API_NAMES = (
    "localhost",
    "kubernetes",
    "kubernetes.default",
    "kubernetes.default.svc",
    "kubernetes.default.svc.cluster.local",
    LOOPBACK,
    FIRST_SERVICE_ADDRESS,
)
# What the product and its tests meet. Each controller left out is one less that starts, lists and watches.
CONTROLLERS = (
    "clusterrole-aggregation-controller",
    "deployment-controller",
    "disruption-controller",
    "garbage-collector-controller",
    "namespace-controller",
    "node-lifecycle-controller",
    "pod-garbage-collector-controller",
    "replicaset-controller",
    "resourcequota-controller",
    "root-ca-certificate-publisher-controller",
    "serviceaccount-controller",
    "serviceaccount-token-controller",
    "taint-eviction-controller",
)
# The same by their names before 1.28; the last one was a part of another before 1.29.
OLDEST_CONTROLLERS = (
    "clusterrole-aggregation",
    "disruption",
    "garbagecollector",
    "namespace",
    "nodelifecycle",
    "podgc",
    "resourcequota",
    "root-ca-cert-publisher",
    "serviceaccount",
    "serviceaccount-token",
)
CLIENTS = {
    "admin": Identity("admin", ("system:masters",)),
    "controller-manager": Identity("system:kube-controller-manager"),
    "scheduler": Identity("system:kube-scheduler"),
}

NODE_CLIENTS = {
    "kube-proxy": Identity("system:kube-proxy"),
    "coredns": Identity("system:coredns"),
}
"""Further clients, of a node that has a network."""

API_LINKS = {"node": "node-api", "scheduler": "node-api"}


# Groups of ServiceAccounts: everything in these namespaces is ours.
AUDITED = [
    "system:serviceaccounts:spacelift-worker-controller-system",
    "system:serviceaccounts:metacontroller",
]


@dataclass(frozen=True)
class Credentials:
    """Every certificate and key of the control plane."""

    authority: KeyPair
    front_proxy_authority: KeyPair
    front_proxy: KeyPair
    etcd_authority: KeyPair
    etcd: KeyPair
    etcd_client: KeyPair
    api_server: KeyPair
    kubelet_client: KeyPair
    controller_manager: KeyPair
    node_serving: KeyPair
    service_accounts: KeyPair
    clients: dict[str, KeyPair]


def make_credentials(site: Site) -> Credentials:
    """Make all keys and certificates, and a kubeconfig for each client."""
    authority = Authority(site.certs, "ca")
    front_proxy = Authority(site.certs, "front-proxy-ca")
    etcd = Authority(site.certs, "etcd-ca")
    node = Identity(f"system:node:{site.node_name}", ("system:nodes",))
    identities = {**CLIENTS, **(NODE_CLIENTS if site.bridge else {}), "node": node}
    addresses = [site.bridge] if site.bridge else []
    clients = {name: authority.issue(name, identity) for name, identity in identities.items()}
    for name, pair in clients.items():
        link = API_LINKS.get(name)
        server = site.via(link) if link else site.url("kube-apiserver")
        text = kubeconfig.with_certificate(server, authority.certificate, pair)
        kubeconfig.write(site.kubeconfig(name), text)
    return Credentials(
        authority=authority.files,
        front_proxy_authority=front_proxy.files,
        front_proxy=front_proxy.issue("front-proxy-client", Identity("front-proxy-client")),
        etcd_authority=etcd.files,
        etcd=etcd.issue("etcd", pki.server("etcd", ["localhost", LOOPBACK])),
        etcd_client=etcd.issue("etcd-client", Identity("kube-apiserver")),
        api_server=authority.issue("kube-apiserver", pki.server("kube-apiserver", [*API_NAMES, *addresses])),
        kubelet_client=authority.issue("kubelet-client", Identity("kube-apiserver-kubelet-client")),
        controller_manager=authority.issue(
            "kube-controller-manager", pki.server("kube-controller-manager", ["localhost", LOOPBACK])
        ),
        node_serving=authority.issue(
            "node-serving", pki.server(node.name, [site.node_name, LOOPBACK, *addresses])
        ),
        service_accounts=pki.signing_key(site.certs, "service-accounts"),
        clients=clients,
    )


def etcd(site: Site, credentials: Credentials) -> Program:
    """Return etcd, for the API server alone. It doesn't sync to disk: its data lives as long as the cluster."""
    flags = {
        "name": "devcluster",
        "data-dir": str(site.root / "data" / "etcd"),
        "unsafe-no-fsync": "true",
        "log-level": "warn",
        "listen-client-urls": site.url("etcd"),
        "advertise-client-urls": site.url("etcd"),
        "listen-peer-urls": site.url("etcd-peer", "http"),
        "initial-advertise-peer-urls": site.url("etcd-peer", "http"),
        "initial-cluster": f"devcluster={site.url('etcd-peer', 'http')}",
        "cert-file": str(credentials.etcd.certificate),
        "key-file": str(credentials.etcd.key),
        "client-cert-auth": "true",
        "trusted-ca-file": str(credentials.etcd_authority.certificate),
    }
    return Program("etcd", _argv(site.tool("etcd"), flags), ready=lambda: listens(site.ports["etcd"]))


def api_server(site: Site, credentials: Credentials, *, audit: bool = False) -> Program:
    """Return the API server, ready when /readyz says so to the administrator; `audit` logs what our accounts ask."""
    admin = credentials.clients["admin"]
    tls = trusting(credentials.authority.certificate, admin.certificate, admin.key)
    port = site.ports["kube-apiserver"]
    return Program(
        "kube-apiserver",
        _argv(
            site.tool("kube-apiserver"),
            api_server_flags(site, credentials) | (audit_flags(site) if audit else {}),
        ),
        ready=lambda: answers(port, "/readyz", tls),
        # Open watches hold its shutdown up, and there is nothing in it to save.
        stop_within=2.0,
    )


def api_server_flags(site: Site, credentials: Credentials) -> dict[str, str]:
    """Return the API server's flags."""
    return {
        **_listening(site, credentials),
        **_storage(site, credentials),
        **_tokens(credentials),
        **_front_proxy(credentials),
        "authorization-mode": "Node,RBAC",
        "enable-admission-plugins": "NodeRestriction",
        "allow-privileged": "true",
        "service-cluster-ip-range": SERVICE_RANGE,
        "kubelet-client-certificate": str(credentials.kubelet_client.certificate),
        "kubelet-client-key": str(credentials.kubelet_client.key),
        "kubelet-certificate-authority": str(credentials.authority.certificate),
        "kubelet-preferred-address-types": "InternalIP",
        "profiling": "false",
    }


def audit_flags(site: Site) -> dict[str, str]:
    """Write the audit policy and return the flags: who asked for what and how it ended, without any content."""
    policy = {
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["RequestReceived"],
        "rules": [{"level": "Metadata", "userGroups": AUDITED}, {"level": "None"}],
    }
    file = site.root / "audit-policy.json"
    file.write_text(json.dumps(policy))
    return {
        "audit-policy-file": str(file),
        "audit-log-path": str(site.audit_log),
        "audit-log-maxsize": "100",
        "audit-log-maxbackup": "20",
    }


def _listening(site: Site, credentials: Credentials) -> dict[str, str]:
    return {
        "bind-address": ANYWHERE if site.bridge else LOOPBACK,
        "secure-port": str(site.ports["kube-apiserver"]),
        "advertise-address": site.bridge or LOOPBACK,
        # Endpoints may not hold loopback addresses: the default reconciler would complain every few seconds.
        "endpoint-reconciler-type": "lease" if site.bridge else "none",
        "tls-cert-file": str(credentials.api_server.certificate),
        "tls-private-key-file": str(credentials.api_server.key),
        "client-ca-file": str(credentials.authority.certificate),
    }


def _storage(site: Site, credentials: Credentials) -> dict[str, str]:
    return {
        "etcd-servers": site.via("api-etcd"),
        "etcd-cafile": str(credentials.etcd_authority.certificate),
        "etcd-certfile": str(credentials.etcd_client.certificate),
        "etcd-keyfile": str(credentials.etcd_client.key),
    }


def _tokens(credentials: Credentials) -> dict[str, str]:
    return {
        "service-account-issuer": ISSUER,
        "service-account-key-file": str(credentials.service_accounts.certificate),
        "service-account-signing-key-file": str(credentials.service_accounts.key),
    }


def _front_proxy(credentials: Credentials) -> dict[str, str]:
    return {
        "requestheader-client-ca-file": str(credentials.front_proxy_authority.certificate),
        "requestheader-allowed-names": "front-proxy-client",
        "requestheader-username-headers": "X-Remote-User",
        "requestheader-group-headers": "X-Remote-Group",
        "requestheader-extra-headers-prefix": "X-Remote-Extra-",
        "proxy-client-cert-file": str(credentials.front_proxy.certificate),
        "proxy-client-key-file": str(credentials.front_proxy.key),
    }


def controller_manager(site: Site, credentials: Credentials) -> Program:
    """Return the controller manager."""
    tls = trusting(credentials.authority.certificate)
    port = site.ports["kube-controller-manager"]
    return Program(
        "kube-controller-manager",
        _argv(site.tool("kube-controller-manager"), controller_manager_flags(site, credentials)),
        ready=lambda: answers(port, "/healthz", tls),
        stop_within=2.0,
    )


def controller_manager_flags(site: Site, credentials: Credentials) -> dict[str, str]:
    """Return the controller manager's flags."""
    own = str(site.kubeconfig("controller-manager"))
    chosen = OLDEST_CONTROLLERS if site.oldest else CONTROLLERS
    return {
        "kubeconfig": own,
        "authentication-kubeconfig": own,
        "authorization-kubeconfig": own,
        "bind-address": LOOPBACK,
        "secure-port": str(site.ports["kube-controller-manager"]),
        "tls-cert-file": str(credentials.controller_manager.certificate),
        "tls-private-key-file": str(credentials.controller_manager.key),
        "client-ca-file": str(credentials.authority.certificate),
        "requestheader-client-ca-file": str(credentials.front_proxy_authority.certificate),
        "root-ca-file": str(credentials.authority.certificate),
        "service-account-private-key-file": str(credentials.service_accounts.key),
        "use-service-account-credentials": "true",
        # A real node runs Deployments and Services too.
        "controllers": "*" if site.bridge else ",".join(chosen),
        "leader-elect": "false",
        # With the default rate the first ServiceAccount takes seconds to appear.
        "kube-api-qps": "200",
        "kube-api-burst": "400",
        "profiling": "false",
    }


def _argv(program: str, flags: dict[str, str]) -> tuple[str, ...]:
    return (program, *(f"--{name}={value}" for name, value in flags.items()))
