"""Scenarios around messages: lost, replayed, late, meant for somebody else, or stopped by an API that is away."""
# ruff: noqa: D401  # a scenario's docstring says what happens

from __future__ import annotations

import copy
from dataclasses import replace
from typing import Any, TypeVar

from app.cluster.resources import WORKERS
from protocol.messages import (
    Inventory,
    Message,
    Register,
    RunAccepted,
    RunCanceled,
    RunFinished,
    RunPod,
    RunRejected,
    RunReleased,
    RunScheduled,
    Unregister,
)
from protocol.runs import Outcome, Reason, Rejection, Result
from tests.mutations import moves
from tests.mutations.stage import Stage

Json = dict[str, Any]
M = TypeVar("M", bound=Message)


def two_runs(stage: Stage) -> None:
    """Two runs, one after the other."""
    stage.up()
    stage.done(stage.at_work())
    stage.done(stage.at_work("failed"), code=3)


def replayed_schedule(stage: Stage) -> None:
    """The broker delivers an old run_scheduled again, long after its run."""
    stage.up()
    run = stage.at_work()
    stage.done(run)
    stage.inject_down(stage.scheduled(run), moves.ulid(stage))
    stage.run(30)


def replay_beside_a_run(stage: Stage) -> None:
    """A process was stopped with an old run_scheduled in its hands, and goes on while the next run is at work."""
    stage.up()
    sleeper = stage.operator
    sleeper.caches["workers"].frozen = True
    letter_at, stage.operators = len(stage.operators), []
    stage.start_operator()
    run = stage.at_work()
    stage.done(run)
    second = stage.at_work()
    # The one that slept still believes in the Worker as it was before both runs.
    stage.operators.insert(letter_at - 1, sleeper)
    sleeper.time = stage.time
    sleeper.receive(moves.ulid(stage), stage.scheduled(run))
    stage.rest()
    sleeper.stop()
    stage.operators.remove(sleeper)
    stage.done(second)


def released_lost_for_hours(stage: Stage) -> None:
    """The operator is away when a run ends, and comes back when the mothership has forgotten it; an inventory is lost."""
    stage.up()
    run = stage.at_work()
    stage.operator.hands.before = moves.unavailable("workers", "merge_patch")
    stage.kubelet.finish(run)
    stage.kill_operator()
    # Smaller steps than the jump of a clock, after which the mothership gives every launcher time to renew.
    stage.run(2 * 3600, step=30)
    # The broker's session expired, with all that was in it.
    stage.broker.to_workers.clear()
    stage.broker.loses = lambda message: isinstance(message, Inventory)
    stage.start_operator()
    stage.run(600, step=10)


def released_while_running(stage: Stage) -> None:
    """A run_released comes for a run that is at work."""
    stage.up()
    moves.run_that_hears(RunReleased, stage)


def canceled_while_running(stage: Stage) -> None:
    """A run_canceled comes for a run that is at work: the cancel and the grant crossed."""
    stage.up()
    moves.run_that_hears(RunCanceled, stage)


def cancels_lost(stage: Stage) -> None:
    """The first cancels are lost, and so is every inventory."""
    stage.up()
    # Without a Pod the operator has nothing to repeat that would remind the mothership.
    stage.driver.off = True
    run = stage.submit("canceled")
    stage.until(lambda: stage.phase(run) == "Scheduled", "the run is claimed")
    stage.run(1)
    until = stage.time + 10
    stage.broker.loses = lambda m: (
        isinstance(m, Inventory) or (isinstance(m, RunCanceled) and stage.time < until)
    )
    stage.control.stop(run)
    stage.until(lambda: not stage.phase(run), "the Worker is free again", 60)
    stage.driver.off = False


def first_report_lost(stage: Stage) -> None:
    """The first run_pod is lost, and so is every inventory; `init` waits."""
    stage.up()
    seen: list[Message] = []

    def loses(message: Message) -> bool:
        if isinstance(message, RunPod):
            seen.append(message)
        return isinstance(message, Inventory) or (isinstance(message, RunPod) and len(seen) == 1)

    stage.broker.loses = loses
    stage.done(stage.at_work())


def first_of_each_lost(stage: Stage) -> None:
    """The first message of every kind about the run is lost, in both directions, and so is every inventory."""
    stage.up()
    seen: set[type[Message]] = set()

    def loses(message: Message) -> bool:
        first = isinstance(message, RunScheduled | RunPod | RunFinished | RunReleased | RunAccepted)
        first = first and type(message) not in seen
        seen.add(type(message))
        return first or isinstance(message, Inventory)

    stage.broker.loses = loses
    run = stage.at_work()
    stage.kubelet.finish(run)
    # Sooner than the run's lease is over, when the mothership would speak of the end by itself.
    stage.until(lambda: stage.phase(run) == "", "the Worker is free again", 60)


def worker_gone_by_force(stage: Stage) -> None:
    """Somebody takes an idle Worker away by force; the mothership gives it the next run."""
    stage.up(2)
    newest = max(stage.workers(), key=lambda found: str(found["spec"]["sequence"]))
    stage.driver.off = True
    moves.scale(stage, 1)
    stage.remove("workers", newest["metadata"]["name"])
    stage.driver.off = False
    run = stage.submit()
    stage.until(lambda: stage.kubelet.at_work(run), "the run is at work", 30)
    stage.done(run)


def foreign_schedule(stage: Stage) -> None:
    """Another cluster holds the same token; a run_scheduled for its pool object comes here."""
    stage.up()
    run = stage.at_work()
    stage.judge.foreign_pools.add("another-clusters-pool")
    message = replace(
        stage.scheduled(run), pool_uid="another-clusters-pool", worker_uid="another-clusters-worker"
    )
    stage.inject_down(message, moves.ulid(stage))
    stage.run(5)
    stage.done(run)


def late_rejection(stage: Stage) -> None:
    """A rejection that was long on its way comes after the grant."""
    stage.up()
    run = stage.at_work()
    said = moves.said(stage, RunAccepted)
    rejected = RunRejected(
        worker_uid=said.worker_uid,
        pool_uid=said.pool_uid,
        run=said.run,
        stage=said.stage,
        sequence=said.sequence,
        assignment=said.assignment,
        reason=Rejection.BUSY,
        message="",
    )
    stage.inject_up(said, rejected)
    stage.run(15)
    stage.done(run)


def unregistered_while_running(stage: Stage) -> None:
    """The mothership hears that a Worker is no more while its run is at work."""
    stage.up(2)
    run = stage.at_work()
    said = moves.said(stage, RunAccepted)
    stage.inject_up(said, Unregister(worker_uid=said.worker_uid, pool_uid=said.pool_uid))
    stage.run(15)
    stage.done(run)
    stage.run(300, step=10)


def worker_made_again(stage: Stage) -> None:
    """A Worker went by force and came back under its name; a message for the former one comes."""
    stage.up()
    worker = stage.workers()[0]
    stage.driver.off = True
    run = stage.submit()
    stage.control.step()
    stage.remove("workers", worker["metadata"]["name"])
    again = copy.deepcopy(worker)
    again["metadata"]["uid"] = "another-worker-uid"
    stage.api.put(WORKERS, again)
    stage.rest()
    stage.driver.off = False
    stage.until(lambda: stage.kubelet.at_work(run), "the run is at work", 300)
    stage.done(run)


def stranger_reports_the_end(stage: Stage) -> None:
    """A Worker reports the end of a run that is another one's."""
    stage.up(2)
    run = stage.at_work()
    said = moves.said(stage, RunAccepted)
    other = next(found for found in stage.workers() if found["metadata"]["uid"] != said.worker_uid)
    finished = RunFinished(
        worker_uid=other["metadata"]["uid"],
        pool_uid=said.pool_uid,
        run=said.run,
        stage=said.stage,
        sequence=said.sequence,
        assignment=said.assignment,
        pod_uid=stage.kubelet.of(run).uid,
        outcome=Outcome(Result.FAILED, Reason.NON_ZERO_EXIT, "", {"worker": 1}),
    )
    introduced = next(
        message
        for _, message in stage.broker.up
        if isinstance(message, Register) and message.worker_uid == finished.worker_uid
    )
    stage.inject_up(introduced, finished)
    stage.run(5)
    stage.done(run)


def api_away_at_the_claim(stage: Stage) -> None:
    """The API server can't be written while a run is given to a Worker."""
    stage.up()
    stage.operator.hands.before = moves.unavailable("workers", "merge_patch")
    run = stage.submit()
    stage.run(10)
    stage.operator.hands.before = lambda *_: None
    stage.until(lambda: stage.kubelet.at_work(run), "the run is at work")
    stage.done(run)
