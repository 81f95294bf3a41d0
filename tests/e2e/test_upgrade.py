"""Upgrades and rollbacks of operator, definitions, protocol and mothership, while runs are in flight.

Helm, the API server, the Deployment's rollout and both versions of operator and mothership are real processes; the next
version is made from this tree (nextversion.py). Every run of the load is judged by its own journal.
"""

from __future__ import annotations

import http.server
import json
import logging
import os
import re
import shlex
import subprocess
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from devcluster import charts, helm
from devcluster.cluster import PROCESSES, Cluster, Options
from devcluster.components import resolve
from devcluster.progress import ClusterError
from devcluster.relay import Relay
from tests.e2e import nextversion
from tests.e2e.harness import ROOT, Pool, Shell, make_pool, until
from tests.e2e.nextversion import BREAKING, NEW_COLUMN, NEW_FIELD, NEXT, THIS, VERSION_LABEL
from tests.e2e.operatorpods import NAMESPACE, NODE, NODE_LABEL, SERVICE, OperatorPods
from tests.e2e.upgrading import ON_NODE, RELEASE, Stage, Traffic, identities
from tests.faults.journal import Journal
from tests.integration.test_chart_package import DOCUMENTED

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]
DEPLOYMENT = f"{RELEASE}-controller-manager"
POOLS = ("alpha", "bravo", "delta")
SIZE = 3
TEAMS = "\n---\n".join(
    json.dumps({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    for name in ("team-a", "team-b")
)
"""Namespaces that flags of the documents name."""

_log = logging.getLogger(__name__)


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory, outside: Path) -> Iterator[Stage]:
    """Start a cluster in which nothing is installed but Metacontroller's definitions."""
    try:
        command = helm.helm()
    except ClusterError as error:
        pytest.skip(f"NO HELM, SO UPGRADES AREN'T TESTED: {error}")
    folder = tmp_path_factory.mktemp("upgrade")
    trees = {THIS: ROOT} | {each: nextversion.make(folder / each, each) for each in (NEXT, BREAKING)}
    components = resolve(["controlplane", "node", "mosquitto", "mothership", "hookdriver"])
    with Relay([]) as service:
        options = Options(
            components=components,
            metacontroller=None,
            overlay="../metacontroller",
            allow_paths=(outside,),
            node=PROCESSES,
            arguments={"hookdriver": (f"--service={SERVICE}.{NAMESPACE}:443=127.0.0.1:{service.port}",)},
        )
        cluster = Cluster(folder / "c", options)
        try:
            cluster.up()
            operators = OperatorPods(cluster, trees, service)
            operators.start()
            try:
                shell = Shell({**os.environ, **cluster.env()})
                yield Stage(cluster, shell, trees, operators, command, outside)
            finally:
                operators.stop()
        finally:
            cluster.down()


def by_kubectl(stage: Stage, folder: Path) -> None:
    """Install this version as docs/install.md says, on the operators' node."""
    patch = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": DEPLOYMENT},
        "spec": {"template": {"spec": {"nodeSelector": {NODE_LABEL: NODE}}}},
    }
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": [os.path.relpath(ROOT / "manifests", folder)],
        "patches": [{"target": {"kind": "Deployment"}, "patch": json.dumps(patch)}],
    }
    (folder / "kustomization.yaml").write_text(json.dumps(kustomization))
    stage.shell.kubectl("apply", "--server-side", "-k", str(folder))


def used_by(stage: Stage, version: str) -> None:
    """Wait for a run Pod that this version has made: the next one's have a label and a variable more."""

    def made() -> bool:
        pods = stage.shell.items("pods", "-l", "workers.spacelift.io/run-id")
        newest = max(pods, key=lambda pod: pod["metadata"]["creationTimestamp"])
        return bool(newest["metadata"]["labels"].get(VERSION_LABEL, THIS) == version)

    until(made, f"a run Pod of {version}", 60)


def name_purpose(stage: Stage, pool: Pool) -> None:
    """Use the field that the next version's definition has, and see its column."""
    patch = {"spec": {NEW_FIELD: "nightly"}}
    stage.shell.kubectl("patch", "workerpool", pool.name, "--type=merge", "-p", json.dumps(patch))
    assert "nightly" in stage.shell.kubectl("get", "workerpool", pool.name)


def assert_older_definitions(stage: Stage, pool: Pool) -> None:
    """Assert that the object with a field that nobody knows any more is served, and can be written."""
    assert NEW_FIELD not in pool.object()["spec"]
    assert NEW_COLUMN.upper() not in stage.shell.kubectl("get", "workerpool", pool.name)
    stage.shell.kubectl("annotate", "workerpool", pool.name, "example.com/touched=yes")


class Quiet(http.server.SimpleHTTPRequestHandler):
    """Serves files without a word."""

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Say nothing."""


@pytest.fixture
def commands(stage: Stage, tmp_path: Path) -> Iterator[list[str]]:
    """Serve a packed repository; return the commands of docs/helm.md that install from it, as they are there."""
    folder = tmp_path / "charts"
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    url = f"http://127.0.0.1:{server.server_port}"
    charts.repository(stage.helm_command, folder, url=url)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    text = (
        (ROOT / "docs" / "helm.md").read_text(encoding="utf-8").partition("## A repository of one's own")[2]
    )
    block = next(
        each for each in re.findall(r"```shell\n(.*?)```", text, re.DOTALL) if "helm repo add" in each
    )
    yield block.replace("https://charts.example.com", url).strip().split("\n")
    server.shutdown()
    thread.join()
    server.server_close()


def as_written(stage: Stage, folder: Path, command: str, *more: str) -> str:
    """Run a line that begins with `helm` as a user does, with settings of its own below `folder`."""
    env = {**stage.shell.env, "PATH": f"{stage.helm_command.parent}{os.pathsep}{stage.shell.env['PATH']}"}
    env |= {f"HELM_{kind}_HOME": str(folder / kind.lower()) for kind in ("CACHE", "CONFIG", "DATA")}
    done = subprocess.run(
        [*shlex.split(command), *more], env=env, capture_output=True, text=True, timeout=180, check=False
    )
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def installed(stage: Stage) -> set[str]:
    """Return whatever of ours is in the cluster, by kind and name, but for what a pool has made."""
    kinds = "namespaces,crds,clusterroles,clusterrolebindings,priorityclasses,compositecontrollers,decoratorcontrollers"
    inside = (
        "deployments,services,serviceaccounts,roles,rolebindings,networkpolicies,poddisruptionbudgets,secrets"
    )
    found = [*stage.shell.items(kinds), *stage.shell.items(inside, "-n", NAMESPACE)]
    ours = ("spacelift", "worker")
    return {
        f"{each['kind']}/{each['metadata']['name']}"
        for each in found
        if f"{each['metadata']['name']}".startswith(ours)
        or "workers.spacelift.io" in each["metadata"]["name"]
    }


KEPT = {
    f"Namespace/{NAMESPACE}",
    "CustomResourceDefinition/workerpools.workers.spacelift.io",
    "CustomResourceDefinition/workers.workers.spacelift.io",
    f"Secret/{RELEASE}-hooks",
}
"""What uninstalling leaves: definitions, so that no pool is deleted; the namespace and Secret that no chart made."""


def test_the_documents_commands_install_and_uninstall(
    stage: Stage, commands: list[str], tmp_path: Path
) -> None:
    """Onto an empty cluster; uninstalling harms no pool and no run; installed again it goes on; then all goes, in order."""
    add, update, install = commands
    where = ("--set-string", ON_NODE)
    as_written(stage, tmp_path, add)
    as_written(stage, tmp_path, update)
    notes = as_written(stage, tmp_path, install, *where, "--wait", "--timeout", "2m")
    assert "The operator 0.1.0 is installed" in notes
    stage.await_operators(THIS)
    everything = installed(stage)
    pool = make_pool(stage.shell, "kept", tmp_path, size=2)
    journal, gate = Journal.new(stage.outside / "uninstalled.journal"), stage.outside / "uninstalled.gate"
    run = pool.trigger(*journal.commands("only", f"until [ -e {gate} ]; do sleep 0.1; done"))
    until(lambda: journal.read().starts["only"], "the run is in flight", 60)
    workers = identities([pool])
    (pod,) = pool.pods(run)

    stage.helm("uninstall", RELEASE, "--wait")
    until(lambda: installed(stage) == KEPT, f"{KEPT} is all that is left; there is {installed(stage)}")
    assert identities([pool]) == workers
    stage.shell.kubectl("apply", "-f", "-", stdin=TEAMS)
    for flags in DOCUMENTED:
        # Without replicas: each would be replaced by the next before it is ready.
        more = ("--set", "controllerManager.replicas=0")
        as_written(stage, tmp_path, install, *where, *more, *flags)
        assert stage.deployed()["info"]["status"] == "deployed"
    gate.touch()
    until(lambda: journal.read().ends["only"], "the run has ended, and no operator looks")
    as_written(stage, tmp_path, install, *where, "--wait", "--timeout", "2m")
    stage.await_operators(THIS)
    pool.await_state(run, "succeeded")
    assert identities([pool]) == workers
    assert {each["metadata"]["uid"] for each in pool.pods(run)} <= {pod["metadata"]["uid"]}
    assert journal.read().starts == journal.read().ends == {"only": 1}
    assert installed(stage) == everything

    stage.shell.kubectl("delete", "workerpools", "--all", "--all-namespaces", "--timeout=50s")
    stage.shell.kubectl("delete", "workers", "--all", "--all-namespaces")
    stage.helm("uninstall", RELEASE, "--wait")
    stage.shell.kubectl("delete", "crd", "workerpools.workers.spacelift.io", "workers.workers.spacelift.io")
    stage.shell.kubectl("delete", "namespace", NAMESPACE)
    assert installed(stage) == set()
    assert not stage.operators.faults
    # As docs/deletion.md says.
    driver = stage.cluster.component("hookdriver")
    driver.stop()
    driver.start()


def test_upgrades_and_rollbacks_lose_nothing(stage: Stage, tmp_path: Path) -> None:
    """Installed by kubectl, taken over by Helm, upgraded, rolled back and upgraded again; the mothership before and after."""
    by_kubectl(stage, tmp_path)
    stage.await_operators(THIS)
    pools = [make_pool(stage.shell, name, tmp_path, size=SIZE) for name in POOLS]
    workers, registered = identities(pools), stage.registrations()
    traffic = Traffic(stage, pools)
    with traffic.running():
        with pytest.raises(ClusterError, match="cannot be imported into the current release"):
            stage.upgrade(THIS)
        with traffic.phase("taken over by Helm"):
            stage.upgrade(THIS, "--take-ownership")
            stage.await_operators(THIS)
        with traffic.phase("mothership upgraded before the operator"):
            stage.mothership(NEXT)
        with traffic.phase("operator and definitions upgraded"):
            stage.upgrade(NEXT)
            stage.await_operators(NEXT)
        used_by(stage, NEXT)
        name_purpose(stage, pools[0])
        with traffic.phase("operator and definitions rolled back"):
            stage.helm("rollback", RELEASE, "--wait", "--timeout", "3m")
            stage.await_operators(THIS)
        assert_older_definitions(stage, pools[0])
        used_by(stage, THIS)
        with traffic.phase("mothership rolled back"):
            stage.mothership(THIS)
        with traffic.phase("upgraded to a breaking schema revision, before the mothership"):
            stage.upgrade(BREAKING)
            stage.await_operators(BREAKING)
        used_by(stage, BREAKING)
        with traffic.phase("mothership upgraded after the operator"):
            stage.mothership(BREAKING)
        with traffic.phase("rolled back from a breaking schema revision"):
            stage.helm("rollback", RELEASE, "--wait", "--timeout", "3m")
            stage.await_operators(THIS)
        used_by(stage, THIS)
    verdict = traffic.verdict()
    for line in traffic.figures(verdict):
        _log.info(line)
    assert verdict.clean, verdict.sentences()
    assert verdict.runs > len(POOLS) * len(traffic.phases)
    assert {run: pods for run, pods in traffic.pods.items() if len(pods) > 1} == {}
    assert identities(pools) == workers
    assert stage.registrations() == registered
    assert stage.deployed()["info"]["status"] == "deployed"
    assert not stage.operators.faults
