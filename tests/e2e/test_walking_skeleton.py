"""One run, from triggered to finished, through every part of the product."""

from pathlib import Path

from tests.e2e.harness import Journal, Pool, Shell, events, until


def test_a_run_goes_from_triggered_to_finished(
    shell: Shell, pool: Pool, journal: Journal, repository: Path, outside: Path
) -> None:
    """The worker is BUSY with the run's id, the Pod runs the repository's code, then all is as before."""
    gate = outside / "skeleton.gate"
    run = pool.trigger(
        "sh greet.sh",
        *journal.commands("skeleton", f"until [ -e {gate} ]; do sleep 0.1; done"),
        repo=repository,
    )
    until(lambda: journal.counts("start")["skeleton"], "the run's commands run")

    busy = [worker for worker in pool.workers() if worker["status"]["state"] == "BUSY"]
    assert [worker["status"]["currentRunID"] for worker in busy] == [run]
    (pod,) = pool.pods(run)
    assert pod["metadata"]["name"] == f"{run.lower()}-preparing-2"
    assert (
        pod["metadata"]["labels"]["workers.spacelift.io/worker"]
        == (busy[0]["metadata"]["labels"]["workers.spacelift.io/ulid"])
    )
    assert "hello from the repository" in shell.kubectl("logs", pod["metadata"]["name"], "-c", "worker")

    gate.touch()
    pool.await_state(run, "succeeded")
    until(lambda: not pool.pods(run), "the Pod of a successful run is removed")
    until(
        lambda: {worker["status"]["state"] for worker in pool.workers()} == {"IDLE"},
        "the worker is IDLE again",
    )
    assert "hello from the repository" in shell.mothership("run", "logs", run)
    journal.judge(["skeleton"])
    assert not [item for item in shell.items("secrets") if item["metadata"]["name"].startswith(run.lower())]


def test_kubectl_shows_the_documented_columns(shell: Shell, pool: Pool) -> None:
    """`kubectl get workerpools` and `kubectl get workers` print what the documents print."""
    pools = shell.kubectl("get", "workerpools").splitlines()
    assert pools[0].split("  ")[0] == "NAME"
    assert "DESIRED POOL SIZE" in pools[0]
    assert "ACTUAL POOL SIZE" in pools[0]
    row = next(line for line in pools if line.startswith(pool.name + " "))
    assert row.split()[1:3] == ["2", "2"]
    header, *rows = shell.kubectl(
        "get", "workers", "-l", f"workers.spacelift.io/workerpool={pool.ulid}"
    ).splitlines()
    for column in ("POOL", "REGISTERED", "STATUS", "RUN ID"):
        assert column in header
    assert all(pool.name in line and "true" in line and "IDLE" in line for line in rows)


def test_a_failing_command_fails_the_run_and_frees_the_worker(pool: Pool) -> None:
    """The exit code reaches the mothership, the failed Pod is kept for debugging, the worker is IDLE."""
    run = pool.trigger("exit 3")
    pool.await_state(run, "failed")
    outcome = pool.run(run)["outcome"]
    assert outcome["reason"] == "NonZeroExit"
    assert outcome["exitCodes"]["worker"] == 3
    until(lambda: {worker["status"]["state"] for worker in pool.workers()} == {"IDLE"}, "the worker is free")
    assert len(pool.pods(run)) == 1


def test_a_pool_says_that_it_is_ready(shell: Shell, pool: Pool) -> None:
    """`kubectl wait --for=condition=Ready` works and an Event tells of the registration."""
    shell.kubectl("wait", "--for=condition=Ready", f"workerpool/{pool.name}", "--timeout=30s")
    until(lambda: events(shell, "WorkerPool", pool.name), "an Event about the pool")
