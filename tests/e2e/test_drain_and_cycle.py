"""Drain, undrain and cycle from the mothership, and a saturated pool that shrinks: with runs in flight and waiting."""

import json
from pathlib import Path
from typing import Any

from tests.e2e.harness import Journal, Pool, Shell, events, until


def held(journal: Journal, outside: Path, pool: Pool, name: str) -> tuple[str, Path]:
    """Trigger a run that waits for its own gate; return run and gate."""
    gate = outside / f"{pool.name}-{name}.gate"
    return pool.trigger(*journal.commands(name, f"until [ -e {gate} ]; do sleep 0.1; done")), gate


def names(pool: Pool) -> set[str]:
    """Return the names of the pool's Workers that aren't being deleted."""
    return {
        each["metadata"]["name"] for each in pool.workers() if "deletionTimestamp" not in each["metadata"]
    }


def listed(shell: Shell, pool: Pool) -> dict[str, Any]:
    """Return the mothership's registered workers of a pool by ULID."""
    found = json.loads(shell.mothership("worker", "list", "--pool", pool.ulid, "-o", "json"))
    return {each["id"]: each for each in found}


def test_a_drained_worker_takes_nothing_until_it_is_undrained(
    shell: Shell, pool: Pool, journal: Journal
) -> None:
    """A run waits while both workers are drained, and starts when one of them is undrained."""
    workers = {each["metadata"]["labels"]["workers.spacelift.io/ulid"] for each in pool.workers()}
    for worker in workers:
        shell.mothership("worker", "drain", worker)
    until(lambda: {each["status"]["state"] for each in pool.workers()} == {"DRAINED"}, "both are drained")
    run = pool.trigger(*journal.commands("waits"))
    until(lambda: {each["state"] for each in listed(shell, pool).values()} == {"DRAINED"}, "the list says so")
    assert pool.run(run)["state"] == "queued"
    chosen = min(workers)
    shell.mothership("worker", "undrain", chosen)
    pool.await_state(run, "succeeded")
    assert pool.run(run)["worker"] == chosen
    journal.judge(["waits"])


def test_a_drained_worker_finishes_its_run(shell: Shell, pool: Pool, journal: Journal, outside: Path) -> None:
    """It is BUSY to the end, then DRAINED."""
    run, gate = held(journal, outside, pool, "drained")
    until(lambda: journal.counts("start")["drained"], "the run is in flight")
    worker = pool.run(run)["worker"]
    shell.mothership("worker", "drain", worker)
    name = f"{pool.name}-{worker.lower()}"
    until(lambda: shell.get("worker", name)["status"]["drained"], "the drain has arrived")
    assert shell.get("worker", name)["status"]["state"] == "BUSY"
    gate.touch()
    pool.await_state(run, "succeeded")
    until(lambda: shell.get("worker", name)["status"]["state"] == "DRAINED", "it is drained")
    journal.judge(["drained"])


def test_a_cycle_replaces_every_worker_and_harms_no_run(
    shell: Shell, pool: Pool, journal: Journal, outside: Path
) -> None:
    """The idle worker goes at once, the busy one when its run has ended; waiting runs go to new ones."""
    run, gate = held(journal, outside, pool, "long")
    until(lambda: journal.counts("start")["long"], "the run is in flight")
    before = names(pool)
    busy = f"{pool.name}-{pool.run(run)['worker'].lower()}"
    assert "2 workers to replace" in shell.mothership("pool", "cycle", pool.name)
    until(lambda: names(pool) & before == {busy}, "the idle worker is gone, the busy one is there")
    until(lambda: len(pool.ready_workers()) == 2, "one new worker serves beside it")
    assert shell.get("worker", busy)["spec"]["draining"]
    quick = pool.trigger(*journal.commands("quick"))
    pool.await_state(quick, "succeeded")
    assert f"{pool.name}-{pool.run(quick)['worker'].lower()}" not in before
    gate.touch()
    pool.await_state(run, "succeeded")
    until(lambda: not names(pool) & before, "nothing of before is left")
    pool.await_registered(2)
    until(lambda: not any(each["cycle"] for each in listed(shell, pool).values()), "the cycle is over")
    assert [each["reason"] for each in events(shell, "WorkerPool", pool.name)].count("WorkersCycling") == 1
    journal.judge(["long", "quick"])


def test_a_cycle_of_an_idle_pool_can_be_waited_for_and_repeated(shell: Shell, pool: Pool) -> None:
    """Each request is one of its own: the pool gets new workers each time."""
    for _ in range(2):
        before = names(pool)
        assert "new workers only" in shell.mothership("pool", "cycle", pool.ulid, "--wait")
        until(lambda: not names(pool) & before, "nothing of before is left")  # noqa: B023 - called at once
        pool.await_registered(2)


def test_a_saturated_pool_shrinks_as_fast_as_its_runs_end(
    shell: Shell, pool: Pool, journal: Journal, outside: Path
) -> None:
    """Runs wait all the time, and still each end makes the pool smaller, whichever worker's it is."""
    pool.scale(3)
    pool.await_registered(3)
    gates = dict(held(journal, outside, pool, name) for name in ("a", "b", "c"))
    until(lambda: len(journal.counts("start")) == 3, "every worker is busy")
    waiting = [pool.trigger(*journal.commands(f"next-{number}")) for number in range(3)]
    pool.scale(1)
    until(lambda: all(each["draining"] for each in listed(shell, pool).values()), "the mothership knows")
    first, second, last = sorted(gates)
    gates[first].touch()
    until(lambda: len(pool.workers()) == 2, "two workers are left")
    gates[second].touch()
    until(lambda: len(pool.workers()) == 1, "one worker is left")
    until(lambda: not pool.workers()[0]["spec"]["draining"], "it is called back")
    assert {pool.run(run)["state"] for run in waiting} == {"queued"}
    gates[last].touch()
    for run in waiting:
        pool.await_state(run, "succeeded")
    journal.judge(["a", "b", "c", "next-0", "next-1", "next-2"])
    pool.await_registered(1)
