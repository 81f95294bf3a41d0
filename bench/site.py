"""The cluster that figures are measured on: everything but a node, so that a run Pod's creation is the end of the way."""

from __future__ import annotations

import base64
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import requests

from app.cluster.client import KubernetesApi
from app.cluster.resources import PODS, SECRETS, WORKERPOOLS, WORKERS
from bench.observer import Observer
from devcluster.cluster import Cluster

NAMESPACE = "default"
PARTS = ("controlplane", "mosquitto", "mothership", "operator", "hookdriver")


@dataclass(frozen=True)
class Mothership:
    """The mothership's HTTP API, as the administrator."""

    endpoint: str
    session: requests.Session

    @classmethod
    def of(cls, env: dict[str, str]) -> Mothership:
        """Return the one that a cluster's environment names."""
        session = requests.Session()
        session.trust_env = False  # REQUESTS_CA_BUNDLE would win over the CA set here
        session.verify = env["MOTHERSHIP_CA"]
        token = Path(env["MOTHERSHIP_ADMIN_TOKEN_FILE"]).read_text().strip()
        session.headers["Authorization"] = f"Bearer {token}"
        return cls(env["MOTHERSHIP_ENDPOINT"], session)

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:  # noqa: ANN401 - JSON
        """Return the answer's JSON; raise for a status that isn't 2xx."""
        answer = self.session.request(method, self.endpoint + path, json=body, timeout=60)
        answer.raise_for_status()
        return answer.json()


class Site:
    """One running cluster with one pool, and observers of its Workers and Pods."""

    def __init__(self, cluster: Cluster, folder: Path) -> None:
        self.cluster = cluster
        self.env = cluster.env()
        self.api = KubernetesApi.connect(kubeconfig=str(cluster.kubeconfig))
        self.mothership = Mothership.of(self.env)
        self.workers = Observer(self.api, WORKERS, NAMESPACE)
        self.pods = Observer(self.api, PODS, NAMESPACE)
        self._folder = folder

    def close(self) -> None:
        """Stop looking at the cluster, before it goes."""
        for observer in (self.workers, self.pods):
            observer.stop()
        self.api.close()

    def make_pool(self, name: str, size: int) -> None:
        """Create a pool with the documented kind of key (RSA 4096)."""
        key, csr = self._folder / f"{name}.key", self._folder / f"{name}.csr"
        subprocess.run(
            [
                "openssl",
                "req",
                "-new",
                "-newkey",
                "rsa:4096",
                "-nodes",
                "-subj",
                "/CN=bench",
                "-keyout",
                key,
                "-out",
                csr,
            ],
            check=True,
            capture_output=True,
        )
        made = self.mothership.call("POST", "/v1/pools", {"name": name, "csr": csr.read_text()})
        secret = {
            "metadata": {"name": name, "namespace": NAMESPACE},
            "stringData": {
                "token": made["token"],
                "privateKey": base64.b64encode(key.read_bytes()).decode("ascii"),
            },
        }
        self.api.create(SECRETS, NAMESPACE, {"apiVersion": "v1", "kind": "Secret", **secret})
        pool = {
            "apiVersion": "workers.spacelift.io/v1beta1",
            "kind": "WorkerPool",
            "metadata": {"name": name, "namespace": NAMESPACE},
            "spec": {
                "poolSize": size,
                "token": {"secretKeyRef": {"name": name, "key": "token"}},
                "privateKey": {"secretKeyRef": {"name": name, "key": "privateKey"}},
            },
        }
        self.api.create(WORKERPOOLS, NAMESPACE, pool)
        self._await_ready(name)

    def scale(self, name: str, size: int, seconds: float = 180) -> float:
        """Scale the pool up and return how many seconds it took until all its workers were registered."""
        self.api.merge_patch(WORKERPOOLS, NAMESPACE, name, {"spec": {"poolSize": size}})
        return self.workers.wait(
            lambda found: sum(bool(item.get("status", {}).get("registered")) for item in found) >= size,
            f"{size} registered workers",
            seconds,
        )

    def operator_memory_mib(self) -> float:
        """Return the memory of the operator's two processes in MiB, shared pages counted once, as a container's limit does."""
        root, kib = self.cluster.component("operator").pid, 0
        for process in Path("/proc").glob("[0-9]*"):
            try:
                parent = int((process / "stat").read_text().rsplit(")", 1)[1].split()[1])
                if root in (int(process.name), parent):
                    rollup = (process / "smaps_rollup").read_text()
                    kib += next(
                        int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")
                    )
            except OSError:
                continue
        return kib / 1024

    def _await_ready(self, name: str) -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            status = self.api.get(WORKERPOOLS, NAMESPACE, name).get("status", {})
            if any(
                item["type"] == "Ready" and item["status"] == "True" for item in status.get("conditions", [])
            ):
                return
            time.sleep(0.1)
        raise TimeoutError(f"pool {name} is not Ready within 60 s")
