"""The mothership's database comes back from a backup while runs are at work: none is executed again, none is forgotten."""

import json
import shutil
import sqlite3
from pathlib import Path

import pytest

from devcluster.cluster import Cluster
from tests.e2e.harness import Journal, Pool, until

HURRIED = {
    "spec": {
        "pod": {"grpcServerContainer": {"env": [{"name": "SPACELIFT_LAUNCHER_FLUSH_TIMEOUT", "value": "2"}]}}
    }
}


@pytest.mark.timeout(500)
def test_runs_that_began_after_the_backup_are_not_executed_again(
    cluster: Cluster, pool: Pool, journal: Journal, outside: Path, tmp_path: Path
) -> None:
    """Two are at work that the restored database knows as queued, two really are queued."""
    # The launchers of adopted attempts have a token that nobody knows any more: they needn't try for a minute.
    pool.shell.kubectl(
        "patch", "workerpool", pool.name, "-n", pool.namespace, "--type=merge", "-p", json.dumps(HURRIED)
    )  # fmt: skip
    gate = outside / "restored.gate"
    names = [f"run-{number}" for number in range(4)]
    pool.scale(0)
    until(lambda: not pool.workers(), "no workers")
    runs = [
        pool.trigger(*journal.commands(name, f"until [ -e {gate} ]; do sleep 0.1; done")) for name in names
    ]
    database, backup = cluster.site.mothership_data / "mothership.db", tmp_path / "backup.db"
    with sqlite3.connect(database) as source, sqlite3.connect(backup) as copy:
        source.backup(copy)
    source.close()
    copy.close()
    pool.scale(2)
    until(lambda: len(journal.counts("start")) == 2, "two runs are at work")
    at_work = set(journal.counts("start"))

    mothership = cluster.component("mothership")
    mothership.stop()
    for suffix in ("-wal", "-shm"):
        Path(f"{database}{suffix}").unlink(missing_ok=True)
    shutil.copy(backup, database)
    mothership.start()

    began = [run for run, name in zip(runs, names, strict=True) if name in at_work]
    for run in began:
        pool.await_state(run, "started")
    assert set(journal.counts("start")) == at_work
    gate.touch()
    for run in runs:
        pool.await_state(run, "succeeded", 120)
    journal.judge(names)
    until(lambda: all(not worker["status"].get("run") for worker in pool.workers()), "every worker is idle")
    for run in runs:
        until(lambda run=run: not pool.pods(run), f"the Pod of {run} is gone")  # type: ignore[misc]
    names_left = pool.shell.kubectl("get", "secrets", "-n", pool.namespace, "-o", "name")
    assert [run for run in runs if run.lower() in names_left] == []
