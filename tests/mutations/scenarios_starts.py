"""Scenarios around the start of a run and its Pod: evictions, ghosts, partitions, Secrets that are gone."""
# ruff: noqa: D401  # a scenario's docstring says what happens

from __future__ import annotations

from dataclasses import replace
from typing import Any, TypeVar

from app.cluster.resources import PODS
from protocol.messages import Inventory, Message, RunPod, RunStarted
from tests.mutations import moves, signs
from tests.mutations.stage import Stage
from tests.unit.agent import builders as a

Json = dict[str, Any]
M = TypeVar("M", bound=Message)


def pod_gone_by_force(stage: Stage) -> None:
    """While no operator runs, somebody takes the Pod of a run at work away, finalizer and all."""
    stage.up()
    run = stage.at_work("lost", "failed")
    stage.kill_operator()
    stage.remove("pods", moves.pod(stage, run))
    stage.run(5)
    stage.start_operator()
    stage.run(400, step=10)


def ended_pod_collected(stage: Stage) -> None:
    """While no operator runs, a run ends and its Pod is garbage-collected."""
    stage.up()
    run = stage.at_work()
    stage.kill_operator()
    # On its way out the launcher couldn't report: the Pod is the only evidence.
    stage.kubelet.finish(run, report=False)
    stage.api.delete(PODS, a.NAMESPACE, moves.pod(stage, run))
    stage.run(10)
    stage.start_operator()


def ghost(stage: Stage) -> None:
    """A driver falls back onto an old Worker list and makes the Pod again, after the run and its Pod are gone."""
    stage.harmless |= {signs.SECOND_POD}
    stage.up()
    old = moves.scheduled_view(stage)
    run = stage.at_work()
    stage.done(run)
    assert stage.pods() == []
    stage.driver.fall_back("workers", old())
    stage.run(30)
    stage.driver.frozen.clear()
    stage.run(10)


def ghost_beside_the_next_attempt(stage: Stage) -> None:
    """The first Pod is evicted before its start; a ghost of it asks for the start while the next attempt is at work."""
    stage.harmless |= {signs.SECOND_POD, signs.GHOST_AT_CLAIM}
    stage.up()
    old = moves.scheduled_view(stage)
    stage.kubelet.holding = True
    run = stage.submit()
    stage.until(lambda: stage.phase(run) == "Starting", "the Pod is seen")
    secret = stage.api.objects["secrets", a.NAMESPACE, moves.pod(stage, run)]
    stage.kubelet.evict(run)
    stage.until(lambda: not stage.phase(run) or moves.sequence(stage, run) > 2, "the first attempt is over")
    stage.kubelet.holding = False
    stage.until(lambda: stage.kubelet.at_work(run), "the next attempt is at work", 300)
    # Somebody clears the evicted Pod away. The kubelet still has the Secret of its attempt, as kubelets do.
    stage.api.delete(PODS, a.NAMESPACE, secret["metadata"]["name"])
    stage.run(1)
    stage.driver.fall_back("workers", old())
    stage.driver.step()
    moves.mount_from_cache(stage, secret)
    stage.run(5)
    stage.driver.frozen.clear()
    stage.done(run)
    stage.run(10)


def ghost_beside_a_partitioned_pod(stage: Stage) -> None:
    """A node loses the API server, its Pod is removed by force and made again elsewhere while the first one works on."""
    stage.harmless |= {signs.SECOND_POD, signs.GHOST_AT_CLAIM}
    stage.up()
    old = moves.scheduled_view(stage)
    run = stage.at_work("succeeded", "lost", "failed")
    stage.kubelet.cut_off.add(stage.kubelet.of(run).uid)
    stage.kill_operator()
    stage.remove("pods", moves.pod(stage, run))
    stage.driver.fall_back("workers", old())
    stage.run(10)
    stage.driver.frozen.clear()
    stage.kubelet.finish(run)
    stage.start_operator()
    stage.run(400, step=10)


def second_pod_reported(stage: Stage) -> None:
    """As before, and a process that saw only the second Pod reports that one."""
    stage.harmless |= {signs.SECOND_POD, signs.GHOST_AT_CLAIM}
    stage.up()
    old = moves.scheduled_view(stage)
    run = stage.at_work("succeeded", "lost", "failed")
    first = stage.kubelet.of(run).uid
    stage.kubelet.cut_off.add(first)
    stage.kill_operator()
    stage.remove("pods", moves.pod(stage, run))
    stage.driver.fall_back("workers", old())
    stage.kubelet.holding = True
    stage.driver.step()
    reported = moves.said(stage, RunPod)
    (second,) = (pod["metadata"]["uid"] for pod in stage.pods())
    stage.inject_up(reported, replace(reported, pod_uid=second))
    stage.kubelet.holding = False
    stage.run(10)
    stage.driver.frozen.clear()
    stage.kubelet.finish(run)
    stage.start_operator()
    stage.run(400, step=10)


def two_pods_before_the_report(stage: Stage) -> None:
    """Two Pods of one attempt ask for the start before the operator has said which is the one."""
    stage.harmless |= {signs.SECOND_POD, signs.GHOST_AT_CLAIM}
    stage.up()
    run = stage.submit()
    moves.kill_after(stage, "merge_patch", "workers")
    stage.rest()
    stage.run(1)
    first = stage.kubelet.of(run)
    stage.kubelet.cut_off.add(first.uid)
    stage.remove("pods", first.name)
    stage.run(2)
    stage.start_operator()
    stage.run(5)
    stage.done(run)


def grant_answer_lost(stage: Stage) -> None:
    """The answer to the start claim is lost; `init` asks again."""
    stage.up()
    stage.kubelet.lose_answers = 1
    stage.done(stage.at_work())


def cancel_between_look_and_grant(stage: Stage) -> None:
    """A user cancels in the instant between the look at the attempt and the grant's transaction."""
    stage.harmless |= {signs.GHOST_AT_CLAIM}
    stage.up()
    stage.kubelet.holding = True
    run = stage.submit("canceled")
    stage.until(lambda: stage.phase(run) == "Starting", "the Pod is seen")
    database = stage.control.mothership.database
    honest = database.write

    def write(*args: Any, **more: Any) -> Any:  # noqa: ANN401 - as the database's
        if more.get("durable") and stage.control.state(run) != "canceled":
            stage.control.stop(run)
        return honest(*args, **more)

    database.write = write  # type: ignore[method-assign]
    stage.kubelet.holding = False
    stage.run(10)
    if stage.kubelet.starts:
        stage.judge.signs.add(signs.START_AFTER_VERDICT)


def long_run(stage: Stage) -> None:
    """A run works for longer than any start may take."""
    # The grant alone must tell: what the operator says of the start and what it holds is lost.
    stage.broker.loses = lambda message: isinstance(message, RunStarted | Inventory)
    stage.up()
    run = stage.at_work()
    stage.run(1200, step=10)
    stage.done(run)


def partition(stage: Stage) -> None:
    """A node is cut off from everything; the run stops itself before anybody calls it lost."""
    stage.up()
    run = stage.at_work("lost", "failed")
    uid = stage.kubelet.of(run).uid
    stage.kubelet.alone.add(uid)
    stage.run(240, step=5)
    stage.kubelet.alone.clear()
    stage.remove("pods", moves.pod(stage, run))
    stage.run(300, step=10)


def partition_and_pod_removed(stage: Stage) -> None:
    """A node is cut off from the API server, and the Pod's object is removed by force while the run works on."""
    stage.up()
    run = stage.at_work("lost", "stopped", "failed")
    stage.kubelet.cut_off.add(stage.kubelet.of(run).uid)
    stage.remove("pods", moves.pod(stage, run))
    stage.run(60, step=2)
    stage.kubelet.finish(run)
    stage.run(300, step=10)


def evicted_before_the_start(stage: Stage) -> None:
    """A Pod is evicted before its start: nothing was done, so the run is scheduled again by itself."""
    stage.up()
    stage.kubelet.holding = True
    run = stage.submit()
    stage.until(lambda: stage.phase(run) == "Starting", "the Pod is seen")
    stage.kubelet.evict(run)
    stage.run(5)
    stage.kubelet.holding = False
    stage.until(lambda: stage.kubelet.at_work(run), "the next attempt is at work", 300)
    stage.done(run)


def evicted_at_work(stage: Stage) -> None:
    """A Pod is evicted at work: the run is never executed again by itself."""
    stage.up()
    run = stage.at_work("failed", "lost")
    stage.kubelet.evict(run)
    stage.run(60)


def secret_gone_before_the_pod(stage: Stage) -> None:
    """A claim's Secret is deleted before there is a Pod, and there never is one."""
    stage.up()
    stage.driver.off = True
    run = stage.submit("failed", "succeeded")
    stage.until(lambda: stage.phase(run) == "Scheduled", "the run is claimed")
    stage.remove("secrets", stage.worker_of(run)["status"]["run"]["secretName"])
    stage.until(lambda: moves.first_attempt_is_over(stage, run), "the verdict", 60)
    stage.driver.off = False
    moves.let_it_end(stage, run)


def secret_gone_before_the_start(stage: Stage) -> None:
    """A claim's Secret is deleted when there is a Pod that hasn't mounted it: the Pod waits for ever."""
    stage.up()
    stage.kubelet.holding = True
    run = stage.submit("failed", "succeeded")
    stage.until(lambda: stage.phase(run) == "Starting", "the Pod is seen")
    stage.remove("secrets", moves.pod(stage, run))
    stage.kubelet.holding = False
    stage.until(lambda: moves.first_attempt_is_over(stage, run), "the verdict", 120)
    moves.let_it_end(stage, run)
