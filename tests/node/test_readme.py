"""From a clean cluster to a finished run by the commands of the README's section on installing, and nothing else.

They run in a shell of a user's, with an administrator's kubeconfig and a clone of the repository, on a machine that the
cluster's Pods reach: beside the node, in its network. Two things stand in for what only the world outside has: images
are on the node already (readme.py), and Metacontroller is a process with the rights of its ServiceAccount, because its
own Pods can't pull their image.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from devcluster import metacontroller
from devcluster.cluster import CONTAINERS, Options
from devcluster.paths import REPOSITORY
from devcluster.processes import Component, Program
from devcluster.progress import ClusterError, say_to_stderr
from devcluster.realnode.cluster import ContainerCluster
from devcluster.realnode.config import CONTAINERD_SOCKET
from tests.e2e.audited import standing
from tests.e2e.harness import until
from tests.node import readme

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900), pytest.mark.usefixtures("means_at_hand")]

INSTALLED = ("install-metacontroller.yaml", "install.yaml")
WITHIN = 600.0
"""Seconds for all commands together; on an idle machine they take about one minute."""


@pytest.fixture
def clean(tmp_path: Path) -> Iterator[ContainerCluster]:
    """Return a cluster with a node, and nothing of ours in it."""
    options = Options(node=CONTAINERS, components=frozenset({"node"}), audit=True)
    cluster = ContainerCluster(tmp_path / "c", options)
    with standing(cluster):
        yield cluster


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Return what a user has after `git clone`: the files that git knows."""
    folder = tmp_path / "clone"
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, check=True).stdout
    for name in map(os.fsdecode, filter(None, listed.split(b"\0"))):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            shutil.copy2(REPOSITORY / name, target, follow_symlinks=False)
    return folder


def _ready() -> bool:
    return True


def _run_beside(cluster: ContainerCluster, *argv: str) -> None:
    done = subprocess.run(
        cluster.beside(Program(argv[0], argv, _ready)).argv, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def _put_images(cluster: ContainerCluster) -> None:
    for name, built in readme.STANDS_IN.items():
        ctr = ("ctr", "--address", CONTAINERD_SOCKET, "--namespace=k8s.io")
        _run_beside(cluster, *ctr, "images", "tag", built, name)


def _metacontroller(cluster: ContainerCluster) -> Component:
    """Return Metacontroller, not started, with the rights that its ServiceAccount has by now."""
    metacontroller.write_kubeconfig(cluster.site, cluster.kubectl)
    program = metacontroller.program(cluster.site, cluster.options.metacontroller, (), {})
    return Component(cluster.beside(program), cluster.logs_dir / "hookdriver.log", say_to_stderr)


class User:
    """Somebody with a shell, a clone, an administrator's kubeconfig, and a Python that has requirements.txt."""

    def __init__(self, cluster: ContainerCluster, clone: Path, folder: Path) -> None:
        """Sit down in the clone; what the shell prints is kept in the folder."""
        self._cluster, self._clone, self._folder = cluster, clone, folder
        self._shells: list[subprocess.Popen[bytes]] = []
        (folder / "home").mkdir()

    def begin(self, script: str) -> subprocess.Popen[bytes]:
        """Start a shell beside the node that runs a script."""
        file = self._folder / f"script-{len(self._shells)}.sh"
        file.write_text(script)
        tools = self._cluster.site.tools
        path = [f"{sys.prefix}/bin", str(tools), "/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin"]
        bash = self._cluster.beside(Program("bash", ("bash", "--norc", str(file)), _ready))
        with self._output.open("wb") as output:
            shell = subprocess.Popen(
                bash.argv,
                cwd=self._clone,
                env={
                    "PATH": ":".join(path),
                    "HOME": str(self._folder / "home"),
                    "KUBECONFIG": str(self._cluster.kubeconfig),
                },
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        self._shells.append(shell)
        return shell

    @property
    def _output(self) -> Path:
        return self._folder / "output"

    def said(self) -> str:
        """Return what the last shell printed."""
        return self._output.read_text(errors="replace")

    def end(self) -> None:
        """Leave every shell; what it started in the background ends with it."""
        for shell in self._shells:
            shell.terminate()
            shell.wait()


def test_the_commands_lead_from_a_clean_cluster_to_a_finished_run(
    clean: ContainerCluster, clone: Path, tmp_path: Path
) -> None:
    """Each ends well, the last one with the run's own output and success; installing again changes nothing."""
    names = clean.kubectl("get", "namespaces,crds,clusterroles", "-o", "name")
    assert "spacelift" not in names
    assert "metacontroller" not in names
    _put_images(clean)
    user = User(clean, clone, tmp_path)
    driver: Component | None = None
    try:
        shell = user.begin(readme.script())
        deadline = time.monotonic() + WITHIN
        while shell.poll() is None and time.monotonic() < deadline:
            if driver is None and _has_metacontroller(clean):
                driver = _metacontroller(clean)
                driver.start()
            time.sleep(0.5)
        assert shell.poll() == 0, f"{user.said()}\n{_state(clean)}"
        assert "hello" in user.said().splitlines()
        _judge_operator(clean)
        before = _generations(clean)
        assert user.begin(readme.script(readme.blocks()[:1])).wait() == 0, user.said()
        assert _generations(clean) == before
    finally:
        user.end()
        if driver is not None:
            driver.stop()


def _has_metacontroller(cluster: ContainerCluster) -> bool:
    """Whether a node that can pull its image would start it by now."""
    return "/" in cluster.kubectl(
        "get", "deployment", "metacontroller", "-n", "metacontroller", "--ignore-not-found", "-o", "name"
    )


def _judge_operator(cluster: ContainerCluster) -> None:
    """Check that the operator is the Deployment's, from the image that the commands name, and nothing of the run is left."""

    def ready() -> bool:
        where = ("-n", "spacelift-worker-controller-system", "-o", "json")
        pods = json.loads(cluster.kubectl("get", "pods", *where))["items"]
        images = {pod["spec"]["containers"][0]["image"] for pod in pods}
        assert images == {"registry.example.com/workerpool-operator:0.1.0"}
        return [pod["status"]["containerStatuses"][0]["ready"] for pod in pods] == [True, True]

    until(ready, "both replicas are ready", 120)
    until(lambda: not cluster.kubectl("get", "pods", "-o", "name"), "the run's Pod is gone", 120)


def _generations(cluster: ContainerCluster) -> dict[str, int]:
    """Return the generation of everything that is installed."""
    files = [f"--filename={REPOSITORY / 'manifests' / name}" for name in INSTALLED]
    items = json.loads(cluster.kubectl("get", *files, "-o", "json"))["items"]
    return {
        f"{each['kind']}/{each['metadata']['name']}": each["metadata"].get("generation", 0) for each in items
    }


def _state(cluster: ContainerCluster) -> str:
    with contextlib.suppress(ClusterError):
        return cluster.kubectl("get", "pods,workerpools,workers,events", "-A", "--ignore-not-found")
    return "kubectl doesn't answer"
