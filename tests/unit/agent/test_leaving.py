"""What becomes of Workers that are deleted, whose pool object is gone, or whose namespace goes: and what is told of it."""

from typing import Any

import pytest

from app.agent.decisions.graces import DEFAULTS
from app.cluster.errors import Forbidden, Unavailable
from app.cluster.resources import NAMESPACES, WORKERPOOLS, WORKERS
from protocol.messages import (
    Inventory,
    InventoryRequested,
    Register,
    RunFinished,
    RunRejected,
    RunReleased,
    Unregister,
    Unregistered,
)
from protocol.runs import Reason, Rejection
from tests.unit.agent import builders as a
from tests.unit.agent.conftest import Material
from tests.unit.agent.steps import claim, finish, show_pod, to_running
from tests.unit.agent.world import World

NEW_UID = "new-pool-uid"
NEW_ULID = "01HPS6K4BNB7BPHCDHDWFAMJNW"
KEY = (a.NAMESPACE, a.POOL)


def told(world: World, reason: str, kind: str = "Worker") -> list[str]:
    """Return the texts of the Events of one reason."""
    return [event[3] for event in world.events if event[0] == kind and event[2] == reason]


def delete_worker(world: World) -> None:
    """Mark the Worker deleted, as kubectl does; its finalizer holds it."""
    found = world.worker()
    found["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    world.api.put(WORKERS, found)
    world.settle()


def remove_pool(world: World) -> None:
    """Take the pool away and leave its Workers, as --cascade=orphan does."""
    world.api.remove(WORKERPOOLS, a.POOL)
    world.caches["workerpools"].found.clear()
    world.pools_woken.add(KEY)
    world.settle()


def recreate_pool(world: World) -> None:
    """Make a pool of the same name, with the same credentials, and let it connect."""
    pool = a.pool_object()
    pool["metadata"]["uid"] = NEW_UID
    world.api.put(WORKERPOOLS, pool)
    world.settle()
    world.link.connect()
    world.settle()


# --- deleted Workers ---


def test_a_deleted_busy_worker_says_once_what_it_waits_for(world: World, material: Material) -> None:
    """However often it is looked at."""
    world.up(a.worker_object())
    to_running(world, material)
    delete_worker(world)
    world.pass_time(120)
    assert told(world, "DeletionWaits") == [
        f"The worker is deleted and waits: run {a.RUN} is in flight and goes on to its end"
    ]


def test_a_deleted_worker_that_is_on_its_way_says_nothing(world: World, material: Material) -> None:
    """Verdict and farewell take milliseconds while the mothership is there."""
    link = world.up(a.worker_object())
    to_running(world, material)
    finish(world)
    delete_worker(world)
    link.deliver(a.released())
    world.settle()
    link.deliver(Unregistered(worker_uid=a.WORKER_UID, pool_uid=a.POOL_UID))
    world.settle()
    assert world.status()["registration"] == "Gone"
    assert told(world, "DeletionWaits") == []


def test_a_deleted_worker_says_when_the_mothership_is_away(world: World, material: Material) -> None:
    """First for the verdict, then for the farewell."""
    world.up(a.worker_object())
    to_running(world, material)
    delete_worker(world)
    world.link.lose()
    finish(world)
    world.pass_time(DEFAULTS.verdict_report + DEFAULTS.deregistration + 10)
    assert world.status()["registration"] == "Gone"
    assert [text.split(": ", 1)[1] for text in told(world, "DeletionWaits")] == [
        f"run {a.RUN} is in flight and goes on to its end",
        f"the mothership can't be told the verdict on run {a.RUN}",
        "the mothership can't be told that this worker goes away",
    ]


def test_a_run_that_cannot_be_read_holds_its_worker_and_says_so(world: World) -> None:
    """An older operator meets a newer one's record: it destroys nothing."""
    world.up(a.worker_object(status={"registration": "Registered", "run": {"phase": "Dreaming"}}))
    delete_worker(world)
    world.pass_time(300)
    assert world.status()["registration"] == "Registered"
    assert [text.split(": ", 1)[1] for text in told(world, "DeletionWaits")] == [
        "its recorded run is one that this version of the operator can't read"
    ]


# --- orphans ---


def test_an_idle_orphan_leaves_the_mothership_and_stays(world: World) -> None:
    """The Event says how to get rid of it."""
    link = world.up(a.worker_object())
    remove_pool(world)
    assert [type(each) for each in link.take()] == [Unregister]
    link.deliver(Unregistered(worker_uid=a.WORKER_UID, pool_uid=a.POOL_UID))
    world.settle()
    assert world.status()["registration"] == "Gone"
    (text,) = told(world, "WorkerOrphaned")
    assert f"kubectl delete worker {a.WORKER_NAME} -n {a.NAMESPACE}" in text
    world.pass_time(10)
    world.pools_woken.add(KEY)
    world.settle()
    assert link.stopped, "nobody is left who has something to say"


def test_an_orphan_ends_its_run_first(world: World, material: Material) -> None:
    """The session outlives its pool for it."""
    link = world.up(a.worker_object())
    to_running(world, material)
    remove_pool(world)
    world.pass_time(30)
    assert (world.status()["run"]["phase"], link.stopped) == ("Running", False)
    link.take()
    finish(world)
    assert [type(each) for each in link.take()] == [RunFinished]
    link.deliver(a.released())
    world.settle()
    assert [type(each) for each in link.take()] == [Unregister]


def test_a_new_pool_of_the_name_carries_the_orphans_words(world: World, material: Material) -> None:
    """They name the pool object that the orphan registered for: the mothership knows it by that one alone."""
    world.up(a.worker_object())
    to_running(world, material)
    remove_pool(world)
    recreate_pool(world)
    assert len(world.links) == 2
    world.link.take()
    finish(world)
    (finished,) = world.link.take()
    assert isinstance(finished, RunFinished)
    assert finished.pool_uid == a.POOL_UID
    world.link.deliver(a.released())
    world.settle()
    assert "run" not in world.status()
    assert [(type(each), each.pool_uid) for each in world.link.take()] == [(Unregister, a.POOL_UID)]


def test_a_new_pool_registers_its_own_workers_only(world: World) -> None:
    """And says whose the others are, and how to delete them."""
    world.up(a.worker_object(status={"registration": "Pending"}, owner="old-pool-uid"))
    assert world.status()["registration"] == "Gone"
    world.api.put(WORKERS, a.worker_object(ulid=NEW_ULID, uid="new", sequence=2, status={}))
    world.settle()
    registered = [each for each in world.link.take() if isinstance(each, Register)]
    assert [each.worker_uid for each in registered] == ["new"]
    world.pass_time(700)
    world.pools.reconcile(KEY)
    (text,) = set(told(world, "WorkerOrphaned", "WorkerPool"))
    assert f"kubectl delete workers -n {a.NAMESPACE} -l controller-uid=old-pool-uid" in text


def test_an_orphan_takes_nobodys_place(world: World) -> None:
    """Its run may take an hour, and it claims nothing more: the new pool has its workers meanwhile."""
    world.up(a.worker_object(owner="old-pool-uid", status=a.busy_status("Running")))
    world.api.put(WORKERS, a.worker_object(ulid=NEW_ULID, uid="new", sequence=2, status={}))
    world.settle()
    registered = [each for each in world.link.take() if isinstance(each, Register)]
    assert [each.worker_uid for each in registered] == ["new"]


def test_an_orphan_claims_nothing(world: World, material: Material) -> None:
    """Its pool's settings are not its own any more."""
    world.up()
    # Before the agent has had a look at it at all.
    status = {"registration": "Registered", "assignment": 4}
    world.api.put(WORKERS, a.worker_object(owner="old-pool-uid", status=status))
    world.link.deliver(a.scheduled(pool_uid="old-pool-uid", payload=material.seal()))
    world.settle()
    (rejected,) = [each for each in world.link.take() if isinstance(each, RunRejected)]
    assert rejected.reason is Rejection.DRAINING
    assert world.secrets() == []


def test_an_orphan_is_left_out_of_the_new_pools_inventory(world: World) -> None:
    """It is another pool object's worker: the mothership would call it a stranger."""
    world.up(a.worker_object(owner="old-pool-uid"))
    world.time += 5
    world.link.deliver(InventoryRequested(pool_uid=a.POOL_UID), a.POOL_ULID)
    world.settle()
    (inventory,) = [each for each in world.link.take() if isinstance(each, Inventory)]
    assert inventory.workers == ()


def test_messages_for_other_pool_objects_are_still_dropped(world: World, material: Material) -> None:
    """Another cluster may hold the same token."""
    world.up(a.worker_object())
    to_running(world, material)
    finish(world)
    world.link.deliver(RunReleased(worker_uid=a.WORKER_UID, pool_uid="elsewhere", run=a.RUN, sequence=2))
    world.settle()
    assert world.status()["run"]["phase"] == "Finished"
    assert world.counters.snapshot()["messages_dropped_foreign_pool"] == 1


def test_a_cache_that_lags_makes_no_orphan(world: World) -> None:
    """Only the API server's own word does: a Worker may be seen before its pool is."""
    world.up()
    shown = world.caches["workerpools"]
    stored = dict(shown.found)
    shown.found.clear()
    shown.frozen = True
    world.api.put(WORKERS, a.worker_object(status={}))
    world.settle()
    assert told(world, "WorkerOrphaned") == []
    assert world.status().get("registration") != "Gone"
    shown.found.update(stored)


def test_an_api_that_is_away_makes_no_orphan(world: World) -> None:
    """An error says nothing about the pool."""
    world.up(a.worker_object())

    def fail(verb: str, plural: str, _name: str) -> None:
        if (verb, plural) == ("get", "workerpools"):
            raise Unavailable("away")

    world.api.fail = fail
    world.caches["workerpools"].found.clear()
    world._wake((a.NAMESPACE, a.WORKER_NAME))
    with pytest.raises(Unavailable):
        world.settle()
    assert told(world, "WorkerOrphaned") == []
    assert world.status()["registration"] == "Registered"


# --- deleted pools ---


def test_a_deleted_pool_says_whose_runs_it_waits_for(world: World, material: Material) -> None:
    """Once, and again every ten minutes."""
    world.up(a.worker_object())
    to_running(world, material)
    pool = world.api.objects["workerpools", a.NAMESPACE, a.POOL]
    pool["metadata"] |= {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["x"]}
    world.api.put(WORKERPOOLS, pool)
    world.settle()
    expected = f"The pool is deleted and waits for runs in flight on {a.WORKER_NAME} (run {a.RUN})"
    assert told(world, "DeletionWaits", "WorkerPool") == [expected]
    world.time += 601
    world.pools.reconcile(KEY)
    assert told(world, "DeletionWaits", "WorkerPool") == [expected] * 2


# --- deleted namespaces ---


def namespace(**metadata: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return the pool's namespace."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": a.NAMESPACE, **metadata}}


def delete_pod(world: World) -> None:
    """Have the Pod deleted and its containers ended by that."""
    show_pod(
        world,
        a.ended("launcher-grpc", 143),
        a.ended("worker", 143),
        init=a.ended("init"),
        deleting=True,
        phase="Failed",
    )


def test_a_run_that_ends_with_its_namespace_says_so(world: World, material: Material) -> None:
    """PodDeleted would be true, and send people looking for who it was."""
    world.up(a.worker_object())
    world.api.put(NAMESPACES, namespace(deletionTimestamp="2026-01-01T00:00:00Z"))
    to_running(world, material)
    delete_pod(world)
    outcome = world.status()["run"]["outcome"]
    assert outcome["reason"] == Reason.NAMESPACE_DELETED
    assert outcome["message"].startswith(f"namespace {a.NAMESPACE} is being deleted: ")


def test_a_pod_deleted_in_a_living_namespace_is_just_that(world: World, material: Material) -> None:
    """Also where the operator may not read namespaces."""
    world.up(a.worker_object())
    world.api.put(NAMESPACES, namespace())
    to_running(world, material)
    delete_pod(world)
    assert world.status()["run"]["outcome"]["reason"] == Reason.POD_DELETED


def test_without_the_right_to_read_namespaces_the_verdict_stays(world: World, material: Material) -> None:
    """An older role never holds a verdict up."""
    world.up(a.worker_object())
    to_running(world, material)

    def forbid(verb: str, plural: str, _name: str) -> None:
        if (verb, plural) == ("get", "namespaces"):
            raise Forbidden("no", status=403)

    world.api.fail = forbid
    delete_pod(world)
    assert world.status()["run"]["outcome"]["reason"] == Reason.POD_DELETED


def test_a_run_that_ends_well_asks_nobody(world: World, material: Material) -> None:
    """One more call for each run would be dear."""
    world.up(a.worker_object())
    claim(world, material)
    show_pod(world)
    finish(world)
    assert world.api.count("get", "namespaces") == 0
