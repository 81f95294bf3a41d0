"""What the agent tells of a Worker while a run goes through it: conditions in the same patches, and Events."""

from typing import Any

import pytest

from app.agent.decisions.graces import Graces
from app.cluster.errors import Forbidden
from app.cluster.resources import PODS, SECRETS, WORKERS
from protocol.messages import Drain, Registered, RunFinished, Unregistered
from tests.unit.agent import builders as a
from tests.unit.agent import kubelet as k
from tests.unit.agent.conftest import Material
from tests.unit.agent.steps import claim, finish, show_pod, to_running
from tests.unit.agent.world import World

STARTED = "2026-06-01T00:00:00Z"


def told(world: World) -> dict[str, a.Json]:
    """Return the Worker's conditions by type."""
    return {each["type"]: each for each in world.status().get("conditions", [])}


def events(world: World) -> list[tuple[str, str]]:
    """Return type and reason of the Events on Workers."""
    return [event[1:3] for event in world.events if event[0] == "Worker"]


def texts(world: World, reason: str) -> list[str]:
    """Return the texts of the Events with a reason."""
    return [event[3] for event in world.events if event[2] == reason]


def show(world: World, *containers: a.Json, **changes: Any) -> None:  # noqa: ANN401 - what kubelet.pod_object takes
    """Have the kubelet report on the Pod."""
    world.api.put(PODS, k.pod_object(*containers, **changes))
    world.settle()


def test_a_good_run_is_told_step_by_step(world: World, material: Material) -> None:
    """Scheduled, started, finished, released, each once; and a condition that stays."""
    world.up(a.worker_object())
    to_running(world, material)
    finish(world)
    world.link.deliver(a.released())
    world.settle()
    assert events(world) == [
        ("Normal", "RunScheduled"),
        ("Normal", "RunStarted"),
        ("Normal", "RunFinished"),
        ("Normal", "RunReleased"),
    ]
    assert texts(world, "RunStarted") == [f"Run {a.RUN} started on node node-1 (Pod {a.POD_NAME})"]
    assert told(world)["Ready"]["status"] == "True"
    assert told(world)["LastRunSucceeded"] == {
        "type": "LastRunSucceeded",
        "status": "True",
        "reason": "Completed",
        "message": f"Run {a.RUN} succeeded: Completed",
        "lastTransitionTime": STARTED,
    }
    assert world.api.count("patch", "workers") == 5


def test_a_failure_is_one_report_for_mothership_condition_and_event(world: World, material: Material) -> None:
    """The same reason and the same words everywhere, with container, limit and field."""
    link = world.up(a.worker_object())
    to_running(world, material)
    link.take()
    ended = (k.GRPC_DONE, k.ended("worker", 137, "OOMKilled"))
    show(world, *ended, inits=(k.INIT_DONE,), phase="Failed")
    (finished,) = link.take()
    assert isinstance(finished, RunFinished)
    outcome = finished.outcome
    assert "512Mi: raise spec.pod.workerContainer.resources.limits.memory" in outcome.message
    report = f"Run {a.RUN} failed: OOMKilled: {outcome.message}"
    assert world.status()["run"]["outcome"] == outcome.to_json()
    assert told(world)["LastRunSucceeded"]["message"] == report
    assert told(world)["LastRunSucceeded"]["reason"] == outcome.reason.value
    assert ("Worker", "Warning", "RunFailed", report) in world.events


def test_a_verdict_and_its_condition_are_one_patch(world: World, material: Material) -> None:
    """Nobody ever sees the one without the other."""
    world.up(a.worker_object())
    to_running(world, material)
    before = world.api.count("patch", "workers")
    finish(world, code=4)
    assert world.status()["run"]["phase"] == "Finished"
    assert told(world)["LastRunSucceeded"]["status"] == "False"
    assert world.api.count("patch", "workers") == before + 1


def test_a_pull_that_fails_is_told_with_its_cause_after_the_back_off(
    world: World, material: Material
) -> None:
    """The cause was shown for a second, the verdict comes half a minute later."""
    world.up(a.worker_object())
    claim(world, material)
    waits = k.waiting("worker", "ErrImagePull", "registry.example: 401 Unauthorized")
    show(world, k.GRPC_RUNS, waits, inits=(k.INIT_DONE,))
    back_off = k.waiting("worker", "ImagePullBackOff", f'Back-off pulling image "{k.RUNNER}"')
    show(world, k.GRPC_RUNS, back_off, inits=(k.INIT_DONE,))
    world.pass_time(31)
    outcome = world.status()["run"]["outcome"]
    assert outcome["reason"] == "ImagePull"
    assert k.RUNNER in outcome["message"]
    assert "401 Unauthorized" in outcome["message"]


def test_a_worker_says_why_it_takes_no_runs(world: World) -> None:
    """Drained, and back, with the patches that change it."""
    link = world.up(a.worker_object(status={}))
    link.deliver(Registered(worker_uid=a.WORKER_UID, pool_uid=a.POOL_UID, drained=False, assignment=0))
    world.settle()
    assert told(world)["Ready"]["reason"] == "Registered"
    link.deliver(Drain(worker_uid=a.WORKER_UID, pool_uid=a.POOL_UID, drained=True))
    world.settle()
    assert (told(world)["Ready"]["status"], told(world)["Ready"]["reason"]) == ("False", "Drained")
    link.deliver(Drain(worker_uid=a.WORKER_UID, pool_uid=a.POOL_UID, drained=False))
    world.settle()
    assert told(world)["Ready"]["status"] == "True"
    assert world.api.count("patch", "workers") == 3


def test_the_pools_own_wish_is_told_with_one_patch(world: World) -> None:
    """A Worker that the pool lets go is not ready; one that it keeps after all is."""
    link = world.up(a.worker_object(status={}))
    link.deliver(Registered(worker_uid=a.WORKER_UID, pool_uid=a.POOL_UID, drained=False, assignment=0))
    world.settle()
    for draining, wanted in ((True, "False"), (False, "True")):
        world.api.calls.clear()
        changed = world.worker()
        changed["spec"]["draining"] = draining
        world.api.put(WORKERS, changed)
        world.settle()
        assert told(world)["Ready"]["status"] == wanted
        assert world.api.count("patch", "workers") == 1


def test_a_worker_that_goes_says_so_in_its_conditions(world: World) -> None:
    """Deregistering, then Deregistered, without a patch more than before."""
    link = world.up(a.worker_object())
    world.api.put(WORKERS, a.worker_object(deleting=True))
    world.settle()
    assert told(world)["Ready"]["reason"] == "Deregistering"
    link.deliver(Unregistered(worker_uid=a.WORKER_UID, pool_uid=a.POOL_UID))
    world.settle()
    assert told(world)["Ready"]["reason"] == "Deregistered"
    assert world.api.count("patch", "workers") == 2


def test_a_run_that_ended_between_two_looks_was_started_all_the_same(
    world: World, material: Material
) -> None:
    """An operator that was away sees the end first; the story has no gap for it."""
    world.up(a.worker_object())
    claim(world, material)
    show(world, k.ended("launcher-grpc"), k.ended("worker"), phase="Succeeded")
    world.settle()
    assert [reason for _, reason in events(world)] == ["RunScheduled", "RunStarted", "RunFinished"]


def test_a_refused_pod_is_two_events_and_one_verdict(world: World, material: Material) -> None:
    """The refusal with the API's own text, and the failed run."""
    world.up(a.worker_object())
    claim(world, material)

    def refuse(verb: str, _plural: str, _name: str) -> None:
        if verb == "dry-run":
            raise Forbidden('violates PodSecurity "restricted"', status=403)

    world.api.fail = refuse
    world.pass_time(10)
    assert events(world)[1:] == [("Warning", "RunPodRefused"), ("Warning", "RunFailed")]
    assert told(world)["LastRunSucceeded"]["reason"] == "PolicyDenied"


def test_a_refusal_that_may_pass_is_told_at_once_and_each_text_once(world: World, material: Material) -> None:
    """A quota is waited for, for minutes: whoever asks why there is no Pod has the answer from the first refusal on."""
    world.up(a.worker_object())
    claim(world, material)
    used = [1]

    def refuse(verb: str, _plural: str, _name: str) -> None:
        if verb == "dry-run":
            raise Forbidden(f"exceeded quota: runs, requested: pods=1, used: pods={used[0]}", status=403)

    world.api.fail = refuse
    world.pass_time(60)
    assert world.status()["run"]["phase"] == "Scheduled"
    (said,) = texts(world, "RunPodRefused")
    assert said == "the run's Pod was refused: exceeded quota: runs, requested: pods=1, used: pods=1"
    used[0] = 2
    world.pass_time(300)
    assert world.status()["run"]["outcome"]["reason"] == "Unschedulable"
    assert texts(world, "RunPodRefused") == [said, world.status()["run"]["outcome"]["message"]]


def test_what_the_agent_itself_may_not_do_is_no_refusal_of_the_pod(world: World, material: Material) -> None:
    """That is for the operator's log."""
    world.up(a.worker_object())
    claim(world, material)

    def refuse(verb: str, _plural: str, _name: str) -> None:
        if verb == "dry-run":
            raise Forbidden('User "x" cannot create resource "pods"', status=403)

    world.api.fail = refuse
    world.pass_time(60)
    assert not texts(world, "RunPodRefused")


def test_a_refusal_is_told_without_what_looks_like_a_secret(world: World, material: Material) -> None:
    """A webhook's text may hold anything."""
    world.up(a.worker_object())
    claim(world, material)

    def refuse(verb: str, _plural: str, _name: str) -> None:
        if verb == "dry-run":
            raise Forbidden("denied by https://user:hunter2secret@proxy.example/", status=403)

    world.api.fail = refuse
    world.pass_time(10)
    told_texts = [event[3] for event in world.events if event[2] in ("RunPodRefused", "RunFailed")]
    assert len(told_texts) == 2
    assert not any("hunter2secret" in text for text in told_texts)


def test_a_pod_that_cannot_be_built_is_no_refusal_of_the_api(world: World, material: Material) -> None:
    """Nobody asked the API server: there is one Event, about the failed run."""
    world.up(a.worker_object())
    claim(world, material)
    (secret,) = world.secrets()
    world.api.delete(SECRETS, a.NAMESPACE, secret)
    world.pass_time(10)
    assert events(world)[1:] == [("Warning", "RunFailed")]


def test_the_graces_of_the_settings_reach_every_decision(material: Material) -> None:
    """Pod, refusal and farewell, with times of their own."""
    graces = Graces(run_pod=20.0, deregistration=3.0, image_pull=2.0)
    world = World(material.secret_data, graces=graces)
    world.up(a.worker_object())
    claim(world, material)
    world.pass_time(19)
    assert world.api.count("dry-run", "pods") == 0
    world.pass_time(2)
    assert world.api.count("dry-run", "pods") == 1
    show(world, k.GRPC_RUNS, k.waiting("worker", "ErrImagePull", "x"), inits=(k.INIT_DONE,))
    world.pass_time(3)
    assert world.status()["run"]["outcome"]["reason"] == "ImagePull"


@pytest.mark.parametrize(("seconds", "registration"), [(2.0, "Deregistering"), (4.0, "Gone")])
def test_a_deregistration_is_waited_for_as_long_as_the_settings_say(
    material: Material, seconds: float, registration: str
) -> None:
    """And told when nobody confirmed it."""
    world = World(material.secret_data, graces=Graces(deregistration=3.0))
    world.up(a.worker_object())
    world.link.lose()
    world.api.put(WORKERS, a.worker_object(deleting=True))
    world.pass_time(seconds)
    assert world.status()["registration"] == registration
    assert (("Warning", "DeregistrationUnconfirmed") in events(world)) is (registration == "Gone")


def test_a_verdict_that_nobody_takes_is_told(material: Material) -> None:
    """The run's ULID is in the Event: its result is stored nowhere else any more."""
    world = World(material.secret_data, graces=Graces(verdict_report=3.0))
    world.up(a.worker_object())
    to_running(world, material)
    gone = world.worker()
    gone["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    world.api.put(WORKERS, gone)
    finish(world)
    world.link.lose()
    world.pass_time(6)
    assert a.RUN in texts(world, "DeregistrationUnconfirmed")[0]


def test_no_grace_at_all_makes_no_busy_loop(material: Material) -> None:
    """Zeros ask the API server at once, and then no more often than every second."""
    zeros = Graces(run_pod=0.0, verdict_report=0.0, deregistration=0.0, refusal=0.0, launcher_report=0.0)
    world = World(material.secret_data, graces=zeros)
    world.up(a.worker_object())
    claim(world, material)
    world.pass_time(5)
    assert 1 <= world.api.count("dry-run", "pods") <= 6
    show_pod(world)
    assert world.status()["run"]["phase"] == "Starting"
