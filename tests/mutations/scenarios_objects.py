"""Scenarios around objects and caches: deletions, scaling, old lists, names that are taken, killed processes."""
# ruff: noqa: D401  # a scenario's docstring says what happens

from __future__ import annotations

import copy
from typing import Any, TypeVar

from app.cluster.resources import SECRETS, WORKERPOOLS, WORKERS
from protocol.messages import (
    Message,
    RunFinished,
    RunScheduled,
    Unregister,
)
from tests.mutations import moves, signs
from tests.mutations.driver import FOREGROUND
from tests.mutations.stage import Stage
from tests.unit.agent import builders as a

Json = dict[str, Any]
M = TypeVar("M", bound=Message)


def old_pod_list(stage: Stage) -> None:
    """The operator restarts onto a Pod list from before the run's Pod."""
    stage.up()
    run = stage.at_work()
    stage.kill_operator()
    operator = stage.start_operator()
    operator.caches["pods"].found.clear()
    operator.roster._pods.clear()
    operator.woken[a.NAMESPACE, stage.worker_of(run)["metadata"]["name"]] = stage.time
    stage.run(10)
    stage.done(run)


def old_worker_list(stage: Stage) -> None:
    """A driver falls back onto the list of Workers from before the claim."""
    stage.up()
    moves.run_beside_an_old_list(stage)


def old_worker_list_after_a_run(stage: Stage) -> None:
    """The same, with a Worker that had a run before."""
    stage.up()
    stage.done(stage.at_work())
    moves.run_beside_an_old_list(stage)


def unreadable_status(stage: Stage) -> None:
    """A newer version wrote a phase that this one doesn't know, while the run is at work."""
    stage.up()
    run = stage.at_work()
    worker = stage.worker_of(run)
    strange = copy.deepcopy(worker)
    strange["status"]["run"]["phase"] = "Pausing"
    stage.api.put(WORKERS, strange)
    stage.run(10)
    again = copy.deepcopy(stage.api.objects["workers", a.NAMESPACE, worker["metadata"]["name"]])
    again["status"] |= {"run": worker["status"]["run"], "assignment": worker["status"]["assignment"]}
    stage.api.put(WORKERS, again)
    stage.done(run)


def deleted_worker_is_given_a_run(stage: Stage) -> None:
    """A Worker is deleted in the instant in which it is given a run."""
    stage.up(2)
    stage.driver.off = True
    newest = max(stage.workers(), key=lambda found: str(found["spec"]["sequence"]))
    stage.broker.loses = lambda message: isinstance(message, Unregister)
    stage.operator.caches["workers"].frozen = False
    run = stage.submit()
    stage.control.step()
    stage.api.delete(WORKERS, a.NAMESPACE, newest["metadata"]["name"])
    stage.run(3)
    stage.driver.off = False
    stage.until(lambda: stage.kubelet.at_work(run), "the run is at work", 300)
    stage.done(run)


def worker_without_finalizer(stage: Stage) -> None:
    """The driver hasn't put its finalizer on a Worker yet, which somebody deletes."""
    stage.up(1)
    stage.driver.off = True
    moves.add_worker(stage, 7)
    moves.scale(stage, 2)
    stage.run(5)
    run = stage.submit()
    stage.run(5)
    bare = next(found for found in stage.workers() if found["spec"]["sequence"] == 7)
    stage.api.delete(WORKERS, a.NAMESPACE, bare["metadata"]["name"])
    stage.driver.off = False
    stage.until(lambda: stage.kubelet.at_work(run), "the run is at work", 300)
    stage.done(run)


def deleted_while_busy(stage: Stage) -> None:
    """Somebody deletes the Worker of a run at work."""
    stage.up()
    run = stage.at_work()
    stage.api.delete(WORKERS, a.NAMESPACE, stage.worker_of(run)["metadata"]["name"])
    stage.run(10)
    stage.done(run)
    stage.run(30)


def deleted_before_the_release(stage: Stage) -> None:
    """A Worker is deleted between its run's verdict and the mothership's release."""
    stage.up()
    run = stage.at_work()
    stage.broker.loses = lambda message: isinstance(message, RunFinished)
    stage.kubelet.finish(run)
    stage.run(5)
    stage.api.delete(WORKERS, a.NAMESPACE, stage.worker_of(run)["metadata"]["name"])
    stage.run(10)
    stage.broker.loses = lambda _: False
    stage.run(60)


def deleted_in_the_foreground(stage: Stage) -> None:
    """A Worker at work is deleted in the foreground: the garbage collector follows its dependents."""
    stage.up()
    run = stage.at_work()
    worker = copy.deepcopy(stage.worker_of(run))
    worker["metadata"]["finalizers"].append(FOREGROUND)
    worker["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    stage.api.put(WORKERS, worker)
    stage.run(10)
    stage.done(run)
    stage.run(30)


def pool_deleted_while_busy(stage: Stage) -> None:
    """The pool is deleted while a run is at work."""
    stage.up(2)
    run = stage.at_work()
    stage.api.delete(WORKERPOOLS, a.NAMESPACE, a.POOL)
    stage.run(10)
    stage.done(run)
    stage.run(60)


def somebodys_secret_of_that_name(stage: Stage) -> None:
    """A run's Secret is replaced by somebody's own, of the same name."""
    stage.up()
    run = stage.at_work()
    name = moves.pod(stage, run)
    stage.remove("secrets", name)
    stage.api.create(SECRETS, a.NAMESPACE, {"metadata": {"name": name}, "data": {}})
    stage.done(run)


def name_of_the_secret_is_taken(stage: Stage) -> None:
    """Somebody has a Secret of the name that the run's would have: that Worker can't take the run."""
    stage.up()
    run = stage.submit("failed")
    stage.api.create(SECRETS, a.NAMESPACE, {"metadata": {"name": moves.pod_name(run)}, "data": {}})
    stage.run(10)


def somebodys_finalizer(stage: Stage) -> None:
    """Somebody puts a finalizer on a run Pod, which the operator's cache doesn't show yet."""
    stage.up()
    run = stage.at_work()
    stage.kubelet.finish(run)
    stage.operator.hands.before = moves.once_before_finalizer(stage, run)
    stage.run(5)
    pod = copy.deepcopy(stage.api.objects.get(("pods", a.NAMESPACE, moves.pod_name(run))))
    if pod is not None:
        stage.remove("pods", pod["metadata"]["name"])


def secret_not_deletable(stage: Stage) -> None:
    """The API server refuses for a while to delete the run's Secret."""
    stage.up()
    run = stage.at_work()
    stage.operator.hands.before = moves.unavailable("secrets", "delete")
    stage.kubelet.finish(run)
    stage.run(10)
    stage.operator.hands.before = lambda *_: None
    stage.run(10)


def surplus_workers(stage: Stage) -> None:
    """A driver that restarted onto an old list has made Workers too many."""
    stage.up(1)
    stage.driver.off = True
    for number in (5, 6):
        moves.add_worker(stage, number, managed=True)
    stage.run(5)
    stage.driver.off = False


def scaled_down_behind_the_cache(stage: Stage) -> None:
    """The pool is smaller than the operator's cache says, and there are surplus Workers."""
    stage.up(1)
    stage.driver.off = True
    operator = stage.operator
    operator.caches["workerpools"].frozen = True
    cached = operator.caches["workerpools"].found[a.NAMESPACE, a.POOL]
    cached["spec"]["poolSize"] = 3
    for number in (5, 6):
        moves.add_worker(stage, number, managed=True)
    stage.run(5)
    stage.driver.off = False


def gap_in_the_worker_list(stage: Stage) -> None:
    """The driver's list lacks one Worker of a batch that it made itself."""
    stage.up(3)
    _, middle, _ = sorted(stage.workers(), key=lambda found: str(found["spec"]["sequence"]))
    pool = copy.deepcopy(stage.pool())
    pool["status"]["sequence"] = 0
    stage.api.put(WORKERPOOLS, pool)
    stage.driver.hidden.add(middle["metadata"]["name"])
    stage.driver.step()
    stage.driver.step()
    if len(stage.workers()) > 3:
        stage.judge.signs.add(signs.TOO_MANY_WORKERS)
    stage.driver.hidden.clear()


def kept_pod(stage: Stage) -> None:
    """The pool keeps its successful Pods."""
    stage.up(1, keepSuccessfulPods=True)
    stage.done(stage.at_work())
    stage.run(5)
    if not stage.pods():
        stage.judge.signs.add(signs.KEPT_POD_DROPPED)


def crash_before_each_write(stage: Stage) -> None:
    """The operator is killed before each of its writes in turn, from the claim to the release."""
    stage.up()
    for number in range(12):
        stage.operator.hands.before = moves.kill_at_write(number)
        run = stage.submit()
        for _ in range(120):
            if not stage.operators:
                stage.start_operator()
            if stage.kubelet.at_work(run):
                stage.kubelet.finish(run)
            if stage.control.state(run) == "succeeded" and not stage.phase(run):
                break
            stage.run(1)


def busy_when_scaled_down(stage: Stage) -> None:
    """A pool is scaled to 0 with a run at work."""
    stage.up(2)
    run = stage.at_work()
    moves.scale(stage, 0)
    stage.run(10)
    stage.done(run)
    stage.run(30)


def claim_cut_before_the_patch(stage: Stage) -> None:
    """The operator is killed between a claim's Secret and its patch, and stays away until the run was queued again."""
    stage.up()
    moves.kill_after(stage, "create", "secrets")
    run = stage.submit()
    stage.run(2)
    stage.broker.loses = lambda message: isinstance(message, RunScheduled) and message.sequence == 2
    stage.run(100, step=5)
    waiting = stage.broker.to_workers
    stage.broker.to_workers = [each for each in waiting if not isinstance(each[1], RunScheduled)]
    stage.start_operator()
    stage.until(lambda: stage.kubelet.at_work(run), "the next attempt is at work", 300)
    stage.done(run)
