"""The operator, its Secrets or its CRDs go while pools exist: what stands then, and each way out that is documented."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from devcluster import clusters
from devcluster.cluster import Cluster, Options
from tests.e2e.audited import standing
from tests.e2e.harness import ROOT, Journal, Pool, Shell, events, make_pool, remove_pool, until

GRACES = ("--deregistration-grace=2s", "--verdict-report-grace=2s")


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, outside: Path) -> Iterator[Cluster]:
    """Start a cluster of this module's own: the others need theirs whole."""
    options = Options(allow_paths=(outside,), arguments={"operator": GRACES}, audit=True)
    with standing(clusters.make(tmp_path_factory.mktemp("wrong-order") / "c", options)) as running:
        yield running


@pytest.fixture(scope="module")
def shell(cluster: Cluster) -> Shell:
    """Return a shell with this cluster's environment."""
    return Shell({**os.environ, **cluster.env()})


@pytest.fixture
def without_operator(cluster: Cluster) -> Iterator[None]:
    """Have the operator back after a test that stopped it."""
    yield
    operator = cluster.component("operator")
    if not operator.running:
        operator.start()


def start(pool: Pool, journal: Journal, gate: Path) -> tuple[str, str]:
    """Start a run that waits for the gate; return the run and its Worker's name."""
    run = pool.trigger(*journal.commands("only", f"until [ -e {gate} ]; do sleep 0.1; done"))
    until(lambda: journal.counts("start")["only"], "the run is in flight")
    return run, f"{pool.name}-{pool.run(run)['worker'].lower()}"


def deleted(shell: Shell, *argv: str) -> bool:
    """Return whether the object is there and marked deleted."""
    return bool(shell.get(*argv)["metadata"].get("deletionTimestamp"))


@pytest.mark.usefixtures("without_operator")
def test_an_operator_that_comes_back_lets_everything_go(
    cluster: Cluster, shell: Shell, tmp_path: Path, journal: Journal, outside: Path, pool_name: str
) -> None:
    """The run ends while nobody looks; its verdict is stored afterwards, and pool and Workers go."""
    pool = make_pool(shell, pool_name, tmp_path, size=2)
    gate = outside / f"{pool.name}.gate"
    run, worker = start(pool, journal, gate)
    cluster.component("operator").stop()
    shell.kubectl("delete", "workerpool", pool.name, "--wait=false")
    gate.touch()
    until(lambda: journal.counts("end")["only"], "the run has ended")
    until(lambda: {each["status"]["phase"] for each in pool.pods(run)} == {"Succeeded"}, "its Pod has ended")
    assert deleted(shell, "workerpool", pool.name)
    assert shell.get("worker", worker)["status"]["run"]["phase"] == "Running"
    cluster.component("operator").start()
    pool.await_state(run, "succeeded")
    remove_pool(pool)
    until(lambda: not pool.pods(run), "the Pod is gone")
    journal.judge(["only"])


@pytest.mark.usefixtures("without_operator")
def test_an_operator_that_comes_back_without_the_secret_lets_everything_go(
    cluster: Cluster, shell: Shell, tmp_path: Path, pool_name: str
) -> None:
    """Nobody can be told, and each Worker says so."""
    pool = make_pool(shell, pool_name, tmp_path, size=2)
    names = [each["metadata"]["name"] for each in pool.workers()]
    cluster.component("operator").stop()
    shell.kubectl("delete", "secret", pool.name)
    shell.kubectl("delete", "workerpool", pool.name, "--wait=false")
    cluster.component("operator").start()
    remove_pool(pool)
    for name in names:
        reasons = {each["reason"] for each in events(shell, "Worker", name)}
        assert {"DeletionWaits", "DeregistrationUnconfirmed"} <= reasons


def test_crds_deleted_first_wait_for_the_runs_and_can_be_installed_again(
    cluster: Cluster, shell: Shell, tmp_path: Path, journal: Journal, outside: Path, pool_name: str
) -> None:
    """As if every pool had been deleted; the operator serves the new CRDs without a restart."""
    pool = make_pool(shell, pool_name, tmp_path, size=2)
    gate = outside / f"{pool.name}.gate"
    run, worker = start(pool, journal, gate)
    definitions = ("workerpools.workers.spacelift.io", "workers.workers.spacelift.io")
    shell.kubectl("delete", "crd", *definitions, "--wait=false")
    until(lambda: deleted(shell, "worker", worker), "the Workers are deleted with their CRD")
    assert pool.run(run)["state"] == "started"
    (pod,) = pool.pods(run)
    assert "deletionTimestamp" not in pod["metadata"]
    gate.touch()
    pool.await_state(run, "succeeded")
    until(
        lambda: not shell.kubectl("get", "crd", *definitions, "--ignore-not-found"), "the CRDs are gone", 90
    )
    until(lambda: not pool.pods(run), "the Pod is gone")
    journal.judge(["only"])
    shell.kubectl("apply", "--server-side", "-k", str(ROOT / "crds"))
    # kubectl wait fails on a definition that is too young to have any condition.
    until(
        lambda: shell.kubectl(
            "wait", "--for=condition=Established", *(f"crd/{name}" for name in definitions)
        ),
        "the new CRDs are served",
    )
    driver = cluster.component("hookdriver")
    driver.stop()
    driver.start()
    again = make_pool(shell, f"{pool_name[:50]}-new", tmp_path, size=1)
    quick = again.trigger(*journal.commands("again"))
    again.await_state(quick, "succeeded")
    remove_pool(again)


@pytest.mark.usefixtures("without_operator")
def test_the_documented_commands_clear_up_without_an_operator(
    cluster: Cluster, shell: Shell, tmp_path: Path, journal: Journal, outside: Path, pool_name: str
) -> None:
    """The block of docs/deletion.md, run as it stands there."""
    pool = make_pool(shell, pool_name, tmp_path, size=2)
    gate = outside / f"{pool.name}.gate"
    run, _worker = start(pool, journal, gate)
    cluster.component("operator").stop()
    cluster.component("hookdriver").stop()
    page = (ROOT / "docs" / "deletion.md").read_text()
    block = re.search(r"The test reads the next block from here. -->\n```shell\n(.*?)```", page, re.DOTALL)
    assert block is not None
    shell.run("bash", "-u", "-c", block.group(1))
    until(
        lambda: not shell.items("workerpools,workers", "-A") and not pool.pods(run),
        "nothing of the pool is left",
        60,
    )
    assert shell.items("secrets", "-l", "workers.spacelift.io/run-id") == []
    assert journal.counts("start") == {"only": 1}
    cluster.component("hookdriver").start()
