"""The way of a run through the agent, on an API server and a broker link that count and can be told to fail."""

import contextlib
from typing import Any

import pytest

from app.agent.decisions.graces import DEFAULTS
from app.cluster.errors import Conflict, Forbidden, Unavailable
from app.cluster.resources import PODS, SECRETS, WORKERPOOLS, WORKERS
from protocol.messages import (
    Drain,
    Register,
    Registered,
    RunAccepted,
    RunFinished,
    RunPod,
    RunRejected,
    RunStarted,
    Unregister,
    Unregistered,
    WorkerState,
)
from protocol.runs import Reason, Rejection, Result
from tests.unit.agent import builders as a
from tests.unit.agent.conftest import Material
from tests.unit.agent.steps import RUNNING, claim, finish, show_pod, to_running
from tests.unit.agent.world import World, types


def test_a_run_goes_the_whole_way(world: World, material: Material) -> None:
    """Scheduled, Starting, Running, Finished, released: one status patch each, and what is published beside it."""
    link = world.up(a.worker_object())
    mid = claim(world, material)
    assert world.status()["run"]["phase"] == "Scheduled"
    assert link.acked == [mid]
    assert types(link.take()) == ["run_accepted"]
    show_pod(world)
    assert (world.status()["run"]["phase"], world.status()["run"]["podUID"]) == ("Starting", a.POD_UID)
    assert types(link.take()) == ["run_pod"]
    show_pod(world, a.running("launcher-grpc"), a.running("worker"), **RUNNING)
    assert world.status()["run"]["phase"] == "Running"
    assert types(link.take()) == ["run_started"]
    finish(world)
    (finished,) = link.take()
    assert isinstance(finished, RunFinished)
    assert (finished.outcome.result, finished.pod_uid) == (Result.SUCCEEDED, a.POD_UID)
    assert world.finalizers() == []
    assert world.secrets() == []
    link.deliver(a.released())
    world.settle()
    assert "run" not in world.status()
    assert (world.status()["state"], world.status()["currentRunID"]) == ("IDLE", "")
    assert world.api.count("patch", "workers") == 5
    assert link.take() == []


def test_the_claim_is_recorded_after_its_secret_and_revision(world: World, material: Material) -> None:
    """A Pod never waits for what will not come."""
    world.up(a.worker_object())
    for namespace, name in list(world.revisions._used):
        world.revisions.forget(namespace, name)
    claim(world, material)
    writes = [(verb, plural) for verb, plural, _ in world.api.calls if verb in ("create", "patch")]
    assert writes == [("create", "controllerrevisions"), ("create", "secrets"), ("patch", "workers")]
    run = world.status()["run"]
    secret = world.api.objects["secrets", a.NAMESPACE, a.POD_NAME]
    assert (run["secretName"], run["secretUID"]) == (a.POD_NAME, secret["metadata"]["uid"])
    assert set(secret["data"]) == {"run-token", "api-endpoint", "ca.crt", "workspace-key"}
    assert ("controllerrevisions", a.NAMESPACE, run["settings"]) in world.api.objects


def test_a_second_claim_needs_no_call_for_its_revision(world: World, material: Material) -> None:
    """What was seen is remembered."""
    world.up(a.worker_object())
    claim(world, material)
    world.link.deliver(a.canceled())
    world.link.deliver(a.released())
    world.settle()
    assert world.secrets() == []
    world.api.calls.clear()
    claim(world, material, 6)
    assert [call[:2] for call in world.api.calls if call[0] == "create"] == [("create", "secrets")]


def test_the_end_is_stored_then_the_secret_deleted_then_published(world: World, material: Material) -> None:
    """The order that fence 4 relies on: nothing is said while the Secret can't be deleted."""
    link = world.up(a.worker_object())
    to_running(world, material)
    link.take()

    def stall(verb: str, plural: str, _name: str) -> None:
        if (verb, plural) == ("delete", "secrets"):
            raise Unavailable("away")

    world.api.fail = stall
    with pytest.raises(Unavailable):
        finish(world)
    assert world.status()["run"]["phase"] == "Finished"
    assert world.finalizers() != []
    assert link.take() == []
    world.api.fail = lambda *_: None
    world._wake((a.NAMESPACE, a.WORKER_NAME))
    world.settle()
    assert types(link.take()) == ["run_finished"]
    assert world.secrets() == []


def test_a_secret_that_another_replica_put_in_its_place_goes_with_the_verdict(
    world: World, material: Material
) -> None:
    """Its claim lost the race after it had replaced the Secret: by its labels it is the same attempt's."""
    world.up(a.worker_object())
    to_running(world, material)
    secret = world.api.objects["secrets", a.NAMESPACE, a.POD_NAME]
    world.api.put(SECRETS, {**secret, "metadata": {**secret["metadata"], "uid": "the-other-replica's"}})
    finish(world)
    assert world.secrets() == []


def test_a_secret_that_another_replica_makes_after_the_verdict_goes_when_its_message_comes_back(
    world: World, material: Material
) -> None:
    """It had decided to claim before the verdict: its patch is a conflict, and nobody else knows of the Secret."""
    world.up(a.worker_object())
    to_running(world, material)
    secret = world.api.objects["secrets", a.NAMESPACE, a.POD_NAME]
    finish(world)
    world.api.put(SECRETS, {**secret, "metadata": {**secret["metadata"], "uid": "the-other-replica's"}})
    claim(world, material)
    assert world.secrets() == []
    assert world.status()["run"]["phase"] == "Finished"


def test_somebody_elses_secret_of_that_name_stays_at_the_verdict(world: World, material: Material) -> None:
    """The run's own was deleted by hand, and the name was used again."""
    world.up(a.worker_object())
    to_running(world, material)
    secret = world.api.objects["secrets", a.NAMESPACE, a.POD_NAME]
    world.api.put(SECRETS, {**secret, "metadata": {**secret["metadata"], "uid": "theirs", "labels": {}}})
    finish(world)
    assert len(world.secrets()) == 1


def test_a_repeated_message_is_answered_again_and_claims_nothing(world: World, material: Material) -> None:
    """The mothership repeats until it is answered."""
    link = world.up(a.worker_object())
    claim(world, material)
    link.take()
    world.api.calls.clear()
    claim(world, material)
    assert types(link.take()) == ["run_accepted"]
    assert world.api.calls == []


def test_a_replay_after_the_release_claims_nothing(world: World, material: Material) -> None:
    """Fence 1, hours later: the number is spent."""
    link = world.up(a.worker_object())
    to_running(world, material)
    finish(world)
    link.deliver(a.released())
    world.settle()
    link.take()
    claim(world, material)
    (answer,) = link.take()
    assert isinstance(answer, RunRejected)
    assert answer.reason is Rejection.BUSY
    assert "run" not in world.status()
    assert world.secrets() == []


def test_a_conflict_is_read_live_and_decided_again(world: World, material: Material) -> None:
    """A stale view never overwrites."""
    link = world.up(a.worker_object())
    world.caches["workers"].frozen = True
    other = world.worker()
    other["spec"]["draining"] = True
    world.api.put(WORKERS, other)
    claim(world, material)
    assert "run" not in world.status()
    rejected = [each for each in link.take() if isinstance(each, RunRejected)]
    assert [each.reason for each in rejected] == [Rejection.DRAINING]
    # Another worker takes the run: it has no end yet.
    assert "LastRunSucceeded" not in str(world.status())
    assert ": draining: " in world.events[-1][3]
    assert world.secrets() == []
    assert world.counters.snapshot()["conflicts"] == 1


def test_a_secret_left_by_a_crash_is_replaced(world: World, material: Material) -> None:
    """Crashed between Secret and claim: the message comes again, with a token that holds."""
    world.up(a.worker_object())

    def crash(verb: str, plural: str, _name: str) -> None:
        if (verb, plural) == ("patch", "workers"):
            raise Unavailable("crash")

    world.api.fail = crash
    with pytest.raises(Unavailable):
        claim(world, material)
    former = world.api.objects["secrets", a.NAMESPACE, a.POD_NAME]["metadata"]["uid"]
    world.api.fail = lambda *_: None
    claim(world, material)
    secret = world.api.objects["secrets", a.NAMESPACE, a.POD_NAME]
    assert secret["metadata"]["uid"] == world.status()["run"]["secretUID"] != former


def test_a_secret_of_somebody_else_is_never_touched(world: World, material: Material) -> None:
    """The name is taken: the run is refused, with the reason."""
    world.up(a.worker_object())
    theirs = {
        "metadata": {"namespace": a.NAMESPACE, "name": a.POD_NAME, "uid": "theirs"},
        "data": {"x": "eA=="},
    }
    world.api.put(SECRETS, theirs)
    claim(world, material)
    (answer,) = world.link.take()
    assert isinstance(answer, RunRejected)
    assert (answer.reason, a.POD_NAME in answer.message) == (Rejection.INVALID, True)
    assert world.api.objects["secrets", a.NAMESPACE, a.POD_NAME]["metadata"]["uid"] == "theirs"


def test_a_payload_that_cannot_be_opened_is_invalid(world: World) -> None:
    """Sealed to another key: said so, recorded, nothing left behind."""
    world.up(a.worker_object())
    world.link.deliver(a.scheduled(payload="not.a.jwe.at.all"))
    world.settle()
    (answer,) = world.link.take()
    assert isinstance(answer, RunRejected)
    assert answer.reason is Rejection.INVALID
    assert world.status()["assignment"] == 5
    assert world.secrets() == []
    told = {each["type"]: each for each in world.status()["conditions"]}["LastRunSucceeded"]
    assert (told["reason"], told["message"]) == (
        "ConfigError",
        f"Run {a.RUN} failed: ConfigError: {answer.message}",
    )


def beyond_the_quota(verb: str, plural: str, _name: str) -> None:
    """Refuse further Secrets as a quota does."""
    if (verb, plural) == ("create", "secrets"):
        raise Forbidden("exceeded quota: secrets", status=403)


def test_a_secret_that_a_quota_refuses_makes_the_run_wait_and_says_so(
    world: World, material: Material
) -> None:
    """Nothing was started, so nothing has failed: an Event has the API's text, and the claim follows when it may."""
    world.up(a.worker_object())

    world.api.fail = beyond_the_quota
    with pytest.raises(Forbidden):
        claim(world, material)
    assert not [each for each in world.link.take() if isinstance(each, RunRejected)]
    assert "exceeded quota" in world.events[-1][3]
    world.api.fail = lambda *_: None
    world._wake((a.NAMESPACE, a.WORKER_NAME))
    world.settle()
    assert world.status()["run"]["phase"] == "Scheduled"


def test_what_comes_behind_a_refused_claim_does_not_wait_for_it(world: World, material: Material) -> None:
    """A drain is obeyed under a quota, and then the run is given back: that takes no Secret."""
    world.up(a.worker_object())

    world.api.fail = beyond_the_quota
    with pytest.raises(Forbidden):
        claim(world, material)
    world.api.calls.clear()
    world.link.deliver(a.scheduled(6, payload=material.seal()))
    drain = world.link.deliver(Drain(worker_uid=a.WORKER_UID, pool_uid=a.POOL_UID, drained=True))
    with pytest.raises(Forbidden):
        world.settle()
    assert world.status()["drained"] is True
    assert drain in world.link.acked
    assert world.api.count("create", "secrets") == 1
    world.link.take()
    world._wake((a.NAMESPACE, a.WORKER_NAME))
    world.settle()
    answers = [each.reason for each in world.link.take() if isinstance(each, RunRejected)]
    assert set(answers) == {Rejection.DRAINING}


def test_a_claim_whose_answer_was_lost_keeps_its_secret(world: World, material: Material) -> None:
    """The patch was applied, its answer and the watch were lost: the retry must not replace the recorded Secret."""
    world.up(a.worker_object())
    real = world.api.merge_patch
    lost: list[bool] = []

    def cut_off(resource: Any, *args: Any, **more: Any) -> Any:  # noqa: ANN401 - passed on
        if resource.plural != "workers" or lost:
            return real(resource, *args, **more)
        lost.append(True)
        watchers, world.api.watchers[:] = world.api.watchers[:], []
        real(resource, *args, **more)
        world.api.watchers.extend(watchers)
        raise Unavailable("connection reset")

    world.api.merge_patch = cut_off  # type: ignore[method-assign]
    with pytest.raises(Unavailable):
        claim(world, material)
    for _ in range(3):
        world._wake((a.NAMESPACE, a.WORKER_NAME))
        with contextlib.suppress(Conflict):
            world.settle()
    secret = world.api.objects["secrets", a.NAMESPACE, a.POD_NAME]
    assert world.status()["run"]["secretUID"] == secret["metadata"]["uid"]


def test_a_rejection_removes_what_a_try_before_a_restart_left(world: World, material: Material) -> None:
    """The Secret of a claim that was never recorded is found by its name, not by memory."""
    world.up(a.worker_object())

    def crash(verb: str, plural: str, _name: str) -> None:
        if (verb, plural) == ("patch", "workers"):
            raise Unavailable("the process ends here")

    world.api.fail = crash
    with pytest.raises(Unavailable):
        claim(world, material)
    assert world.secrets()
    world.engine._memories.clear()
    world.api.fail = lambda *_: None
    world.api.put(WORKERS, a.worker_object(draining=True))
    world._wake((a.NAMESPACE, a.WORKER_NAME))
    world.settle()
    assert RunRejected in [type(each) for each in world.link.take()]
    assert world.secrets() == []


def test_a_message_for_a_worker_that_does_not_exist_is_answered_unknown(
    world: World, material: Material
) -> None:
    """So that the mothership forgets it; after a look at the API server, not at the cache."""
    link = world.up(a.worker_object())
    gone = "01HPS6K4BNB7BPHCDHDWFAMJNX"
    link.deliver(a.scheduled(payload=material.seal(), worker_uid="gone"), gone)
    world.settle()
    (answer,) = link.take()
    assert isinstance(answer, RunRejected)
    assert (answer.reason, answer.worker_uid) == (Rejection.UNKNOWN, "gone")
    assert ("get", "workers", f"{a.POOL}-{gone.lower()}") in world.api.calls


def test_a_ulid_that_came_back_does_not_answer_for_the_former_object(
    world: World, material: Material
) -> None:
    """The UID names the Worker, the ULID only its topic."""
    link = world.up(a.worker_object(uid="new-object"))
    link.deliver(a.scheduled(payload=material.seal()))
    world.settle()
    (answer,) = link.take()
    assert isinstance(answer, RunRejected)
    assert answer.reason is Rejection.UNKNOWN
    assert "run" not in world.status()


def test_a_message_for_another_clusters_pool_is_acknowledged_and_dropped(
    world: World, material: Material
) -> None:
    """Two clusters may hold one token."""
    link = world.up(a.worker_object())
    mid = link.deliver(a.scheduled(payload=material.seal(), pool_uid="other-cluster"))
    world.settle()
    assert (link.acked, link.take()) == ([mid], [])
    assert world.counters.snapshot()["messages_dropped_foreign_pool"] == 1


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (b"\xff{", "not_json"),
        (b'{"type":"x"}', "unknown_type"),
        (b'{"type":"drain"}', "invalid"),
        (b" " * 200000, "oversized"),
    ],
    ids=["not json", "unknown type", "invalid", "oversized"],
)
def test_a_bad_payload_is_counted_and_dropped(world: World, body: bytes, kind: str) -> None:
    """It never stops the agent."""
    link = world.up(a.worker_object())
    mid = link.deliver_bytes(body)
    world.settle()
    assert link.acked == [mid]
    assert world.counters.snapshot()[f"messages_dropped_{kind}"] == 1


def test_nothing_is_acknowledged_before_it_is_stored(world: World, material: Material) -> None:
    """While the API is away the letter waits, and is carried out once it is back."""
    link = world.up(a.worker_object())

    def away(*_: str) -> None:
        raise Unavailable("away")

    world.api.fail = away
    with pytest.raises(Unavailable):
        claim(world, material)
    assert link.acked == []
    world.api.fail = lambda *_: None
    world._wake((a.NAMESPACE, a.WORKER_NAME))
    world.settle()
    assert len(link.acked) == 1
    assert world.status()["run"]["id"] == a.RUN


def test_a_message_that_fails_does_not_keep_the_rest_from_going_on(world: World) -> None:
    """A terminating namespace refuses the claim's Secret; the deleted Worker is let go all the same."""
    link = world.up(a.worker_object(status={}, deleting=True))
    assert world.status()["registration"] == "Gone"

    def refuse(verb: str, plural: str, _name: str) -> None:
        if (verb, plural) == ("get", "workers"):
            raise Unavailable("away")

    world.api.fail = refuse
    world.api.put(WORKERS, a.worker_object(status={}, deleting=True, uid="second"))
    link.deliver(a.released())
    with pytest.raises(Unavailable):
        world.settle()
    assert world.status()["registration"] == "Gone"


# --- verdicts ---


def test_lost_is_recorded_only_after_a_live_look(world: World, material: Material) -> None:
    """The cache lost the Pod, the API server has it: no verdict."""
    world.up(a.worker_object())
    to_running(world, material)
    cache = world.caches["pods"]
    cache.found.clear()
    world._wake((a.NAMESPACE, a.WORKER_NAME))
    world.settle()
    assert world.status()["run"]["phase"] == "Running"
    assert ("get", "pods", a.POD_NAME) in world.api.calls


def test_a_pod_that_is_gone_makes_the_run_lost(world: World, material: Material) -> None:
    """Removed by force, finalizer and all."""
    link = world.up(a.worker_object())
    to_running(world, material)
    link.take()
    world.api.remove(PODS, a.POD_NAME)
    world.settle()
    (finished,) = link.take()
    assert isinstance(finished, RunFinished)
    assert (finished.outcome.result, finished.outcome.reason) == (Result.LOST, Reason.POD_DELETED)


def test_another_pod_of_the_same_name_is_not_the_first(world: World, material: Material) -> None:
    """The first UID wins; a ghost under the same name makes the attempt lost, never continued."""
    world.up(a.worker_object())
    to_running(world, material)
    world.caches["pods"].frozen = True
    world.api.remove(PODS, a.POD_NAME)
    world.api.put(PODS, a.pod_object(uid="ghost"))
    world.caches["pods"].frozen = False
    world.caches["pods"].found.clear()
    world._wake((a.NAMESPACE, a.WORKER_NAME))
    world.settle()
    run = world.status()["run"]
    assert (run["phase"], run["podUID"], run["outcome"]["result"]) == ("Finished", a.POD_UID, "lost")


def test_a_deleted_pod_stays_until_its_verdict_is_stored(world: World, material: Material) -> None:
    """Fence 3: kubectl delete pod marks it, the finalizer holds it, the verdict frees it."""
    world.up(a.worker_object())
    to_running(world, material)
    world.api.delete(PODS, a.NAMESPACE, a.POD_NAME)
    world.settle()
    assert world.finalizers() != []
    ended = (a.ended("launcher-grpc", 143), a.ended("worker", 143))
    world.api.put(PODS, a.pod_object(*ended, init=a.ended("init"), phase="Failed", deleting=True))
    world.settle()
    assert world.status()["run"]["outcome"]["reason"] == "PodDeleted"
    assert ("pods", a.NAMESPACE, a.POD_NAME) not in world.api.objects


def test_a_cancel_before_the_start_ends_the_attempt(world: World, material: Material) -> None:
    """The Pod's UID is in the verdict, so that the hook lets it go at once."""
    link = world.up(a.worker_object())
    claim(world, material)
    show_pod(world)
    link.take()
    link.deliver(a.canceled())
    world.settle()
    run = world.status()["run"]
    assert (run["phase"], run["outcome"]["result"], run["podUID"]) == ("Finished", "canceled", a.POD_UID)
    assert types(link.take()) == ["run_finished"]
    assert world.finalizers() == []


def test_a_cancel_of_a_running_run_is_dropped(world: World, material: Material) -> None:
    """The launcher hears of the stop."""
    link = world.up(a.worker_object())
    to_running(world, material)
    mid = link.deliver(a.canceled())
    world.settle()
    assert world.status()["run"]["phase"] == "Running"
    assert mid in link.acked


def test_a_run_whose_pod_the_api_refuses_fails_with_the_apis_text(world: World, material: Material) -> None:
    """After five seconds a dry run tells why there is no Pod."""
    world.up(a.worker_object())
    claim(world, material)
    world.pass_time(6)
    assert world.api.count("dry-run", "pods") == 1
    assert world.status()["run"]["phase"] == "Scheduled"

    def refuse(verb: str, _plural: str, _name: str) -> None:
        if verb == "dry-run":
            raise Forbidden('violates PodSecurity "restricted"', status=403)

    world.api.fail = refuse
    world.pass_time(10)
    outcome = world.status()["run"]["outcome"]
    assert (outcome["result"], outcome["reason"]) == ("failed", "PolicyDenied")
    assert "PodSecurity" in outcome["message"]
    assert ("Worker", "Warning", "RunPodRefused", outcome["message"]) in world.events


def test_dry_runs_become_rarer(world: World, material: Material) -> None:
    """A hook driver that is away for minutes costs a handful of calls."""
    world.up(a.worker_object())
    claim(world, material)
    world.pass_time(300)
    assert 4 <= world.api.count("dry-run", "pods") <= 12


def test_a_pod_that_does_not_come_is_asked_for_again(world: World, material: Material) -> None:
    """Metacontroller waits up to 1,000 seconds after failed calls; a change of the Worker makes it call at once."""
    world.up(a.worker_object())
    claim(world, material)
    world.pass_time(12)
    assert "podAwaitedAt" not in world.status()["run"]
    world.api.calls.clear()
    world.pass_time(300)
    assert world.status()["run"]["podAwaitedAt"]
    assert 4 <= world.api.count("patch", "workers") <= 8
    assert world.status()["run"]["phase"] == "Scheduled"


def test_a_claim_whose_secret_is_gone_and_that_never_started_is_closed(
    world: World, material: Material
) -> None:
    """Without the Secret no Pod ever starts; a reason that the mothership schedules the run again for."""
    world.up(a.worker_object())
    claim(world, material)
    world.api.remove(SECRETS, a.POD_NAME)
    world.pass_time(6)
    assert world.status()["run"]["outcome"]["reason"] == "Refused"


def test_a_secret_in_a_termination_message_does_not_reach_the_status(
    world: World, material: Material
) -> None:
    """Redaction at the boundary."""
    world.up(a.worker_object())
    to_running(world, material)
    leak = '{"result":"failed","reason":"NonZeroExit","message":"Bearer %s"}' % ("A" * 200)
    show_pod(
        world,
        a.ended("launcher-grpc", message=leak),
        a.ended("worker", 1),
        init=a.ended("init"),
        phase="Failed",
    )
    assert "AAAA" not in str(world.status())
    assert "AAAA" not in str(world.events)


def test_failed_pods_are_kept_up_to_the_pools_limit(world: World, material: Material) -> None:
    """Verdict and kept Pods are one patch; the oldest goes when the pool has too many."""
    link = world.up(a.worker_object(), failedPodsHistoryLimit=1)
    to_running(world, material)
    finish(world, code=1)
    assert world.status()["keptPods"] == [a.POD_NAME]
    link.deliver(a.released())
    world.settle()
    claimed = a.scheduled(6, run=a.OTHER_RUN, payload=material.seal())
    link.deliver(claimed)
    world.settle()
    name = f"{a.OTHER_RUN.lower()}-preparing-2"
    later = {**a.ended("worker", 1)}
    later["state"]["terminated"]["finishedAt"] = "2026-02-01T00:00:00Z"
    world.api.put(
        PODS,
        a.pod_object(
            a.ended("launcher-grpc"),
            later,
            init=a.ended("init"),
            phase="Failed",
            name=name,
            uid="later",
            run=a.OTHER_RUN,
            assignment=6,
        ),
    )
    world.settle()
    assert world.status()["keptPods"] == [name]


def test_a_kept_pod_that_somebody_deletes_is_kept_no_longer(world: World, material: Material) -> None:
    """The list names what is there."""
    world.up(a.worker_object())
    to_running(world, material)
    finish(world, code=1)
    world.link.deliver(a.released())
    world.settle()
    world.api.delete(PODS, a.NAMESPACE, a.POD_NAME)
    world.settle()
    assert world.status()["keptPods"] == []


# --- registration ---


def test_a_worker_is_registered_once_it_is_managed(world: World) -> None:
    """One patch, when the mothership has answered."""
    link = world.up(a.worker_object(status={}, managed=False))
    assert link.take() == []
    world.api.put(WORKERS, a.worker_object(status={}))
    world.settle()
    (register,) = link.take()
    assert isinstance(register, Register)
    assert (register.worker_uid, register.metadata["k8s-name"]) == (a.WORKER_UID, a.WORKER_NAME)
    assert world.api.count("patch", "workers") == 0
    link.deliver(Registered(worker_uid=a.WORKER_UID, pool_uid=a.POOL_UID, drained=False, assignment=0))
    world.settle()
    assert world.status() == {
        "registration": "Registered",
        "registered": True,
        "state": "IDLE",
        "drained": False,
        "conditions": [
            {
                "type": "Ready",
                "status": "True",
                "reason": "Registered",
                "message": "Takes runs",
                "lastTransitionTime": "2026-06-01T00:00:00Z",
            }
        ],
    }
    assert world.api.count("patch", "workers") == 1


def test_no_more_workers_are_registered_than_a_live_read_of_the_pool_wants(world: World) -> None:
    """Three Workers in a pool of two: the youngest waits, and the pool is read live."""
    ulids = [f"01HPS6K4BNB7BPHCDHDWFAMJN{letter}" for letter in "WXY"]
    workers = [
        a.worker_object(status={}, ulid=ulid, uid=f"uid-{number}", sequence=number)
        for number, ulid in enumerate(ulids)
    ]
    world.up(poolSize=2)
    for worker in reversed(workers):
        world.api.put(WORKERS, worker)
    world.settle()
    sent = {each.worker_uid for each in world.link.take() if isinstance(each, Register)}
    assert len(sent) == 2
    world.pass_time(120)
    assert {each.worker_uid for each in world.link.take() if isinstance(each, Register)} == sent
    assert world.api.count("get", "workerpools") >= 1


def test_an_old_cached_pool_does_not_register_too_many(world: World) -> None:
    """The cache says 5, the API server says 0."""
    world.up(poolSize=5)
    world.caches["workerpools"].frozen = True
    world.api.put(WORKERPOOLS, a.pool_object(poolSize=0))
    world.api.put(WORKERS, a.worker_object(status={}))
    world.settle()
    assert world.link.take() == []


def test_a_deleted_idle_worker_is_deregistered_then_let_go(world: World) -> None:
    """Deregistering, unregister, unregistered, Gone."""
    link = world.up(a.worker_object())
    world.api.put(WORKERS, a.worker_object(deleting=True))
    world.settle()
    assert world.status()["registration"] == "Deregistering"
    (message,) = link.take()
    assert isinstance(message, Unregister)
    link.deliver(Unregistered(worker_uid=a.WORKER_UID, pool_uid=a.POOL_UID))
    world.settle()
    assert world.status()["registration"] == "Gone"


def test_a_dead_mothership_holds_a_deleted_worker_for_a_minute_at_most(world: World) -> None:
    """With an Event that says so."""
    world.up(a.worker_object())
    world.link.lose()
    world.api.put(WORKERS, a.worker_object(deleting=True))
    world.settle()
    world.pass_time(DEFAULTS.deregistration - 2)
    assert world.status()["registration"] == "Deregistering"
    world.pass_time(4)
    assert world.status()["registration"] == "Gone"
    told = [event[2] for event in world.events if event[0] == "Worker"]
    assert told == ["DeletionWaits", "DeregistrationUnconfirmed"]


def test_a_deleted_busy_worker_is_let_go_only_after_its_run(world: World, material: Material) -> None:
    """Kubectl delete worker never kills a run."""
    link = world.up(a.worker_object())
    to_running(world, material)
    deleted = world.worker()
    deleted["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    world.api.put(WORKERS, deleted)
    world.settle()
    world.pass_time(300)
    assert world.status()["registration"] == "Registered"
    finish(world)
    link.deliver(a.released())
    world.settle()
    assert world.status()["registration"] == "Deregistering"


def test_a_verdict_nobody_takes_holds_a_deleted_worker_for_a_minute(world: World, material: Material) -> None:
    """A dead mothership never leaves a finalizer behind for ever."""
    world.up(a.worker_object())
    to_running(world, material)
    deleted = world.worker()
    deleted["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    world.api.put(WORKERS, deleted)
    finish(world)
    world.link.lose()
    world.pass_time(58)
    assert world.status()["run"]["phase"] == "Finished"
    world.pass_time(70)
    assert world.status()["registration"] == "Gone"


def test_a_worker_that_the_mothership_forgot_is_registered_again(world: World) -> None:
    """Restored from a backup, for example."""
    link = world.up(a.worker_object())
    link.deliver(Unregistered(worker_uid=a.WORKER_UID, pool_uid=a.POOL_UID))
    world.settle()
    assert [type(each) for each in link.take()] == [Register]


def test_draining_is_stored_and_shown(world: World) -> None:
    """Repeated until worker_state shows it: a repeat is shown again."""
    link = world.up(a.worker_object())
    for _ in range(2):
        link.deliver(Drain(worker_uid=a.WORKER_UID, pool_uid=a.POOL_UID, drained=True))
        world.settle()
        (state,) = link.take()
        assert isinstance(state, WorkerState)
        assert state.drained
    assert (world.status()["drained"], world.status()["state"]) == (True, "DRAINED")
    assert world.api.count("patch", "workers") == 1
    link.deliver(Drain(worker_uid=a.WORKER_UID, pool_uid=a.POOL_UID, drained=False))
    world.settle()
    assert world.status()["state"] == "IDLE"


# --- recovery ---


@pytest.mark.parametrize(
    ("phase", "wanted"),
    [
        ("Scheduled", [RunAccepted]),
        ("Starting", [RunAccepted, RunPod]),
        ("Running", [RunAccepted, RunStarted]),
        ("Finished", [RunFinished]),
    ],
)
def test_a_new_connection_is_told_everything_that_holds(world: World, phase: str, wanted: list[type]) -> None:
    """What went out through the old one may be lost."""
    containers = {
        "Running": (a.running("launcher-grpc"), a.running("worker")),
        "Finished": (a.ended("launcher-grpc"), a.ended("worker")),
    }.get(phase, ())
    if phase != "Scheduled":
        world.api.put(PODS, a.pod_object(*containers, init=a.ended("init") if containers else None))
    link = world.up(a.worker_object(status=a.busy_status(phase)))
    link.lose()
    link.connect()
    world.settle()
    told = [type(each) for each in link.take(a.WORKER_ULID)]
    assert [kind for kind in told if kind is not WorkerState] == wanted
    assert WorkerState in told


def test_the_verdict_is_repeated_until_it_is_released(world: World, material: Material) -> None:
    """However long the mothership is away."""
    link = world.up(a.worker_object())
    to_running(world, material)
    finish(world)
    link.take()
    world.pass_time(130)
    assert types(link.take()).count("run_finished") >= 4


def test_a_run_in_flight_survives_a_status_it_cannot_read(world: World) -> None:
    """A newer operator wrote the status: this one leaves Worker, Pod and Secret alone."""
    status = a.busy_status("Running") | {"run": {"phase": "Teleporting"}}
    world.api.put(PODS, a.pod_object(phase="Failed"))
    link = world.up(a.worker_object(status=status, deleting=True))
    link.deliver(a.canceled())
    link.deliver(a.released())
    world.pass_time(120)
    assert world.status() == status
    assert world.finalizers() != []
    assert world.api.count("delete", "secrets") == 0


def test_the_pod_of_a_worker_removed_by_force_is_let_go_once_it_ended(world: World) -> None:
    """No finalizer stays behind, no ghost finds its Secret."""
    world.up()
    world.api.put(PODS, a.pod_object(a.running("worker")))
    world.settle()
    assert world.finalizers() != []
    world.api.put(PODS, a.pod_object(a.ended("worker"), phase="Succeeded"))
    world.settle()
    assert world.finalizers() == []


def test_nothing_is_claimed_while_the_crds_would_prune_the_ledger(world: World, material: Material) -> None:
    """The message waits; the broker is told after its patience."""
    world.up(a.worker_object())
    world.schema_ok = False
    claim(world, material)
    assert world.api.calls == []
    world.schema_ok = True
    world.pass_time(6)
    assert world.status()["run"]["id"] == a.RUN


def test_an_idle_pool_makes_no_calls(world: World) -> None:
    """Ten minutes of nothing: reads of the pool's Secret alone, no write, no message."""
    link = world.up(a.worker_object())
    world.pass_time(600)
    assert {call[:2] for call in world.api.calls} <= {("get", "secrets")}
    assert link.take() == []


def test_a_conflict_in_every_write_loses_nothing(world: World, material: Material) -> None:
    """Each first write of a Worker conflicts; the run gets to its end all the same."""
    seen: set[str] = set()

    def flaky(verb: str, plural: str, name: str) -> None:
        key = f"{name}:{world.status().get('run', {}).get('phase')}:{world.status().get('assignment')}"
        if (verb, plural) == ("patch", "workers") and key not in seen:
            seen.add(key)
            raise Conflict("modified", status=409)

    link = world.up(a.worker_object())
    world.api.fail = flaky
    to_running(world, material)
    finish(world)
    link.deliver(a.released())
    world.settle()
    assert "run" not in world.status()
    assert len(seen) == 5
