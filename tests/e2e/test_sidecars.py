"""Sidecars of the user run beside the run and end with it, native or not."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from devcluster.cluster import Cluster
from tests.e2e.conftest import GRACES
from tests.e2e.harness import Journal, Pool, Shell, make_pool, remove_pool, until

Json = dict[str, Any]


@pytest.fixture(scope="module", params=["true", "false"], ids=["native", "ordinary"])
def native(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[bool]:
    """Have the operator make native sidecars, or ordinary containers."""
    component = cluster.component("operator")
    component.stop()
    cluster.equip("operator", (*GRACES, f"--native-sidecars={request.param}"))
    component.start()
    yield request.param == "true"
    component.stop()
    cluster.equip("operator", GRACES)
    component.start()


def _sidecar(outside: Path, name: str, stopped: str = "exit 0") -> Json:
    """Return a sidecar that says that it is up, beats for as long as it lives, and says that it was told to stop."""
    beat, up = outside / f"{name}.beat", outside / f"{name}.up"
    stop = f"touch {outside / name}.stopped; {stopped}"
    script = f"trap '{stop}' TERM; touch {up}; while :; do date +%s > {beat}; sleep 0.1; done"
    return {"name": "helper", "image": "spacelift.local/runner:dev", "command": ["sh", "-c", script]}


def _quiet(beat: Path) -> bool:
    """Return whether a sidecar has stopped to beat."""
    return time.time() - beat.stat().st_mtime > 1.0


def _pool(shell: Shell, folder: Path, name: str, *sidecars: Json) -> Pool:
    pod = {"additionalSidecarContainers": list(sidecars), "terminationGracePeriodSeconds": 10}
    return make_pool(shell, name, folder, 1, spec={"pod": pod})


def test_a_long_running_sidecar_ends_with_the_run(
    shell: Shell,
    tmp_path: Path,
    outside: Path,
    journal: Journal,
    pool_name: str,
    native: bool,
) -> None:
    """The run sees the sidecar running; when the run is over it is told to stop, and the Pod goes."""
    pool = _pool(shell, tmp_path, pool_name, _sidecar(outside, pool_name))
    gate = outside / f"{pool_name}.gate"
    wait = f"until [ -e {outside / pool_name}.up ] && [ -e {gate} ]; do sleep 0.1; done"
    run = pool.trigger(*journal.commands("it", wait))
    until(lambda: journal.counts("start")["it"], "the run is in flight", 60)
    (pod,) = pool.pods(run)
    inits = {each["name"]: each.get("restartPolicy") for each in pod["spec"]["initContainers"]}
    containers = {each["name"] for each in pod["spec"]["containers"]}
    assert inits == ({"init": None, "helper": "Always"} if native else {"init": None})
    assert containers == {"launcher-grpc", "worker"} | (set() if native else {"helper"})
    until(lambda: "3/3" in shell.kubectl("get", "pod", pod["metadata"]["name"]), "three containers are ready")
    gate.touch()
    pool.await_state(run, "succeeded")
    until(lambda: not pool.pods(run), "the Pod is gone")
    assert (outside / f"{pool_name}.stopped").exists()
    until(lambda: _quiet(outside / f"{pool_name}.beat"), "the sidecar is gone")
    until(lambda: {each["status"]["state"] for each in pool.workers()} == {"IDLE"}, "the Worker is IDLE")
    journal.judge(["it"])
    remove_pool(pool)


def test_a_sidecar_that_fails_does_not_fail_the_run(
    shell: Shell, tmp_path: Path, outside: Path, pool_name: str, native: bool
) -> None:
    """It is the worker container alone that says how the run ended; a failing run keeps its own reason."""
    crash = _sidecar(outside, pool_name)
    crash["command"] = ["sh", "-c", f"echo crash >> {outside / pool_name}.crashes; exit 9"]
    pool = _pool(shell, tmp_path, pool_name, crash)
    run = pool.trigger(f"until [ -s {outside / pool_name}.crashes ]; do sleep 0.1; done")
    pool.await_state(run, "succeeded")
    until(lambda: not pool.pods(run), "the Pod is gone")
    failing = pool.trigger("exit 4")
    pool.await_state(failing, "failed")
    outcome = pool.run(failing)["outcome"]
    assert (outcome["reason"], outcome["exitCodes"]["worker"]) == ("NonZeroExit", 4)
    if native:
        assert (outside / f"{pool_name}.crashes").read_text().count("crash") >= 2
    remove_pool(pool)


@pytest.mark.usefixtures("native")
def test_a_sidecar_that_ignores_the_stop_is_killed_after_the_grace(
    shell: Shell, tmp_path: Path, outside: Path, pool_name: str
) -> None:
    """Nothing of the Pod outlives terminationGracePeriodSeconds; the next run doesn't wait for it."""
    pool = _pool(shell, tmp_path, pool_name, _sidecar(outside, pool_name, stopped=":"))
    run = pool.trigger(f"until [ -e {outside / pool_name}.up ]; do sleep 0.1; done")
    pool.await_state(run, "succeeded")
    until(lambda: not pool.pods(run), "the Pod is gone", 60)
    assert (outside / f"{pool_name}.stopped").exists()
    until(lambda: _quiet(outside / f"{pool_name}.beat"), "the sidecar is gone")
    remove_pool(pool)
