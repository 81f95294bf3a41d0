"""Records what our hooks are asked on a running cluster, one recording for each thing that happens to a pool.

`python -m tests.replay record` runs it: the local cluster, with the recorder between hook driver and operator.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devcluster.cluster import Cluster, Options
from tests.e2e.harness import Pool, Shell, make_pool, remove_pool, until
from tests.replay.recorder import Recorder

GRACES = ("--unschedulable-grace=3s", "--refusal-grace=3s")


@dataclass(frozen=True)
class Stage:
    """The cluster with the recorder in it, and a folder that runs may write."""

    cluster: Cluster
    recorder: Recorder
    shell: Shell
    folder: Path

    def pool(self, name: str, size: int, **spec: Any) -> Pool:  # noqa: ANN401 - fields of a WorkerPool's spec
        """Make a pool with its workers registered."""
        return make_pool(self.shell, name, self.folder, size, spec=spec)

    def busy(self, pool: Pool) -> tuple[str, Path, str]:
        """Start a run that waits for a gate; return run, gate and the name of its Worker."""
        gate, up = self.folder / f"{pool.name}.gate", self.folder / f"{pool.name}.up"
        run = pool.trigger(f"touch {up}; until [ -e {gate} ]; do sleep 0.1; done")
        until(up.exists, "the run is at work")
        worker = next(found for found in pool.workers() if found["status"].get("currentRunID") == run)
        return run, gate, worker["metadata"]["name"]


@contextmanager
def stage() -> Iterator[Stage]:
    """Start the cluster, and stop it in the end."""
    recorder = Recorder()
    with tempfile.TemporaryDirectory(prefix="replay-") as name:
        folder = Path(name)
        folder.chmod(0o777)
        options = Options(allow_paths=(folder,), hooks_endpoint=recorder.url, arguments={"operator": GRACES})
        cluster = Cluster(folder / "cluster", options)
        try:
            cluster.up()
            recorder.forward_to(cluster.site.url("operator-hooks", "http"))
            yield Stage(cluster, recorder, Shell({**os.environ, **cluster.env()}), folder)
        finally:
            cluster.down()
            recorder.close()


def one_run(stage: Stage) -> None:
    """Make a pool, run twice on it, and remove it."""
    pool = stage.pool("one-run", 1)
    for _ in range(2):
        pool.await_state(pool.trigger("true"), "succeeded")
    remove_pool(pool)


def kept_pods(stage: Stage) -> None:
    """Keep finished Pods, and trim them as newer ones come."""
    pool = stage.pool("kept-pods", 1, successfulPodsHistoryLimit=1, failedPodsHistoryLimit=1)
    for command, state in (
        ("true", "succeeded"),
        ("exit 3", "failed"),
        ("true", "succeeded"),
        ("exit 4", "failed"),
    ):
        pool.await_state(pool.trigger(command), state)
    until(
        lambda: len(pool.shell.items("pods", "-l", f"workers.spacelift.io/workerpool={pool.ulid}")) == 2,
        "trimmed",
    )
    remove_pool(pool)


def scaled_while_busy(stage: Stage) -> None:
    """Scale a pool to 0 and back up while a run is on one of its Workers."""
    pool = stage.pool("scaled-while-busy", 3)
    run, gate, _ = stage.busy(pool)
    pool.scale(0)
    until(lambda: len(pool.workers()) == 1, "only the busy one is left")
    pool.scale(2)
    until(lambda: len(pool.ready_workers()) == 2, "one more is registered")
    pool.scale(0)
    until(lambda: len(pool.workers()) == 1, "only the busy one is left")
    gate.touch()
    pool.await_state(run, "succeeded")
    until(lambda: not pool.workers(), "the pool is empty")
    remove_pool(pool)


def worker_deleted_while_busy(stage: Stage) -> None:
    """Delete the busy Worker."""
    pool = stage.pool("worker-deleted", 2)
    run, gate, worker = stage.busy(pool)
    stage.shell.kubectl("delete", "worker", worker, "--wait=false")
    until(lambda: len(pool.ready_workers()) >= 2, "another one is registered")
    gate.touch()
    pool.await_state(run, "succeeded")
    until(lambda: worker not in stage.shell.kubectl("get", "workers"), "the Worker is gone")
    remove_pool(pool)


def pool_deleted_while_busy(stage: Stage) -> None:
    """Delete the pool, in the foreground, while a run is on it."""
    pool = stage.pool("pool-deleted", 2)
    run, gate, _ = stage.busy(pool)
    stage.shell.kubectl("delete", "workerpool", pool.name, "--cascade=foreground", "--wait=false")
    until(lambda: len(pool.workers()) == 1, "the idle Worker is gone")
    gate.touch()
    pool.await_state(run, "succeeded")
    remove_pool(pool)


def pod_deleted(stage: Stage) -> None:
    """Delete the Pod of a run at work; the next run is well."""
    pool = stage.pool("pod-deleted", 1)
    run, _, _ = stage.busy(pool)
    (pod,) = pool.pods(run)
    stage.shell.kubectl("delete", "pod", pod["metadata"]["name"], "--wait=false", "--grace-period=2")
    until(lambda: pool.run(run)["state"] in ("failed", "lost", "stopped"), "the run has its verdict", 60)
    pool.await_state(pool.trigger("true"), "succeeded")
    remove_pool(pool)


def never_scheduled(stage: Stage) -> None:
    """Ask for a node that there isn't: the run fails before it starts."""
    settings = {"nodeSelector": {"no": "such-node"}}
    pool = stage.pool("never-scheduled", 1, pod=settings)
    pool.await_state(pool.trigger("true"), "failed")
    remove_pool(pool)


def parts_killed_while_busy(stage: Stage) -> None:
    """Kill operator and hook driver while a run is at work."""
    pool = stage.pool("parts-killed", 2)
    run, gate, _ = stage.busy(pool)
    for name in ("operator", "hookdriver"):
        component = stage.cluster.component(name)
        component.kill()
        component.start()
    pool.scale(3)
    pool.await_registered(3)
    gate.touch()
    pool.await_state(run, "succeeded")
    pool.await_state(pool.trigger("true"), "succeeded")
    remove_pool(pool)


def canceled(stage: Stage) -> None:
    """Cancel a run before its Pod has a node."""
    pool = stage.pool("canceled", 1, pod={"schedulerName": "nobody"})
    run = pool.trigger("true")
    until(lambda: pool.pods(run), "there is a Pod")
    stage.shell.mothership("run", "stop", run)
    pool.await_state(run, "canceled")
    until(lambda: not pool.pods(run), "the Pod is gone")
    remove_pool(pool)


SCENARIOS: dict[str, Callable[[Stage], None]] = {
    scenario.__name__.replace("_", "-"): scenario
    for scenario in (
        one_run,
        kept_pods,
        scaled_while_busy,
        worker_deleted_while_busy,
        pool_deleted_while_busy,
        pod_deleted,
        never_scheduled,
        parts_killed_while_busy,
        canceled,
    )
}
