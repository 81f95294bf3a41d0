"""Gaps between Workers, Pods, Secrets and the mothership are closed, and no verdict comes of a late watch."""

import dataclasses

import pytest

from app.cluster.errors import Unavailable
from app.cluster.resources import PODS, SECRETS, WORKERS
from protocol.messages import Inventory, RunCanceled, RunFinished, RunReleased, Unregister
from protocol.runs import Reason, Result
from tests.unit.agent import builders as a
from tests.unit.agent.conftest import Material
from tests.unit.agent.steps import RUNNING, claim, show_pod, to_running
from tests.unit.agent.world import World, types


def canceled(kind: type[RunCanceled] | type[RunReleased] = RunCanceled) -> RunCanceled | RunReleased:
    """Return the mothership's word that the attempt is closed, with its stage."""
    return kind(worker_uid=a.WORKER_UID, pool_uid=a.POOL_UID, run=a.RUN, sequence=2, stage="preparing")


def cut_claim(world: World, material: Material) -> None:
    """Claim, and have the operator killed between Secret and patch."""

    def cut(verb: str, plural: str, _name: str) -> None:
        if (verb, plural) == ("patch", "workers"):
            raise Unavailable("killed here")

    world.api.fail = cut
    world.link.deliver(a.scheduled(payload=material.seal()))
    with pytest.raises(Unavailable):
        world.settle()
    world.api.fail = lambda *_: None
    assert world.secrets() == [a.POD_NAME]
    assert "run" not in world.status()
    # The new process has neither the letter nor the memory.
    key = a.NAMESPACE, a.WORKER_NAME
    while (letter := world.inbox.first(key)) is not None:
        world.inbox.done(key, letter)
    world.engine._memories.clear()


@pytest.mark.parametrize("kind", [RunCanceled, RunReleased])
def test_the_secret_of_a_cut_claim_goes_at_the_mothership_s_word(
    world: World, material: Material, kind: type[RunCanceled] | type[RunReleased]
) -> None:
    """It exists only where a claim was cut between Secret and patch; nobody else knows its name."""
    world.up(a.worker_object())
    cut_claim(world, material)
    world.link.deliver(canceled(kind))
    world.settle()
    assert world.secrets() == []
    assert world.counters.snapshot()["orphans_swept_Secret"] == 1
    assert "run" not in world.status()


def test_a_secret_with_other_labels_is_not_swept(world: World) -> None:
    """A name alone is no proof."""
    world.up(a.worker_object())
    labels = {"workers.spacelift.io/run": a.RUN}
    found = {"metadata": {"namespace": a.NAMESPACE, "name": a.POD_NAME, "uid": "u", "labels": labels}}
    world.api.put(SECRETS, found)
    world.link.deliver(canceled())
    world.settle()
    assert world.secrets() == [a.POD_NAME]


@pytest.mark.parametrize("phase", ["Running", "Finished"])
def test_a_held_attempt_keeps_its_secret_whatever_is_said(world: World, phase: str) -> None:
    """`run_canceled` is obeyed in Scheduled and Starting only; nothing is swept of what is held."""
    world.up(a.worker_object())
    if phase == "Running":
        world.api.put(PODS, a.pod_object(a.running("launcher-grpc"), a.running("worker"), **RUNNING))
    world.api.put(WORKERS, a.worker_object(status=a.busy_status(phase)))
    world.settle()
    world.api.calls.clear()
    world.link.deliver(canceled())
    world.settle()
    assert world.api.calls == []
    assert world.status()["run"]["phase"] == phase


@pytest.mark.parametrize("phase", ["Running", "Novel"])
@pytest.mark.parametrize("kind", [RunCanceled, RunReleased, None])
def test_a_message_for_another_object_sweeps_nothing_of_the_one_that_is_there(
    world: World, material: Material, phase: str, kind: type[RunCanceled] | type[RunReleased] | None
) -> None:
    """Topic and object UID don't fit: whoever says so, the run at work keeps its Secret."""
    status = a.busy_status()
    status["run"]["phase"] = phase
    world.up(a.worker_object(status=status))
    labels = {
        "workers.spacelift.io/run-id": a.RUN,
        "workers.spacelift.io/worker": a.WORKER_ULID,
        "workers.spacelift.io/workerpool": a.POOL_ULID,
        "workers.spacelift.io/sequence": "2",
    }
    found = {"metadata": {"namespace": a.NAMESPACE, "name": a.POD_NAME, "uid": "u", "labels": labels}}
    world.api.put(SECRETS, found)
    said = canceled(kind) if kind else a.scheduled(payload=material.seal())
    world.link.deliver(dataclasses.replace(said, worker_uid="another"))
    world.settle()
    assert world.secrets() == [a.POD_NAME]


def test_a_worker_whose_run_cannot_be_read_sweeps_nothing(world: World) -> None:
    """It may hold that very attempt."""
    status = a.busy_status()
    status["run"]["phase"] = "Novel"
    world.up(a.worker_object(status=status))
    world.link.deliver(canceled())
    world.settle()
    assert world.api.count("get", "secrets") == 0


@pytest.mark.parametrize("kind", [RunCanceled, RunReleased])
def test_the_secret_goes_too_when_the_worker_is_gone(
    world: World, material: Material, kind: type[RunCanceled] | type[RunReleased]
) -> None:
    """Removed by force in the middle of a claim; the mothership is told to forget the Worker."""
    link = world.up(a.worker_object())
    cut_claim(world, material)
    world.api.remove(WORKERS, a.WORKER_NAME)
    world.settle()
    link.take()
    link.deliver(canceled(kind))
    world.settle()
    assert world.secrets() == []
    assert [type(each) for each in link.take()] == [Unregister]


def test_an_orphan_pod_is_let_go_with_its_secret_and_counted(world: World, material: Material) -> None:
    """The Worker was removed by force: its Pod may work to its end, then nothing of it stays."""
    world.up(a.worker_object())
    to_running(world, material)
    world.api.remove(WORKERS, a.WORKER_NAME)
    world.settle()
    assert world.secrets() == [a.POD_NAME]
    assert world.finalizers() != []
    show_pod(world, a.ended("launcher-grpc"), a.ended("worker"), init=a.ended("init"), phase="Succeeded")
    assert world.secrets() == []
    assert world.finalizers() == []
    counts = world.counters.snapshot()
    assert (counts["orphans_swept_Pod"], counts["orphans_swept_Secret"]) == (1, 1)


def test_a_watch_that_stands_still_makes_no_verdict(world: World, material: Material) -> None:
    """The cache shows a Pod that can't be pulled; at the API server it works already."""
    link = world.up(a.worker_object())
    claim(world, material)
    show_pod(world, a.waiting("launcher-grpc"), a.waiting("worker", "ImagePullBackOff"))
    world.caches["pods"].frozen = True
    world.api.put(PODS, a.pod_object(a.running("launcher-grpc"), a.running("worker"), **RUNNING))
    link.take()
    world.pass_time(40)
    assert world.status()["run"]["phase"] == "Running"
    assert "run_finished" not in types(link.take())


def test_a_verdict_of_time_is_stored_when_the_api_server_agrees(world: World, material: Material) -> None:
    """One read more, and the verdict as before."""
    world.up(a.worker_object())
    claim(world, material)
    show_pod(world, a.waiting("launcher-grpc"), a.waiting("worker", "ImagePullBackOff"))
    world.api.calls.clear()
    world.pass_time(40)
    assert world.status()["run"]["outcome"]["reason"] == "ImagePull"
    assert world.api.count("get", "pods") == 1


def test_the_end_that_containers_show_costs_no_read(world: World, material: Material) -> None:
    """Ended containers don't come back: the cache is enough, and a burst of ends stays cheap."""
    world.up(a.worker_object())
    to_running(world, material)
    world.api.calls.clear()
    show_pod(world, a.ended("launcher-grpc"), a.ended("worker"), init=a.ended("init"), phase="Running")
    assert world.status()["run"]["phase"] == "Finished"
    assert world.api.count("get", "pods") == 0


def test_lost_is_never_recorded_from_the_cache(world: World, material: Material) -> None:
    """A deleted Pod whose node is silent: the API server shows that it ended after all."""
    link = world.up(a.worker_object())
    to_running(world, material)
    show_pod(world, a.running("launcher-grpc"), a.running("worker"), deleting=True, **RUNNING)
    world.caches["pods"].frozen = True
    ended: a.Json = {"init": a.ended("init"), "phase": "Succeeded", "deleting": True}
    world.api.put(PODS, a.pod_object(a.ended("launcher-grpc"), a.ended("worker"), **ended))
    world.pass_time(400)
    said = [each.outcome for each in link.take() if isinstance(each, RunFinished)]
    assert {(each.result, each.reason) for each in said} == {(Result.SUCCEEDED, Reason.COMPLETED)}


def test_a_pod_that_vanished_while_it_was_stuck_is_lost(world: World, material: Material) -> None:
    """Nobody can tell any more what became of it."""
    world.up(a.worker_object())
    claim(world, material)
    show_pod(world, a.waiting("launcher-grpc"), a.waiting("worker", "ImagePullBackOff"))
    world.caches["pods"].frozen = True
    world.api.remove(PODS, a.POD_NAME)
    world.pass_time(40)
    outcome = world.status()["run"]["outcome"]
    assert (outcome["result"], outcome["reason"]) == ("lost", "PodDeleted")


def test_a_run_whose_pod_the_watch_does_not_show_is_not_called_unstarted(
    world: World, material: Material
) -> None:
    """Its Secret is gone, but its Pod is at work: that it never started would be untrue."""
    link = world.up(a.worker_object())
    claim(world, material)
    world.caches["pods"].frozen = True
    world.api.put(PODS, a.pod_object(a.running("launcher-grpc"), a.running("worker"), **RUNNING))
    world.api.remove(SECRETS, a.POD_NAME)
    link.take()
    world.pass_time(10)
    assert world.status()["run"]["phase"] == "Running"
    assert "run_finished" not in types(link.take())


def test_a_deleted_worker_s_pod_that_the_watch_does_not_show_is_not_called_unmade(
    world: World, material: Material
) -> None:
    """A minute without a Pod in the cache is no proof that none was made."""
    world.up(a.worker_object())
    claim(world, material)
    deleted = world.worker()
    deleted["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    world.api.put(WORKERS, deleted)
    world.caches["pods"].frozen = True
    world.pass_time(58)
    world.api.put(PODS, a.pod_object(a.running("launcher-grpc"), a.running("worker"), **RUNNING))
    world.pass_time(60)
    assert world.status()["run"]["phase"] == "Running"


def test_an_inventory_goes_out_now_and_then_by_itself(world: World) -> None:
    """Reconciling doesn't wait for a start or a lost session; and a Worker's own draining is told in it."""
    link = world.up(a.worker_object(draining=True))
    world.pass_time(100)
    assert "inventory" not in types(link.take())
    for _ in range(4):
        world.pass_time(100)
        world.pools_woken.add((a.NAMESPACE, a.POOL))
    found = [each for each in link.take() if isinstance(each, Inventory)]
    assert len(found) == 1
    assert (found[0].workers[0].draining, found[0].workers[0].drained) == (True, False)
