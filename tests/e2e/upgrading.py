"""What upgrade tests act on: a cluster into which the operator is installed, and runs that go on meanwhile."""

from __future__ import annotations

import json
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from devcluster import helm
from devcluster.cluster import Cluster
from tests.e2e.harness import Pool, Shell, until
from tests.e2e.nextversion import CHART
from tests.e2e.operatorpods import NAMESPACE, NODE, NODE_LABEL, OperatorPods
from tests.faults import clients
from tests.faults.clients import CallError
from tests.faults.journal import Journal
from tests.faults.load import LIST_LIMIT, Load, Work, settled
from tests.faults.verdict import Expected, Verdict, judge

RELEASE = "spacelift-workerpool-controller"
INTERVAL = 6.0
"""Seconds between two runs on one pool."""
ON_NODE = f"controllerManager.nodeSelector.{NODE_LABEL.replace('.', chr(92) + '.')}={NODE}"
"""Where the operator's Pods go, as a value of the chart."""


@dataclass
class Stage:
    """A cluster without the operator, both versions' trees, and what runs the operator's Pods."""

    cluster: Cluster
    shell: Shell
    trees: dict[str, Path]
    operators: OperatorPods
    helm_command: Path
    outside: Path

    def helm(self, *arguments: str) -> str:
        """Run Helm against the cluster."""
        return helm.run(
            self.helm_command,
            *arguments,
            "--kubeconfig",
            str(self.cluster.kubeconfig),
            "--namespace",
            NAMESPACE,
        )

    def upgrade(self, version: str, *arguments: str) -> None:
        """Run `helm upgrade --install` of a version's chart, and wait for the rollout."""
        chart = str(self.trees[version] / CHART)
        self.helm(
            "upgrade", RELEASE, chart, "--install", "--create-namespace", "--wait", "--timeout", "3m",
            "--set-string", ON_NODE, *arguments,
        )  # fmt: skip

    def deployed(self) -> dict[str, Any]:
        """Return what Helm says of the release."""
        found: dict[str, Any] = json.loads(self.helm("status", RELEASE, "--output", "json"))
        return found

    def await_operators(self, version: str) -> None:
        """Wait until both replicas are of the version, and ready."""
        until(lambda: self.operators.versions() == [version] * 2, f"two replicas of {version}", 120)

    def mothership(self, version: str) -> None:
        """Replace the mothership by another version of itself, with the same data."""
        part = self.cluster.component("mothership")
        words = part.program.argv
        plain = words[words.index("-C") + 2 :] if "-C" in words else words
        part.stop()
        part.program = replace(part.program, argv=("env", "-C", str(self.trees[version]), *plain))
        part.start()

    def registrations(self) -> int:
        """Return how often a worker was registered with the mothership so far."""
        return self.cluster.component("mothership").log_path.read_text().count("worker registered")


@dataclass(frozen=True)
class Phase:
    """Something that was done while runs went on; times in seconds since 1970."""

    name: str
    began: float
    ended: float


class Stream:
    """Runs on one pool: one that lasts through everything, and others one after the other."""

    def __init__(self, stage: Stage, pool: Pool, gate: Path) -> None:
        self.pool, self.gate = pool, gate
        self.journal = Journal.new(stage.outside / f"upgrade-{pool.name}.journal")
        work = Work(LIST_LIMIT // 2, "sleep 1", interval=INTERVAL)
        self.load = Load(clients.mothership(stage.cluster), pool.ulid, self.journal, work)
        self.pod, self.run = "", ""

    def start(self) -> None:
        """Begin, once the run that lasts is at work."""
        made = self.load.trigger("lasting", f"while [ ! -e {self.gate} ]; do sleep 0.2; done")
        assert made
        until(lambda: self.journal.read().starts["lasting"], "the run that lasts is at work", 60)
        self.run, (pod,) = made, self.pool.pods(made)
        self.pod = pod["metadata"]["uid"]
        self.load.start()

    def untouched(self) -> None:
        """Assert that the run that lasts is where it was: same Pod, no container started again, no verdict."""
        (pod,) = self.pool.pods(self.run)
        assert pod["metadata"]["uid"] == self.pod
        assert not any(each["restartCount"] for each in pod["status"]["containerStatuses"])
        assert self.pool.run(self.run)["finished"] is False

    def started(self) -> int:
        """Return how many runs have begun."""
        return sum(self.journal.read().starts.values())

    def begun_since(self, count: int) -> bool:
        """Return whether runs have begun since there were so many: one could have been on its way."""
        return self.started() > count + 1

    def judge(self) -> Verdict:
        """Judge every run once all have ended."""
        load = self.load
        return judge(load.triggered, load.unsure, load.shown(), self.journal.read(), Expected())


class Traffic:
    """Runs on every pool all the time, and a watch on their Pods."""

    def __init__(self, stage: Stage, pools: list[Pool]) -> None:
        self.gate = stage.outside / f"gate-{time.monotonic_ns()}"
        self.streams = [Stream(stage, pool, self.gate) for pool in pools]
        self.pods: dict[str, set[str]] = defaultdict(set)
        """Every Pod that was ever seen of a run, by UID."""
        self.phases: list[Phase] = []
        self._api = clients.api_server(stage.cluster)
        self._over = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="pod-watch", daemon=True)

    @contextmanager
    def running(self) -> Iterator[None]:
        """Let runs go on meanwhile; every one has ended afterwards."""
        for stream in self.streams:
            stream.start()
        self._watcher.start()
        try:
            yield
        finally:
            for stream in self.streams:
                stream.load.abandon()
            self.gate.touch()
        for stream in self.streams:
            until(partial(settled, stream.load), f"every run of {stream.pool.name} has ended", 120)
        self._over.set()
        self._watcher.join(30)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Do something while runs go on: some begin during it and after it, and those that last aren't touched."""
        began = time.time()
        yield
        self.phases.append(Phase(name, began, time.time()))
        for stream in self.streams:
            stream.untouched()
            until(partial(stream.begun_since, stream.started()), f"runs go on after: {name}", 60)

    def verdict(self) -> Verdict:
        """Judge every run of every pool."""
        total = Verdict()
        for stream in self.streams:
            found = stream.judge()
            total.runs += found.runs
            total.lost += found.lost
            total.doubled += found.doubled
            total.without_verdict += found.without_verdict
        return total

    def figures(self, verdict: Verdict) -> list[str]:
        """Return a line for each phase: how long it took, and how long its runs waited for their start."""
        shown = [run for stream in self.streams for run in stream.load.shown()]
        lines = []
        for phase in self.phases:
            waits = [
                run["startedAt"] - run["createdAt"]
                for run in shown
                if phase.began <= run["createdAt"] <= phase.ended
            ]
            took, longest = phase.ended - phase.began, max(waits, default=0.0)
            lines.append(f"{phase.name}: {took:.0f} s, {len(waits)} runs, the longest wait {longest:.1f} s")
        return [*lines, f"{verdict.runs} runs in all"]

    def _watch(self) -> None:
        while not self._over.wait(0.5):
            with suppress(CallError):
                for pod in self._api.call("GET", "/api/v1/namespaces/default/pods")["items"]:
                    if run := pod["metadata"].get("labels", {}).get("workers.spacelift.io/run-id"):
                        self.pods[run].add(pod["metadata"]["uid"])


def identities(pools: list[Pool]) -> set[tuple[str, str]]:
    """Return name and UID of every Worker."""
    return {(each["metadata"]["name"], each["metadata"]["uid"]) for pool in pools for each in pool.workers()}
