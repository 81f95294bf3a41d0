"""Twenty runs on five workers: each starts and finishes exactly once, whatever dies meanwhile."""

import signal
from pathlib import Path

import pytest

from devcluster.cluster import Cluster
from tests.e2e.harness import Journal, Pool, Shell, make_pool, remove_pool, until

RUNS = 20


def _trigger_all(pool: Pool, journal: Journal) -> dict[str, str]:
    return {
        f"r{number}": pool.trigger(*journal.commands(f"r{number}", "sleep 0.3")) for number in range(RUNS)
    }


def test_twenty_runs_on_five_workers_each_run_once(
    shell: Shell, tmp_path: Path, journal: Journal, pool_name: str
) -> None:
    """The journal has one start and one end for each."""
    pool = make_pool(shell, pool_name, tmp_path, size=5)
    runs = _trigger_all(pool, journal)
    for run in runs.values():
        pool.await_state(run, "succeeded", 120)
    journal.judge(list(runs))
    remove_pool(pool)


@pytest.mark.parametrize("part", ["operator", "mothership", "mosquitto", "hookdriver"])
def test_a_part_killed_in_mid_burst_loses_nothing(
    cluster: Cluster, shell: Shell, tmp_path: Path, journal: Journal, pool_name: str, part: str
) -> None:
    """Kill -9 with runs claimed, starting and running; after a restart each has run once."""
    pool = make_pool(shell, pool_name, tmp_path, size=5)
    runs = _trigger_all(pool, journal)
    until(lambda: len(journal.counts("start")) >= 3, "the burst is under way", 60)
    assert len(journal.counts("end")) < RUNS
    cluster.component(part).kill(signal.SIGKILL)
    cluster.component(part).start()
    for run in runs.values():
        pool.await_state(run, "succeeded", 180)
    journal.judge(list(runs))
    remove_pool(pool)
