"""Pools deleted together with what they need: their Secret, their namespace, or without their Workers."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.harness import (
    Journal,
    Pool,
    Shell,
    apply,
    events,
    make_pool,
    manifest,
    remove_pool,
    secret,
    until,
)


def start(pool: Pool, journal: Journal, gate: Path) -> tuple[str, str]:
    """Start a run that waits for the gate; return the run and its Worker's name."""
    run = pool.trigger(*journal.commands("only", f"until [ -e {gate} ]; do sleep 0.1; done"))
    until(lambda: journal.counts("start")["only"], "the run is in flight")
    return run, f"{pool.name}-{pool.run(run)['worker'].lower()}"


def said(shell: Shell, kind: str, name: str, reason: str, namespace: str = "default") -> list[str]:
    """Return the texts of the Events of one reason about an object."""
    return [each["message"] for each in events(shell, kind, name, namespace) if each["reason"] == reason]


def test_a_pool_deleted_with_its_secret_finishes_its_run(
    shell: Shell, tmp_path: Path, journal: Journal, outside: Path, pool_name: str
) -> None:
    """`kubectl delete -f` of a file with both: the session lives on what it has read."""
    pool = make_pool(shell, pool_name, tmp_path, size=2)
    gate = outside / f"{pool.name}.gate"
    run, worker = start(pool, journal, gate)
    shell.kubectl("delete", "secret", pool.name)
    shell.kubectl("delete", "workerpool", pool.name, "--wait=false")
    until(lambda: len(pool.workers()) == 1, "the idle Worker is gone")
    (text,) = until(
        lambda: said(shell, "WorkerPool", pool.name, "DeletionWaits"), "the pool says why it stands"
    )
    assert f"{worker} (run {run})" in text
    (text,) = until(
        lambda: said(shell, "Worker", worker, "DeletionWaits") or ["draining"], "or the Worker does"
    )
    gate.touch()
    pool.await_state(run, "succeeded")
    remove_pool(pool)
    until(lambda: not pool.pods(run), "the Pod is gone")
    journal.judge(["only"])
    assert pool.ulid not in shell.mothership("worker", "list", "-o", "json")


@pytest.fixture
def namespace(shell: Shell, pool_name: str) -> Iterator[str]:
    """Return a namespace of the test's own."""
    shell.kubectl("create", "namespace", pool_name)
    until(
        lambda: shell.kubectl("get", "serviceaccount", "default", "-n", pool_name),
        "the namespace can be used",
    )
    yield pool_name
    shell.kubectl("delete", "namespace", pool_name, "--ignore-not-found", "--wait=false")


def test_a_deleted_namespace_ends_its_runs_and_goes(
    shell: Shell, tmp_path: Path, journal: Journal, pool_name: str, namespace: str
) -> None:
    """Kubernetes deletes the Pods; the run fails once, for the right reason, and nothing stands."""
    pool = make_pool(shell, pool_name, tmp_path, size=2, namespace=namespace)
    run = pool.trigger(*journal.commands("only", "sleep 300"))
    until(lambda: journal.counts("start")["only"], "the run is in flight")
    shell.kubectl("delete", "namespace", namespace, "--wait=false")
    pool.await_state(run, "failed", 90)
    outcome = pool.run(run)["outcome"]
    assert outcome["reason"] == "NamespaceDeleted"
    assert f"namespace {namespace} is being deleted" in outcome["message"]
    until(lambda: namespace not in shell.kubectl("get", "namespaces"), "the namespace is gone", 90)
    until(lambda: pool.ulid not in shell.mothership("worker", "list", "-o", "json"), "its workers have left")
    assert journal.counts("start") == {"only": 1}


def test_a_pool_made_anew_after_orphaning_serves_and_tells_of_the_orphans(
    shell: Shell, tmp_path: Path, journal: Journal, outside: Path, pool_name: str
) -> None:
    """The orphan ends its run through the new pool's session, leaves, and goes by the command that the Event names."""
    pool = make_pool(shell, pool_name, tmp_path, size=2)
    gate = outside / f"{pool.name}.gate"
    run, worker = start(pool, journal, gate)
    shell.kubectl("delete", "workerpool", pool.name, "--cascade=orphan")
    orphans = {each["metadata"]["name"] for each in pool.workers()}
    apply(
        shell,
        secret(pool.name, "default", pool.token, pool.key_base64),
        manifest(pool.name, "default", 1),
    )
    try:
        until(lambda: said(shell, "Worker", worker, "WorkerOrphaned"), "the orphan says so")
        until(
            lambda: {each["metadata"]["name"] for each in pool.ready_workers()} - orphans,
            "the new pool has a worker of its own",
        )
        assert shell.get("worker", worker)["status"]["state"] == "BUSY"
        gate.touch()
        pool.await_state(run, "succeeded")
        until(lambda: shell.get("worker", worker)["status"]["registration"] == "Gone", "the orphan has left")
        quick = pool.trigger(*journal.commands("quick"))
        pool.await_state(quick, "succeeded")
        assert f"{pool.name}-{pool.run(quick)['worker'].lower()}" not in orphans
        (text, *_) = until(
            lambda: said(shell, "WorkerPool", pool.name, "WorkerOrphaned"), "the new pool says so"
        )
        _, command = text.split("Delete them: ")
        shell.run(*command.split(), "--wait=false")
        until(lambda: len(pool.workers()) == 1, "only the new pool's worker is left")
    finally:
        gate.touch()
        remove_pool(pool)
    journal.judge(["only", "quick"])
