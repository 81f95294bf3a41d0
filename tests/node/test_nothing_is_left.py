"""A real node leaves nothing behind on the machine, however it ends."""

from __future__ import annotations

import contextlib
import json
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from devcluster.background import BackgroundCluster
from devcluster.cluster import CONTAINERS, Options
from devcluster.components import resolve
from devcluster.realnode import cgroups
from tests.e2e.harness import Shell, apply, until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600), pytest.mark.usefixtures("means_at_hand")]

SYSCTLS = (
    *("vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops"),
    *("kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes", "net/ipv4/ip_forward"),
)
FOLDERS = ("/run", "/var/lib", "/var/log", "/opt", "/etc/cni", "/sys/fs/cgroup", "/sys/class/net")
IDLE_POD = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "idle", "namespace": "default"},
    "spec": {
        "terminationGracePeriodSeconds": 600,
        "volumes": [{"name": "memory", "emptyDir": {"medium": "Memory"}}],
        "containers": [
            {
                "name": "idle",
                "image": "spacelift.local/runner:dev",
                "command": ["sh", "-c", "trap '' TERM; while :; do sleep 1; done"],
                "volumeMounts": [{"name": "memory", "mountPath": "/memory"}],
            }
        ],
    },
}


@dataclass(frozen=True)
class Machine:
    """What a node could change on the machine for good."""

    sysctls: tuple[str, ...]
    entries: frozenset[str]


def _machine() -> Machine:
    entries = set()
    for folder in map(Path, FOLDERS):
        with contextlib.suppress(OSError):
            entries |= {str(path) for path in folder.iterdir()}
    # Other clusters may come and go meanwhile.
    entries = {each for each in entries if cgroups.PREFIX not in each}
    return Machine(tuple(Path("/proc/sys", name).read_text() for name in SYSCTLS), frozenset(entries))


def _groups(cluster: BackgroundCluster) -> list[Path]:
    """Return the control groups of a cluster, in either version of them."""
    name = cgroups.PREFIX + str(_state(cluster)["node_name"])
    return [top / name for top in cgroups.hierarchies()]


def _state(cluster: BackgroundCluster) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((cluster.directory / "state.json").read_text())
    return found


def _processes(words: str) -> list[int]:
    """Return the processes that have the words in their command line or among their mounts."""
    found = []
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit() or int(folder.name) == os.getpid():
            continue
        with contextlib.suppress(OSError):
            text = (folder / "cmdline").read_text() + (folder / "mountinfo").read_text()
            if words in text:
                found.append(int(folder.name))
    return found


def _own_mounts() -> list[str]:
    return [line for line in Path("/proc/self/mountinfo").read_text().splitlines() if "/run/node" in line]


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[BackgroundCluster]:
    """Return a node with a Pod that doesn't want to end, owned by a process of its own."""
    made = BackgroundCluster(tmp_path / "c", Options(components=resolve(["node"]), node=CONTAINERS))
    try:
        made.up(lifetime=600)
        shell = Shell({**os.environ, **made.env()})
        apply(shell, IDLE_POD)
        until(lambda: shell.get("pod", "idle")["status"]["phase"] == "Running", "the Pod runs", 120)
        yield made
    finally:
        made.down()


@pytest.fixture
def before() -> Machine:
    """Return how the machine was."""
    return _machine()


def test_after_down(before: Machine, cluster: BackgroundCluster) -> None:
    """`down` ends everything, whatever Pods think of it, and restores the machine."""
    groups = _groups(cluster)
    assert all(group.exists() for group in groups)
    assert len(_processes(str(cluster.directory))) > 10
    cluster.down()
    assert _processes(str(cluster.directory)) == []
    assert not cluster.directory.exists()
    assert _own_mounts() == []
    assert not [group for group in groups if group.exists()]
    assert _machine() == before


def test_after_the_supervisor_was_killed(before: Machine, cluster: BackgroundCluster) -> None:
    """With `kill -9` of the supervisor everything ends by itself, and only its record is left, for `down`."""
    groups = _groups(cluster)
    os.kill(_state(cluster)["owner"]["pid"], signal.SIGKILL)
    until(lambda: not _processes(str(cluster.directory)), "every process ends", 60)
    until(lambda: not (cluster.directory / "node").exists(), "the node's directory is gone", 60)
    until(lambda: not [group for group in groups if group.exists()], "its control groups are gone", 60)
    assert _machine() == before
    cluster.down()
    assert not cluster.directory.exists()
