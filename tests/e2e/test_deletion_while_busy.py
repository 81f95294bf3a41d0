"""Workers and pools deleted in every way while a run is in flight: the run ends as if nothing had happened."""

from pathlib import Path

import pytest

from tests.e2e.harness import Journal, Pool, Shell, make_pool, remove_pool, until

CASCADES = ["background", "foreground", "orphan"]


def _start(pool: Pool, journal: Journal, gate: Path) -> tuple[str, str]:
    """Start a run that waits for the gate; return the run and its Worker's name."""
    run = pool.trigger(*journal.commands("only", f"until [ -e {gate} ]; do sleep 0.1; done"))
    until(lambda: journal.counts("start")["only"], "the run is in flight")
    busy = next(worker for worker in pool.workers() if worker["status"]["state"] == "BUSY")
    return run, busy["metadata"]["name"]


def _still_running(shell: Shell, pool: Pool, run: str, worker: str) -> None:
    """Assert that the deletion was made, and that Worker and Pod are there all the same."""
    assert shell.get("worker", worker)["metadata"]["uid"]
    (pod,) = pool.pods(run)
    assert "deletionTimestamp" not in pod["metadata"]
    assert pod["status"]["phase"] == "Running"


@pytest.mark.parametrize("cascade", CASCADES)
def test_a_deleted_worker_finishes_its_run(
    shell: Shell, pool: Pool, journal: Journal, outside: Path, cascade: str
) -> None:
    """The Worker stays until the run has its verdict, then it goes and another takes its place."""
    gate = outside / f"worker-{cascade}.gate"
    run, worker = _start(pool, journal, gate)
    shell.kubectl("delete", "worker", worker, f"--cascade={cascade}", "--wait=false")
    until(
        lambda: shell.get("worker", worker)["metadata"].get("deletionTimestamp"), "the deletion is asked for"
    )
    until(lambda: pool.run(run)["state"] == "started", "the run goes on")
    _still_running(shell, pool, run, worker)
    gate.touch()
    pool.await_state(run, "succeeded")
    until(lambda: worker not in shell.kubectl("get", "workers"), "the Worker is gone")
    pool.await_registered(2)
    journal.judge(["only"])


@pytest.mark.parametrize("cascade", CASCADES)
def test_a_deleted_pool_finishes_its_run(
    shell: Shell, tmp_path: Path, journal: Journal, outside: Path, pool_name: str, cascade: str
) -> None:
    """The busy Worker and its Pod outlive `kubectl delete workerpool` until the run has its verdict."""
    pool = make_pool(shell, pool_name, tmp_path, size=2)
    gate = outside / f"pool-{cascade}.gate"
    run, worker = _start(pool, journal, gate)
    shell.kubectl("delete", "workerpool", pool.name, f"--cascade={cascade}", "--wait=false")
    if cascade != "orphan":
        until(lambda: len(pool.workers()) == 1, "the idle Worker is gone")
    _still_running(shell, pool, run, worker)
    gate.touch()
    pool.await_state(run, "succeeded")
    if cascade == "orphan":
        until(lambda: pool.name not in shell.kubectl("get", "workerpools"), "the pool is gone")
        shell.kubectl(
            "delete", "workers", "-l", f"workers.spacelift.io/workerpool={pool.ulid}", "--wait=false"
        )
    remove_pool(pool)
    until(lambda: not pool.pods(run), "the Pod is gone")
    journal.judge(["only"])
