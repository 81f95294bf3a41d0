"""Registers the Node and keeps it Ready: its status now and then, its Lease every ten seconds."""

import logging
import os
import platform
import threading
from collections.abc import Callable
from dataclasses import dataclass

from devcluster.node.api import STRATEGIC_PATCH, ApiClient, ApiError, ApiUnavailable, Conflict, NotFound
from devcluster.node.shapes import Json
from devcluster.node.times import rfc3339, rfc3339_micro

log = logging.getLogger(__name__)

# A kubelet's figures: the controller manager calls a node lost after 50 s without either.
LEASE_SECONDS = 40
RENEW_SECONDS = 10
STATUS_SECONDS = 300

_LEASES = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"


@dataclass(frozen=True)
class NodeIdentity:
    """What the Node says of itself."""

    name: str
    address: str
    port: int
    max_pods: int
    runtime: str
    version: str

    @property
    def labels(self) -> dict[str, str]:
        """Return the labels that Pods may select the node by."""
        machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
        return {
            "kubernetes.io/hostname": self.name,
            "kubernetes.io/os": "linux",
            "kubernetes.io/arch": machine,
            "node.kubernetes.io/process-node": "true",
        }

    @property
    def capacity(self) -> dict[str, str]:
        """Return what the machine has, as quantities."""
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        disk = os.statvfs("/")
        return {
            "cpu": str(os.cpu_count() or 1),
            "memory": f"{memory // 1024}Ki",
            "ephemeral-storage": f"{disk.f_blocks * disk.f_frsize // 1024}Ki",
            "pods": str(self.max_pods),
        }


class Heartbeat(threading.Thread):
    """The thread that keeps the Node alive; `sleep` returns True when the node is stopping."""

    def __init__(self, client: ApiClient, node: NodeIdentity, sleep: Callable[[float], bool]) -> None:
        super().__init__(name="heartbeat", daemon=True)
        self._client, self._node, self._sleep = client, node, sleep
        self._since: dict[str, str] = {}
        self._uid = ""

    def register(self) -> None:
        """Create the Node unless it exists, report it Ready and take its Lease; retried until it succeeds."""
        pause = 0.2
        while True:
            try:
                self._create()
                self._report(ready=True)
                self._renew()
            except (ApiUnavailable, ApiError) as error:
                log.warning("node not registered yet: error=%s", error)
                if self._sleep(pause):
                    return
                pause = min(pause * 2, 5.0)
            else:
                return

    def run(self) -> None:
        """Renew until the node stops."""
        beats = 0
        while not self._sleep(RENEW_SECONDS):
            beats += 1
            try:
                self._renew()
                if beats % (STATUS_SECONDS // RENEW_SECONDS) == 0:
                    self._report(ready=True)
            except NotFound:
                self.register()
            except (ApiUnavailable, ApiError) as error:
                log.warning("heartbeat failed: error=%s", error)

    def leave(self) -> None:
        """Say that the node is going away, so that nobody waits for it."""
        try:
            self._report(ready=False)
        except (ApiUnavailable, ApiError) as error:
            log.warning("leaving without a last status: error=%s", error)

    def _create(self) -> None:
        """Create the Node or adopt the one with its name."""
        body: Json = {"metadata": {"name": self._node.name, "labels": self._node.labels}, "spec": {}}
        try:
            answer = self._client.post("/api/v1/nodes", body)
        except Conflict:
            answer = self._client.patch(
                f"/api/v1/nodes/{self._node.name}", {"metadata": {"labels": self._node.labels}}
            )
        self._uid = answer["metadata"]["uid"]

    def _report(self, *, ready: bool) -> None:
        """Write the Node's status."""
        node = self._node
        status: Json = {
            "capacity": node.capacity,
            "allocatable": node.capacity,
            "addresses": [
                {"type": "InternalIP", "address": node.address},
                {"type": "Hostname", "address": node.name},
            ],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": node.port}},
            "conditions": [
                self._condition("Ready", ready, "KubeletReady" if ready else "KubeletNotReady"),
                self._condition("MemoryPressure", False, "KubeletHasSufficientMemory"),
                self._condition("DiskPressure", False, "KubeletHasNoDiskPressure"),
                self._condition("PIDPressure", False, "KubeletHasSufficientPID"),
            ],
            "nodeInfo": {
                "machineID": self._uid,
                "systemUUID": self._uid,
                "bootID": self._uid,
                "kernelVersion": platform.release(),
                "osImage": "process node",
                "containerRuntimeVersion": node.runtime,
                "kubeletVersion": node.version,
                "kubeProxyVersion": "",
                "operatingSystem": "linux",
                "architecture": node.labels["kubernetes.io/arch"],
            },
        }
        self._client.patch(f"/api/v1/nodes/{node.name}/status", {"status": status}, STRATEGIC_PATCH)

    def _condition(self, kind: str, value: bool, reason: str) -> Json:
        """Return a node condition; its time of transition is that of the first report with this value."""
        now = rfc3339()
        since = self._since.setdefault(f"{kind}={value}", now)
        return {
            "type": kind,
            "status": "True" if value else "False",
            "reason": reason,
            "message": f"process node: {reason}",
            "lastHeartbeatTime": now,
            "lastTransitionTime": since,
        }

    def _renew(self) -> None:
        """Renew the node's Lease, creating it the first time."""
        name = self._node.name
        spec = {"holderIdentity": name, "leaseDurationSeconds": LEASE_SECONDS, "renewTime": rfc3339_micro()}
        try:
            self._client.patch(f"{_LEASES}/{name}", {"spec": spec})
        except NotFound:
            owner = {"apiVersion": "v1", "kind": "Node", "name": name, "uid": self._uid}
            body: Json = {"metadata": {"name": name, "ownerReferences": [owner]}, "spec": spec}
            self._client.post(_LEASES, body)
