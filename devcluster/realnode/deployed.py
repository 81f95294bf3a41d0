"""A component that is a Deployment in the cluster, with the face of one that is a process."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from devcluster.kubectl import Document, Kubectl
from devcluster.processes import Component, Program
from devcluster.progress import ClusterError, Say, wait_until
from devcluster.realnode import cgroups
from devcluster.realnode.podlogs import PodLogs

READY_WITHIN = 90.0
GONE_WITHIN = 60.0
SCALED_WITHIN = 60.0
ASKED_WITHIN = "--request-timeout=10s"


@dataclass(frozen=True)
class Deployment:
    """Which Deployment, how its Pods are found, and how many there should be."""

    name: str
    namespace: str
    selector: str

    @property
    def log_folders(self) -> re.Pattern[str]:
        """The names of its Pods' folders among the kubelet's logs."""
        # <namespace>_<Deployment>-<template>-<Pod>_<uid>; after a long name the second hyphen is cut off.
        return re.compile(rf"{self.namespace}_{self.name}(-[a-z0-9]+){{1,2}}_[^_]+")


class Deployed(Component):
    """Starts, stops and kills the Pods of a Deployment; what is killed stays dead until it is started."""

    def __init__(
        self,
        name: str,
        deployment: Deployment,
        kubectl: Kubectl,
        cgroup: str,
        logs: PodLogs,
        say: Say,
    ) -> None:
        """Describe the component; its objects are there when it is started, with no replicas.

        `cgroup` is the control group below which the node's containers are.
        """
        super().__init__(Program(name, (), self._available), Path(), say)
        self._deployment = deployment
        self._kubectl = kubectl
        self._cgroup = cgroup
        self._logs = logs
        self._missing = False
        """Whether it was started and the API server doesn't know it yet."""

    @property
    def running(self) -> bool:
        """Whether a process of it lives."""
        return bool(self._pids(self._uids()))

    def processes(self) -> list[int]:
        """Return its processes, as this machine counts."""
        return self._pids(self._uids())

    @property
    def pid(self) -> int:
        """The first process's id, as this machine counts; raises when none runs."""
        pids = self._pids(self._uids())
        if not pids:
            msg = f"{self.name} is not running ({self.describe()})"
            raise ClusterError(msg)
        return pids[0]

    @property
    def log_path(self) -> Path:
        """What all of its containers logged since the cluster's start, up to now."""
        return self._logs.path(self.name)

    def describe(self) -> str:
        """Say in a few words how its Pods are."""
        phases = [f"{pod['metadata']['name']} {pod['status'].get('phase')}" for pod in self._pods()]
        return ", ".join(phases) or "no Pods"

    def start(self, *, wait: bool = True) -> None:
        """Make its Pods and, unless told otherwise, wait until they are ready."""
        with self._lock:
            self._missing = True
            # Where the API server is down, `wait_ready` does it.
            self._made()
        if wait:
            self.wait_ready()

    def wait_ready(self) -> None:
        """Wait until it is available, making what `start` could not; the error shows the end of its log."""
        try:
            wait_until(self._made, f"{self.name}: to be made", within=SCALED_WITHIN, say=self._say, pause=0.5)
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
            pods = self._uids()
            if not self._pids(pods):
                msg = f"{self.name} is not running ({self.describe()})"
                raise ClusterError(msg)
            if number != signal.SIGKILL:
                self._signal(number, pods)
                return
            # Dead to others from here on. Killed at once, the kubelet would start the containers again before it
            # learns that nobody wants them any more.
            self._signal(signal.SIGSTOP, pods)
            # With the API server down nobody can be told: a kubelet that lives starts them again.
            with contextlib.suppress(ClusterError):
                self._scale(0)
                self._delete_pods()

            def dead() -> bool:
                self._signal(signal.SIGKILL, pods)
                return not self._pids(pods)

            wait_until(dead, f"{self.name}: its end", within=GONE_WITHIN, say=self._say, pause=0.05)

    def freeze(self) -> None:
        """Stop all processes of its Pods; a liveness probe ends them when that lasts."""
        self._signal(signal.SIGSTOP, self._uids())

    def thaw(self) -> None:
        """Let what was frozen go on."""
        self._signal(signal.SIGCONT, self._uids())

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
        try:
            found = json.loads(self._get("deployment", self._deployment.name))
        except ClusterError:
            return False
        status = found.get("status", {})
        seen = status.get("observedGeneration", 0) >= found["metadata"]["generation"]
        return bool(seen and status.get("availableReplicas", 0) == status.get("replicas", 0) == 1)

    def _made(self) -> bool:
        if self._missing:
            with contextlib.suppress(ClusterError):
                self._scale(1)
                self._missing = False
        return not self._missing

    def _scale(self, replicas: int) -> None:
        self._kubectl(
            "scale",
            f"deployment/{self._deployment.name}",
            f"--replicas={replicas}",
            f"--namespace={self._deployment.namespace}",
            ASKED_WITHIN,
        )

    def _delete_pods(self) -> None:
        self._kubectl(
            "delete",
            "pods",
            f"--namespace={self._deployment.namespace}",
            f"--selector={self._deployment.selector}",
            "--force",
            "--grace-period=0",
            "--wait=false",
            ASKED_WITHIN,
        )

    def _pods(self) -> list[Document]:
        found: list[Document] = json.loads(self._get("pods", "-l", self._deployment.selector))["items"]
        return found

    def _get(self, *what: str) -> str:
        return self._kubectl("get", *what, f"--namespace={self._deployment.namespace}", "-o", "json")

    def _uids(self) -> list[str]:
        # By the folders of the kubelet's logs: no API server is needed for them.
        return [folder.name.rpartition("_")[2] for folder in self._logs.folders(self.name)]

    def _pids(self, pods: Iterable[str]) -> list[int]:
        return [pid for uid in pods for pid in cgroups.processes_of_pod(self._cgroup, uid)]

    def _signal(self, number: signal.Signals, pods: Iterable[str]) -> None:
        for pid in self._pids(pods):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)
