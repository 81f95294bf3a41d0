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
from devcluster.components import MOST_REPLICAS, replicas
from devcluster.kubectl import Document
from devcluster.ports import LOOPBACK
from devcluster.realnode import images

NAMESPACE = "mothership"
OPERATOR_NAMESPACE = operator_process.NAMESPACE
OPERATOR_LABEL = "app.kubernetes.io/name"
OPERATOR = "spacelift-workerpool-controller"
OPERATOR_DEPLOYMENT = "spacelift-workerpool-controller-controller-manager"
OPERATOR_SERVICE = "spacelift-workerpool-controller-webhook-service"
HOOK_SERVER_NAMES = (f"{OPERATOR_SERVICE}.{OPERATOR_NAMESPACE}", LOOPBACK)
"""By which names the hooks are called: as Metacontroller does, and through this machine's relay."""
UID = 1983
MOTHERSHIP_PORT, BROKER_PORT, HOOKS_PORT, HEALTH_PORT = 8443, 8883, 9443, 8081
REPLICA_LABEL = "devcluster/replica"
"""Tells the Pods of several operators apart."""
# Of the part of the range that the API server hands out last.
HOOKS_ADDRESS, SERVICE_PORT = "10.96.0.23", 443
"""The Service that Metacontroller calls."""
ADDRESSES = {
    "mothership": "10.96.0.20",
    "mosquitto": "10.96.0.21",
    **{f"{name}-health": f"10.96.0.{30 + number}" for number, name in enumerate(replicas(MOST_REPLICAS))},
}
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


@dataclass(frozen=True)
class Endpoints:
    """Where the mothership finds the broker, and says that broker and itself are found."""

    broker: str = BROKER_URL
    public_broker: str = BROKER_URL
    public_endpoint: str = MOTHERSHIP_URL


def operator(
    documents: Iterable[Document], extra: Extra, names: Sequence[str] = ("operator",)
) -> list[Document]:
    """Return the installation's objects with the operator's image replaced and the Deployment adjusted.

    No Pod is asked for yet. Of several operators each is a Deployment of its own, so that one of them can be stopped
    and stay so. Metacontroller's own Deployment is left out: what drives the hooks is a process beside the node's.
    """
    changed: list[Document] = []
    for document in documents:
        if document["kind"] != "Deployment":
            changed.append(copy.deepcopy(document))
            if document["kind"] == "Service" and document["metadata"]["name"] == OPERATOR_SERVICE:
                changed[-1]["spec"]["clusterIP"] = HOOKS_ADDRESS
        elif document["metadata"]["name"] == OPERATOR_DEPLOYMENT:
            single = len(names) == 1
            changed += [_adjusted(document, extra, "" if single else name) for name in names]
    return [*changed, *(_probes(name, several=len(names) > 1) for name in names)]


def deployment_of(name: str, names: Sequence[str]) -> tuple[str, str]:
    """Return name and selector of an operator's Deployment, of the operators `names`."""
    if len(names) == 1:
        return OPERATOR_DEPLOYMENT, f"{OPERATOR_LABEL}={OPERATOR}"
    return name, f"{REPLICA_LABEL}={name}"


def _adjusted(document: Document, extra: Extra, name: str) -> Document:
    """Return the operator's Deployment as it is here; one of several has a name."""
    changed = copy.deepcopy(document)
    spec = changed["spec"]
    spec["replicas"] = 0
    more = [f"--hook-server-names={','.join(HOOK_SERVER_NAMES)}"]
    if name:
        changed["metadata"]["name"] = name
        for labels in (spec["selector"]["matchLabels"], spec["template"]["metadata"]["labels"]):
            labels[REPLICA_LABEL] = name
        # As on the process node. A Pod's name, which the manifest gives it, is another after each start.
        more.append(f"--replica-name={name}")
    for container in spec["template"]["spec"]["containers"]:
        container["image"] = images.OPERATOR
        container["imagePullPolicy"] = "IfNotPresent"
        container["args"] = [*container.get("args", ()), *more, *extra.arguments]
        container["env"] = [*container.get("env", ()), *_env(extra)]
    return changed


def _probes(name: str, *, several: bool) -> Document:
    """Return the Service by which this machine asks an operator, ready or not."""
    ports = [
        {"name": "hooks", "port": HOOKS_PORT, "targetPort": "hooks"},
        {"name": "probes", "port": HEALTH_PORT, "targetPort": "probes"},
    ]
    selector = {REPLICA_LABEL: name} if several else {OPERATOR_LABEL: OPERATOR}
    return _service(f"{name}-health", OPERATOR_NAMESPACE, selector, ports, publish_unready=True)


def namespace() -> Document:
    """Return the namespace of mothership and broker."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}}


def mothership(data: Path, extra: Extra, endpoints: Endpoints = Endpoints()) -> list[Document]:
    """Return the mothership, not started yet: never more than one, because its database is a file."""
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
    """Return the broker, not started yet, with the configuration that the mothership wrote."""
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
            "replicas": 0,
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
