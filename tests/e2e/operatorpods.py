"""What runs the Pods of the operator's Deployment: the part of a kubelet, a scheduler and a Service that a rollout needs.

The Deployment, its ReplicaSets and its Pods are Kubernetes' own. Each Pod becomes a process of this machine that is
started with the Pod's own arguments and environment from the tree that its image's tag stands for. It is Ready when its
readiness probe says so, is behind the Service while it is, and gets a SIGTERM when it is deleted.
"""

from __future__ import annotations

import contextlib
import re
import sys
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from devcluster import accounts
from devcluster.cluster import Cluster
from devcluster.ports import LOOPBACK, Ports
from devcluster.processes import Component, Program
from devcluster.progress import ClusterError
from devcluster.relay import Relay
from devcluster.site import answers
from tests.faults import clients
from tests.faults.clients import CallError

NAMESPACE = "spacelift-worker-controller-system"
SERVICE = "spacelift-workerpool-controller-webhook-service"
SELECTOR = "control-plane=controller-manager,app.kubernetes.io/name=spacelift-workerpool-controller"
NODE = "operators"
NODE_LABEL = "kubernetes.io/hostname"
PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"
LOOK, HEARTBEAT = 0.2, 10.0


def now() -> str:
    """Return the time as Kubernetes writes it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


@dataclass
class Replica:
    """One Pod and its process."""

    uid: str
    version: str
    component: Component
    ports: Ports
    ready: bool = False
    leaving: threading.Thread | None = None


@dataclass
class OperatorPods:
    """Runs the Pods; `trees` are the trees by the version that an image's tag names."""

    cluster: Cluster
    trees: Mapping[str, Path]
    service: Relay
    faults: list[str] = field(default_factory=list)
    """Processes that ended although nobody told them to, and what else went wrong."""
    history: list[str] = field(default_factory=list)
    """The version of each Pod that was started."""

    def __post_init__(self) -> None:
        self._api = clients.api_server(self.cluster)
        self._replicas: dict[str, Replica] = {}
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._go_on, name="operator-pods", daemon=True)
        self._beaten = float("-inf")

    def start(self) -> None:
        """Make the node and begin."""
        self._api.call(
            "POST",
            "/api/v1/nodes",
            {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE, "labels": {NODE_LABEL: NODE}}},
        )
        self._thread.start()

    def stop(self) -> None:
        """End every process."""
        self._stopping.set()
        self._thread.join(30)
        for replica in self._replicas.values():
            replica.component.stop()
            replica.ports.release()

    def versions(self) -> list[str]:
        """Return the versions of the replicas that are ready."""
        return sorted(each.version for each in list(self._replicas.values()) if each.ready)

    def logs(self) -> str:
        """Return the end of what the replicas wrote."""
        return "\n".join(each.component.last_lines() for each in list(self._replicas.values()))

    def _go_on(self) -> None:
        while not self._stopping.wait(LOOK):
            try:
                self._beat()
                self._look()
            except CallError as error:
                # The API server says what it thinks of one write; the next look begins anew.
                if error.status not in (None, 404, 409):
                    self.faults.append(str(error))
            except ClusterError as error:
                self.faults.append(str(error))

    def _beat(self) -> None:
        """Say that the node lives."""
        if time.monotonic() - self._beaten < HEARTBEAT:
            return
        self._beaten = time.monotonic()
        condition = {"type": "Ready", "status": "True", "reason": "Fine", "lastHeartbeatTime": now()}
        self._patch(f"/api/v1/nodes/{NODE}/status", {"status": {"conditions": [condition]}})

    def _look(self) -> None:
        found = self._api.call("GET", PODS, query={"labelSelector": SELECTOR})["items"]
        seen = {pod["metadata"]["name"] for pod in found}
        for name in [name for name in self._replicas if name not in seen]:
            self._forget(name)
        for pod in found:
            self._one(pod)
        ready = [each.ports["hooks"] for each in self._replicas.values() if each.ready]
        self.service.set_backends([(LOOPBACK, port) for port in ready])

    def _one(self, pod: dict[str, Any]) -> None:
        name = pod["metadata"]["name"]
        replica = self._replicas.get(name)
        if "deletionTimestamp" in pod["metadata"]:
            self._end(pod, replica)
        elif "nodeName" not in pod["spec"]:
            target = {"apiVersion": "v1", "kind": "Node", "name": NODE}
            body = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": name}, "target": target}
            self._api.call("POST", f"{PODS}/{name}/binding", body)
        elif replica is None:
            self._run(pod)
        elif not replica.component.running:
            self.faults.append(f"{name} ended by itself: {replica.component.last_lines()}")
            replica.ready = False
            replica.component.start(wait=False)
        elif (ready := replica.component.program.ready()) is not replica.ready:
            replica.ready = ready
            self._show(name, ready=ready)

    def _run(self, pod: dict[str, Any]) -> None:
        name, (container,) = pod["metadata"]["name"], pod["spec"]["containers"]
        version = container["image"].rpartition(":")[2]
        ports = Ports(("hooks", "health"))
        account = pod["spec"]["serviceAccountName"]
        site = self.cluster.site
        accounts.write_kubeconfig(site, self.cluster.kubectl, name, "operator-api", NAMESPACE, account)
        env = {each["name"]: value_of(each, pod) for each in container["env"]}
        argv = (
            # Not the working directory of this process, but the version's tree.
            *("env", "-C", str(self.trees[version]), sys.executable, "-m", "app"),
            *(argument(each, env, ports) for each in container["args"]),
            f"--kubeconfig={site.kubeconfig(name)}",
        )
        health = ports["health"]
        program = Program(name, argv, lambda: answers(health, "/readyz"), env, stop_within=30.0)
        component = Component(program, site.logs / f"{name}.log")
        self._replicas[name] = Replica(pod["metadata"]["uid"], version, component, ports)
        self.history.append(version)
        component.start(wait=False)
        self._show(name, ready=False)

    def _show(self, name: str, *, ready: bool) -> None:
        state = {"running": {"startedAt": now()}}
        status = {"name": "manager", "image": "", "imageID": "", "restartCount": 0, "ready": ready}
        words = {"Ready": ready, "ContainersReady": ready, "Initialized": True, "PodScheduled": True}
        conditions = [
            {"type": kind, "status": str(holds), "lastTransitionTime": now()} for kind, holds in words.items()
        ]
        body = {
            "phase": "Running",
            "conditions": conditions,
            "containerStatuses": [{**status, "started": True, "state": state}],
        }
        self._patch(f"{PODS}/{name}/status", {"status": body})

    def _end(self, pod: dict[str, Any], replica: Replica | None) -> None:
        """Take a deleted Pod out of the Service at once, and let its process end in its own time."""
        name = pod["metadata"]["name"]
        if replica is None:
            self._delete(name)
        elif replica.leaving is None:
            replica.ready = False
            replica.leaving = threading.Thread(target=self._leave, args=(name, replica), daemon=True)
            replica.leaving.start()

    def _leave(self, name: str, replica: Replica) -> None:
        replica.component.stop()
        with contextlib.suppress(CallError):
            self._delete(name)

    def _delete(self, name: str) -> None:
        self._api.call("DELETE", f"{PODS}/{name}", {"gracePeriodSeconds": 0})

    def _forget(self, name: str) -> None:
        replica = self._replicas.pop(name)
        replica.component.stop()
        replica.ports.release()

    def _patch(self, path: str, body: object) -> None:
        self._api.call("PATCH", path, body, content_type="application/strategic-merge-patch+json")


def value_of(variable: Mapping[str, Any], pod: Mapping[str, Any]) -> str:
    """Return the value of one of a Pod's variables."""
    if "value" in variable:
        return str(variable["value"])
    return str(pod["metadata"][variable["valueFrom"]["fieldRef"]["fieldPath"].removeprefix("metadata.")])


def argument(text: str, env: Mapping[str, str], ports: Mapping[str, int]) -> str:
    """Return an argument with its variables, and with ports of this machine in the place of the Pod's own."""
    text = re.sub(r"\$\((\w+)\)", lambda found: env[found[1]], text)
    for flag, purpose in (("--hook-bind-address=", "hooks"), ("--health-probe-bind-address=", "health")):
        if text.startswith(flag):
            return f"{flag}{LOOPBACK}:{ports[purpose]}"
    return text
