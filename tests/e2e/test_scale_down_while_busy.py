"""A pool scaled to 0 while a run is in flight keeps the busy worker until the run is done."""

from pathlib import Path

from tests.e2e.harness import Journal, Pool, until


def test_scaling_to_zero_keeps_the_busy_worker(pool: Pool, journal: Journal, outside: Path) -> None:
    """Idle workers go at once, the busy one when it is done; then the pool is empty."""
    gate = outside / "scale-down.gate"
    run = pool.trigger(*journal.commands("long", f"until [ -e {gate} ]; do sleep 0.1; done"))
    until(lambda: journal.counts("start")["long"], "the run is in flight")
    pool.scale(0)
    until(lambda: len(pool.workers()) == 1, "only the busy worker is left")
    assert pool.workers()[0]["status"]["currentRunID"] == run
    until(lambda: pool.workers()[0]["spec"]["draining"], "the busy worker is draining")
    gate.touch()
    pool.await_state(run, "succeeded")
    until(lambda: not pool.workers(), "the pool is empty")
    assert pool.object()["status"]["actualPoolSize"] == 0
    journal.judge(["long"])


def test_a_pool_scales_up_and_down(pool: Pool) -> None:
    """`kubectl scale` to 5 and back to 1 gives as many registered workers."""
    pool.scale(5)
    pool.await_registered(5)
    pool.scale(1)
    pool.await_registered(1)
