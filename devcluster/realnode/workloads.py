"""What runs in the cluster: the operator from the manifests, and Deployments for the mothership and its broker.

Functions of data. The mothership's data and the broker's configuration are directories of the cluster's own, shown to
the Pods at the same paths, so that the host's command line finds the same files.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devcluster import operator as operator_process
from devcluster.kubectl import Document
from devcluster.ports import LOOPBACK
from devcluster.realnode import images

NAMESPACE = "mothership"
OPERATOR_NAMESPACE = operator_process.NAMESPACE
OPERATOR_LABEL = "app.kubernetes.io/name"
OPERATOR = "spacelift-workerpool-controller"
OPERATOR_DEPLOYMENT = "spacelift-workerpool-controller-controller-manager"
OPERATOR_SERVICE = "spacelift-workerpool-controller-webhook-service"
HEALTH_SERVICE = "operator-health"
HOOK_SERVER_NAMES = (f"{OPERATOR_SERVICE}.{OPERATOR_NAMESPACE}.svc", LOOPBACK)
"""By which names the hooks are called: as Metacontroller does, and through this machine's relay."""
UID = 1983
MOTHERSHIP_PORT, BROKER_PORT, HOOKS_PORT, HEALTH_PORT = 8443, 8883, 9443, 8081
# Of the part of the range that the API server hands out last.
ADDRESSES = {"mothership": "10.96.0.20", "mosquitto": "10.96.0.21", HEALTH_SERVICE: "10.96.0.22"}
HOOKS_ADDRESS, SERVICE_PORT = "10.96.0.23", 443
"""The Service that Metacontroller calls."""
MOTHERSHIP_HOST = f"mothership.{NAMESPACE}.svc"
BROKER_HOST = f"mosquitto.{NAMESPACE}.svc"
HOSTS = (MOTHERSHIP_HOST, BROKER_HOST)
MOTHERSHIP_URL = f"https://{MOTHERSHIP_HOST}:{MOTHERSHIP_PORT}"
BROKER_URL = f"mqtts://{BROKER_HOST}:{BROKER_PORT}"

RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}


@dataclass(frozen=True)
class Extra:
    """What a component's Pods get beyond their manifest."""

    arguments: Sequence[str] = ()
    environment: Mapping[str, str] | None = None
    replicas: int = 1


@dataclass(frozen=True)
class Endpoints:
    """Where the mothership finds the broker, and says that broker and itself are found."""

    broker: str = BROKER_URL
    public_broker: str = BROKER_URL
    public_endpoint: str = MOTHERSHIP_URL


def operator(documents: Iterable[Document], extra: Extra) -> list[Document]:
    """Return the installation's objects with the operator's image replaced and the Deployment adjusted.

    Metacontroller's own Deployment is left out: what drives the hooks is a process beside the node's.
    """
    changed = [
        copy.deepcopy(document)
        for document in documents
        if document["kind"] != "Deployment" or document["metadata"]["name"] == OPERATOR_DEPLOYMENT
    ]
    for document in changed:
        if document["kind"] == "Service" and document["metadata"]["name"] == OPERATOR_SERVICE:
            document["spec"]["clusterIP"] = HOOKS_ADDRESS
        if document["kind"] != "Deployment":
            continue
        spec = document["spec"]
        spec["replicas"] = extra.replicas
        for container in spec["template"]["spec"]["containers"]:
            container["image"] = images.OPERATOR
            container["imagePullPolicy"] = "IfNotPresent"
            names = f"--hook-server-names={','.join(HOOK_SERVER_NAMES)}"
            container["args"] = [*container.get("args", ()), names, *extra.arguments]
            container["env"] = [*container.get("env", ()), *_env(extra)]
    return [*changed, health_service()]


def health_service() -> Document:
    """Return the Service by which this machine asks the operator, ready or not."""
    ports = [
        {"name": "hooks", "port": HOOKS_PORT, "targetPort": "hooks"},
        {"name": "probes", "port": HEALTH_PORT, "targetPort": "probes"},
    ]
    return _service(
        HEALTH_SERVICE, OPERATOR_NAMESPACE, {OPERATOR_LABEL: OPERATOR}, ports, publish_unready=True
    )


def namespace() -> Document:
    """Return the namespace of mothership and broker."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}


def mothership(data: Path, extra: Extra, endpoints: Endpoints = Endpoints()) -> list[Document]:
    """Return the mothership: one replica, because its database is a file."""
    arguments = [
        "serve",
        f"--data-dir={data}",
        f"--listen=0.0.0.0:{MOTHERSHIP_PORT}",
        f"--broker={endpoints.broker}",
        f"--public-broker={endpoints.public_broker}",
        f"--public-endpoint={endpoints.public_endpoint}",
        f"--launcher-image={images.LAUNCHER}",
        f"--default-runner-image={images.RUNNER}",
        *extra.arguments,
    ]
    container = {
        "image": images.MOTHERSHIP,
        "args": arguments,
        "env": _env(extra),
        "readinessProbe": {
            "httpGet": {"path": "/healthz", "port": MOTHERSHIP_PORT, "scheme": "HTTPS"},
            "periodSeconds": 1,
        },
        "resources": {"requests": {"cpu": "50m", "memory": "96Mi"}},
    }
    return _application("mothership", container, [data], MOTHERSHIP_PORT)


def broker(configuration: Path, data: Path) -> list[Document]:
    """Return the broker, with the configuration that the mothership wrote."""
    container = {
        "image": images.BROKER,
        "command": ["/usr/sbin/mosquitto", "-c", str(configuration / "mosquitto.conf")],
        "readinessProbe": {"tcpSocket": {"port": BROKER_PORT}, "periodSeconds": 1},
        "resources": {"requests": {"cpu": "20m", "memory": "32Mi"}},
    }
    return _application("mosquitto", container, [configuration, data], BROKER_PORT)


def _application(name: str, container: Document, folders: Sequence[Path], port: int) -> list[Document]:
    labels = {"app": name}
    volumes: list[Document] = [
        {"name": f"data-{number}", "hostPath": {"path": str(folder), "type": "Directory"}}
        for number, folder in enumerate(folders)
    ]
    mounts: list[Document] = [
        {"name": f"data-{number}", "mountPath": str(folder)} for number, folder in enumerate(folders)
    ]
    whole: Document = {
        "name": name,
        "imagePullPolicy": "IfNotPresent",
        "securityContext": RESTRICTED,
        **container,
        "volumeMounts": [*mounts, {"name": "tmp", "mountPath": "/tmp"}],  # noqa: S108 - in the container
    }
    spec = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": {"runAsUser": UID, "runAsGroup": UID},
        "terminationGracePeriodSeconds": 5,
        "containers": [whole],
        "volumes": [*volumes, {"name": "tmp", "emptyDir": {"medium": "Memory"}}],
    }
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": NAMESPACE},
        "spec": {
            "replicas": 1,
            "strategy": {"type": "Recreate"},
            "selector": {"matchLabels": labels},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }
    return [_service(name, NAMESPACE, labels, [{"name": "main", "port": port}]), deployment]


def _service(
    name: str,
    namespace: str,
    selector: Mapping[str, str],
    ports: Sequence[Mapping[str, Any]],
    *,
    publish_unready: bool = False,
) -> Document:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "selector": dict(selector),
            "clusterIP": ADDRESSES[name],
            "publishNotReadyAddresses": publish_unready,
            "ports": list(ports),
        },
    }


def _env(extra: Extra) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in (extra.environment or {}).items()]


def grants() -> list[Document]:
    """Return what no bootstrap policy grants: the API server's way into the kubelet, and CoreDNS's reads."""
    watched = [
        {"apiGroups": [""], "resources": ["services", "namespaces"], "verbs": ["list", "watch"]},
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
    ]
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "devcluster:coredns"},
        "rules": watched,
    }
    return [
        role,
        _binding("devcluster:coredns", "devcluster:coredns", "system:coredns"),
        _binding("devcluster:kubelet-api", "system:kubelet-api-admin", "kube-apiserver-kubelet-client"),
    ]


def _binding(name: str, role: str, user: str) -> Document:
    group = "rbac.authorization.k8s.io"
    return {
        "apiVersion": f"{group}/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": role},
        "subjects": [{"apiGroup": group, "kind": "User", "name": user}],
    }
