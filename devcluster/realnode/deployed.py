"""A component that is a Deployment in the cluster, with the face of one that is a process."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from devcluster.kubectl import Document, Kubectl
from devcluster.processes import Component, Program
from devcluster.progress import ClusterError, NotReadyError, Say, wait_until
from devcluster.realnode import cgroups
from devcluster.realnode.programs import Node

READY_WITHIN = 90.0
GONE_WITHIN = 60.0
SCALED_WITHIN = 60.0


@dataclass(frozen=True)
class Deployment:
    """Which Deployment, how its Pods are found, and how many there should be."""

    name: str
    namespace: str
    selector: str
    replicas: int = 1


class Deployed(Component):
    """Starts, stops and kills the Pods of a Deployment; what is killed stays dead until it is started."""

    def __init__(
        self,
        name: str,
        deployment: Deployment,
        kubectl: Kubectl,
        node: Node,
        say: Say,
        install: Callable[[], None],
    ) -> None:
        """Describe the component; `install` makes its objects, at the first start."""
        super().__init__(Program(name, (), self._available), node.home / "logs", say)
        self._deployment = deployment
        self._kubectl = kubectl
        self._cgroup = node.cgroup
        self._install, self._installed = install, False

    def install(self) -> None:
        """Make its objects, or change them; its Pods are not touched before `start`."""
        self._install()

    @property
    def running(self) -> bool:
        """Whether a process of it lives."""
        return bool(self._pids())

    def processes(self) -> list[int]:
        """Return its processes, as this machine counts."""
        return self._pids()

    @property
    def pid(self) -> int:
        """The first process's id, as this machine counts; raises when none runs."""
        pids = self._pids()
        if not pids:
            msg = f"{self.name} is not running ({self.describe()})"
            raise ClusterError(msg)
        return pids[0]

    @property
    def log_path(self) -> Path:
        """The log of its newest container."""
        found = sorted(
            (log for folder in self._folders() for log in folder.glob("*/*.log")),
            key=lambda path: path.stat().st_mtime,
        )
        if not found:
            msg = f"{self.name} has logged nothing yet"
            raise ClusterError(msg)
        return found[-1]

    def describe(self) -> str:
        """Say in a few words how its Pods are."""
        phases = [f"{pod['metadata']['name']} {pod['status'].get('phase')}" for pod in self._pods()]
        return ", ".join(phases) or "no Pods"

    def start(self, *, wait: bool = True) -> None:
        """Make its Pods and, unless told otherwise, wait until they are ready."""
        with self._lock:
            if not self._installed:
                self._install()
                self._installed = True
            self._scale(self._deployment.replicas)
        if wait:
            self.wait_ready()

    def wait_ready(self) -> None:
        """Wait until every replica is available; the error shows the end of its log."""
        try:
            wait_until(self._available, self.name, within=READY_WITHIN, say=self._say, pause=0.1)
        except ClusterError as error:
            msg = f"{error}\n{self.last_lines()}"
            raise ClusterError(msg) from None

    def stop(self, *, within: float | None = None) -> None:
        """Ask its Pods to end, and wait until they are gone."""
        with self._lock:
            self._scale(0)
            wait_until(
                lambda: not self._pods(), f"{self.name}: its end", within=within or GONE_WITHIN, say=self._say
            )

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to all its processes. After KILL no Pod takes their place before `start`."""
        with self._lock:
            if not self._pids():
                msg = f"{self.name} is not running ({self.describe()})"
                raise ClusterError(msg)
            self._signal(number)
            if number == signal.SIGKILL:
                self._scale(0)
                # Between kill and scale the kubelet may have started a container again.
                self._signal(number)
                self._delete_pods()
                wait_until(lambda: not self._pids(), f"{self.name}: its end", within=GONE_WITHIN)

    def freeze(self) -> None:
        """Stop its processes where they are; the kubelet's probes of them go on."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let them go on."""
        self._signal(signal.SIGCONT)

    def last_lines(self) -> str:
        """Return the end of what it logged, and how its Pods are."""
        where = ("-n", self._deployment.namespace, "-l", self._deployment.selector)
        try:
            logged = self._kubectl("logs", *where, "--tail=15", "--all-containers", "--prefix")
            told = self._kubectl("get", "pods", *where, "-o", "wide")
            events = self._kubectl("get", "events", "-n", self._deployment.namespace)
        except ClusterError as error:
            return str(error)
        return f"{self.name}: {self.describe()}\n{told}{events}{logged}"

    def _available(self) -> bool:
        found = json.loads(self._get("deployment", self._deployment.name))
        status = found.get("status", {})
        wanted = self._deployment.replicas
        seen = status.get("observedGeneration", 0) >= found["metadata"]["generation"]
        return bool(seen and status.get("availableReplicas", 0) == wanted == status.get("replicas", 0))

    def _scale(self, replicas: int) -> None:
        def scaled() -> bool:
            try:
                self._kubectl(
                    "scale",
                    f"deployment/{self._deployment.name}",
                    f"--replicas={replicas}",
                    f"--namespace={self._deployment.namespace}",
                )
            except ClusterError as error:
                refused[:] = [error]
                return False
            return True

        # The API server may itself be about to start.
        refused: list[ClusterError] = []
        try:
            wait_until(scaled, f"{self.name}: {replicas} replicas", within=SCALED_WITHIN, pause=0.5)
        except NotReadyError:
            raise refused[-1] from None

    def _delete_pods(self) -> None:
        self._kubectl(
            "delete",
            "pods",
            f"--namespace={self._deployment.namespace}",
            f"--selector={self._deployment.selector}",
            "--force",
            "--grace-period=0",
            "--wait=false",
        )

    def _pods(self) -> list[Document]:
        found: list[Document] = json.loads(self._get("pods", "-l", self._deployment.selector))["items"]
        return found

    def _get(self, *what: str) -> str:
        return self._kubectl("get", *what, f"--namespace={self._deployment.namespace}", "-o", "json")

    def _pids(self) -> list[int]:
        # By the folders of the kubelet's logs: they are told apart by the Pods' UIDs, and need no API server.
        uids = {folder.name.rpartition("_")[2] for folder in self._folders()}
        return [pid for uid in sorted(uids) for pid in cgroups.processes_of_pod(self._cgroup, uid)]

    def _folders(self) -> list[Path]:
        return list(super().log_path.glob(f"{self._deployment.namespace}_{self._deployment.name}-*"))

    def _signal(self, number: signal.Signals) -> None:
        for pid in self._pids():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
