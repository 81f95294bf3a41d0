"""Which finished Pods a pool keeps: numbers, times, and both; on paper and in a world with Workers."""

import datetime as dt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.agent.decisions import history
from app.agent.decisions.history import KeptPod, Rule, Rules
from app.agent.keeping import LONGEST_LOOK
from app.cluster.resources import PODS, WORKERPOOLS, WORKERS
from protocol.runs import Outcome, Reason, Result
from tests.unit.agent import builders as a
from tests.unit.agent import kubelet as k
from tests.unit.agent.conftest import Material
from tests.unit.agent.steps import claim, show_pod
from tests.unit.agent.world import World

NOW = 1000.0
KEPT = st.lists(
    st.builds(
        KeptPod,
        st.sampled_from("ab"),
        st.text("xyz", min_size=1),
        st.booleans(),
        st.integers(0, int(NOW) + 5).map(float),
        st.text("0123", max_size=2),
    ),
    unique_by=lambda pod: (pod.worker, pod.name),
)
LIMITS = st.one_of(st.none(), st.integers(0, 4))
TIMES = st.one_of(st.none(), st.floats(1.0, 2 * NOW))
RULES = st.builds(Rules, st.builds(Rule, LIMITS, TIMES), st.builds(Rule, LIMITS, TIMES))


def only(pods: list[KeptPod], *, succeeded: bool) -> list[KeptPod]:
    """Return the Pods of one kind."""
    return [pod for pod in pods if pod.succeeded is succeeded]


def is_young(pod: KeptPod, rule: Rule) -> bool:
    """Return whether a Pod is younger than its rule's time."""
    return rule.ttl is None or NOW - pod.created < rule.ttl


@given(KEPT, st.integers(0, 4), st.integers(0, 4))
def test_history_keeps_the_newest_of_each_kind_up_to_its_limit(
    pods: list[KeptPod], failed: int, successful: int
) -> None:
    """The oldest go, and trimming what was kept changes nothing."""
    rules = Rules(successful=Rule(successful), failed=Rule(failed))
    kept = history.plan(pods, rules, NOW)
    for succeeded, limit in ((False, failed), (True, successful)):
        mine = only(pods, succeeded=succeeded)
        staying = [pod for pod in mine if (pod.worker, pod.name) in kept]
        going = [pod for pod in mine if (pod.worker, pod.name) not in kept]
        assert len(staying) == min(limit, len(mine))
        assert all(old.finished_at <= new.finished_at for old in going for new in staying)
    again = [pod for pod in pods if (pod.worker, pod.name) in kept]
    assert history.plan(again, rules, NOW) == kept


@given(KEPT, RULES)
def test_either_rule_lets_a_pod_go_and_nothing_else_does(pods: list[KeptPod], rules: Rules) -> None:
    """Never more than the limit, never one too old, never a younger one before an older one, none for no reason."""
    kept = history.plan(pods, rules, NOW)
    for succeeded in (False, True):
        rule = rules.successful if succeeded else rules.failed
        young = [pod for pod in only(pods, succeeded=succeeded) if is_young(pod, rule)]
        staying = [pod for pod in young if (pod.worker, pod.name) in kept]
        going = [pod for pod in young if (pod.worker, pod.name) not in kept]
        limit = len(young) if rule.limit is None else rule.limit
        assert len(staying) == min(limit, len(young))
        assert all(old.finished_at <= new.finished_at for old in going for new in staying)
    by_key = {(pod.worker, pod.name): pod for pod in pods}
    assert all(is_young(by_key[key], rules.of(by_key[key])) for key in kept)


@given(KEPT, RULES)
def test_a_plan_says_when_its_next_pod_is_too_old(pods: list[KeptPod], rules: Rules) -> None:
    """Before that moment nothing changes; at it, the Pod goes."""
    kept = history.plan(pods, rules, NOW)
    again = [pod for pod in pods if (pod.worker, pod.name) in kept]
    ends = [left for left in kept.values() if left is not None]
    assert all(left > 0 for left in ends)
    if not ends:
        assert history.plan(again, rules, NOW + 1e9).keys() == kept.keys()
        return
    assert history.plan(again, rules, NOW + min(ends) / 2).keys() == kept.keys()
    assert len(history.plan(again, rules, NOW + min(ends) + 1e-6)) < len(kept)


def test_of_a_run_that_failed_again_and_again_the_newest_pod_stays() -> None:
    """Eleven attempts of one run are no history; a run's good Pod and other runs' are not touched."""
    attempts = [KeptPod("ab"[number % 2], f"p{number}", False, 0.0, f"{number}", "r1") for number in range(5)]
    others = [KeptPod("a", "good", True, 0.0, "9", "r1"), KeptPod("a", "other", False, 0.0, "0", "r2")]
    kept = history.plan([*attempts, *others], Rules(successful=Rule(None), failed=Rule(2)), NOW)
    assert set(kept) == {("a", "p4"), ("a", "good"), ("a", "other")}
    unnamed = [KeptPod("a", f"p{number}", False, 0.0, f"{number}") for number in range(3)]
    assert len(history.plan(unnamed, Rules(successful=Rule(0), failed=Rule(5)), NOW)) == 3


def test_a_worker_keeps_a_thousand_names_at_most() -> None:
    """The oldest of a Worker's own go; another Worker's don't count."""
    pods = [KeptPod("a", f"p{number:04}", True, 0.0, f"{number:04}") for number in range(1002)]
    pods += [KeptPod("b", "p", True, 0.0, "")]
    kept = history.plan(pods, Rules(successful=Rule(None), failed=Rule(5)), NOW)
    assert len(kept) == history.MOST_NAMES + 1
    assert ("a", "p0001") not in kept
    assert ("a", "p0002") in kept


@pytest.mark.parametrize(
    ("spec", "successful", "failed"),
    [
        ({}, Rule(0), Rule(5)),
        ({"keepSuccessfulPods": False}, Rule(0), Rule(5)),
        ({"keepSuccessfulPods": True}, Rule(None), Rule(5)),
        ({"keepSuccessfulPods": True, "successfulPodsHistoryLimit": 3}, Rule(3), Rule(5)),
        ({"keepSuccessfulPods": True, "successfulPodsHistoryLimit": 0}, Rule(0), Rule(5)),
        ({"keepSuccessfulPods": True, "successfulPodsHistoryTTL": "24h"}, Rule(None, 86400.0), Rule(5)),
        ({"keepSuccessfulPods": True, "successfulPodsHistoryTTL": "soon"}, Rule(None), Rule(5)),
        ({"successfulPodsHistoryTTL": "1h30m"}, Rule(None, 5400.0), Rule(5)),
        ({"successfulPodsHistoryLimit": 2, "successfulPodsHistoryTTL": "1m"}, Rule(2, 60.0), Rule(5)),
        ({"failedPodsHistoryLimit": 0}, Rule(0), Rule(0)),
        ({"failedPodsHistoryTTL": "90s"}, Rule(0), Rule(None, 90.0)),
        ({"failedPodsHistoryLimit": 7, "failedPodsHistoryTTL": "90s"}, Rule(0), Rule(7, 90.0)),
        ({"failedPodsHistoryLimit": 50}, Rule(0), Rule(50)),
        ({"failedPodsHistoryTTL": "-1h"}, Rule(0), Rule(5)),
        ({"failedPodsHistoryTTL": "0s", "failedPodsHistoryLimit": 1}, Rule(0), Rule(1)),
        (
            {
                "successfulPodsHistoryLimit": None,
                "failedPodsHistoryLimit": None,
                "successfulPodsHistoryTTL": None,
                "failedPodsHistoryTTL": None,
                "keepSuccessfulPods": None,
            },
            Rule(0),
            Rule(5),
        ),
    ],
)
def test_defaults_and_precedence_are_as_documented(spec: a.Json, successful: Rule, failed: Rule) -> None:
    """A time without a number bounds no number; what is said of a kind beats `keepSuccessfulPods`."""
    rules = a.pool(**spec).history
    assert rules == Rules(successful=successful, failed=failed)


def test_a_pod_with_a_running_sidecar_is_not_kept() -> None:
    """It would cost its requests for ever."""
    outcome = Outcome(Result.FAILED, Reason.NON_ZERO_EXIT)
    done = (a.ended("launcher-grpc"), a.ended("worker", 1))
    assert history.keepable(a.pod(*done), outcome)
    assert not history.keepable(a.pod(*done, a.running("redis")), outcome)
    assert not history.keepable(a.pod(*done, deleting=True), outcome)
    assert not history.keepable(a.pod(*done), Outcome(Result.CANCELED, Reason.CANCELED))


def test_a_pod_whose_init_container_failed_is_kept() -> None:
    """The kubelet tells of the container's end first: judged at once, the Pod is still Pending, and nothing of it runs."""
    outcome = Outcome(Result.FAILED, Reason.INIT_FAILED)
    failed = k.pod(*k.NOT_BEGUN, inits=(k.ended("init", 16),))
    assert failed.phase == "Pending"
    assert history.keepable(failed, outcome)
    assert failed.finished_at == "2026-01-01T00:01:00Z"
    assert not history.keepable(k.pod(*k.NOT_BEGUN, inits=(k.INIT_DONE,)), outcome)


def test_a_pod_whose_init_container_failed_is_not_kept_while_a_sidecar_runs() -> None:
    """A native sidecar may stand before the init container; its own end is no failure of the run."""
    outcome = Outcome(Result.FAILED, Reason.INIT_FAILED)
    spec = k.spec(sidecars=(k.sidecar(),))
    failed = k.ended("init", 16)
    assert not history.keepable(k.pod(*k.NOT_BEGUN, inits=(failed, k.running("redis")), of=spec), outcome)
    assert history.keepable(k.pod(*k.NOT_BEGUN, inits=(failed, k.ended("redis", 143)), of=spec), outcome)
    assert not history.keepable(
        k.pod(*k.NOT_BEGUN, inits=(k.INIT_DONE, k.ended("redis", 1)), of=spec), outcome
    )


def test_a_pod_that_no_node_took_is_not_kept() -> None:
    """It has no container that ended; kept, it would wait for a node for ever and hold up the pool's deletion."""
    assert not history.keepable(a.pod(), Outcome(Result.FAILED, Reason.UNSCHEDULABLE))


# --- in a world with Workers ---

ULIDS = [f"01HPS6K4BNB7BPHCDHDWFAMJN{letter}" for letter in "WXY"]
CREATED = dt.datetime(2026, 1, 1, 0, 0, 5, tzinfo=dt.UTC)


def keep(world: World, worker: int, name: str, minute: int, *, code: int = 1, run: str = "") -> None:
    """Have a Worker keep one more Pod: it ended in that minute, and well if its code is 0; by default of its own run."""
    done = a.ended("worker", code)
    done["state"]["terminated"]["finishedAt"] = f"2026-01-01T00:{minute:02}:00Z"
    world.api.put(
        PODS,
        a.pod_object(
            a.ended("launcher-grpc"),
            done,
            init=a.ended("init"),
            phase="Failed" if code else "Succeeded",
            name=name,
            run=run or f"run-of-{name}",
            uid=f"uid-of-{name}",
            ulid=ULIDS[worker],
            assignment=1,
            guarded=False,
        ),
    )
    held = world.api.objects.get(("workers", a.NAMESPACE, f"{a.POOL}-{ULIDS[worker].lower()}"))
    status = held["status"] if held else a.worker_object()["status"]
    names = [*status.get("keptPods", []), name]
    world.api.put(
        WORKERS,
        a.worker_object(
            ulid=ULIDS[worker],
            uid=f"uid-{worker}",
            sequence=worker + 1,
            status={**status, "keptPods": names},
        ),
    )


def kept_by(world: World) -> list[list[str]]:
    """Return the names that each Worker keeps."""
    return [world.worker(ulid).get("status", {}).get("keptPods", []) for ulid in ULIDS]


def woken_by(world: World, **spec: object) -> set[str]:
    """Return the Workers that a look at the changed pool wakes, before any of them is worked on."""
    world.woken.clear()
    world.api.put(WORKERPOOLS, a.pool_object(**spec))
    world.pools.reconcile((a.NAMESPACE, a.POOL))
    return {name for _, name in world.woken}


def up_with_kept(world: World, **spec: object) -> None:
    """Make a pool with three Workers that keep two failed Pods each; the last minutes are Worker 0's."""
    world.date = CREATED + dt.timedelta(minutes=10)
    world.up(poolSize=3, **spec)
    for worker, names in enumerate((("a5", "a6"), ("b3", "b4"), ("c1", "c2"))):
        for name in names:
            keep(world, worker, name, int(name[1]))
    world.settle()


def test_lowering_a_limit_trims_at_once_over_the_whole_pool(world: World) -> None:
    """The newest stay, whoever keeps them; nobody has to wait for the next run."""
    up_with_kept(world, failedPodsHistoryLimit=6)
    assert kept_by(world) == [["a5", "a6"], ["b3", "b4"], ["c1", "c2"]]
    world.api.put(WORKERPOOLS, a.pool_object(poolSize=3, failedPodsHistoryLimit=3))
    world.settle()
    assert kept_by(world) == [["a5", "a6"], ["b4"], []]
    world.api.put(WORKERPOOLS, a.pool_object(poolSize=3, failedPodsHistoryLimit=0))
    world.settle()
    assert kept_by(world) == [[], [], []]


def test_a_pool_that_changes_otherwise_wakes_no_worker_for_its_pods(world: World) -> None:
    """A pool that scales every minute must not look through its history each time."""
    up_with_kept(world)
    assert woken_by(world, poolSize=4) == set()
    assert woken_by(world, poolSize=4, failedPodsHistoryLimit=4) == {
        f"{a.POOL}-{ulid.lower()}" for ulid in ULIDS
    }
    assert woken_by(world, poolSize=5, failedPodsHistoryLimit=4) == set()


def test_a_pod_goes_when_it_is_too_old_without_anything_else_happening(world: World) -> None:
    """The time counts from the Pod's creation, not from its end; the queue looks again at that moment."""
    up_with_kept(world, failedPodsHistoryTTL="15m")
    assert kept_by(world) == [["a5", "a6"], ["b3", "b4"], ["c1", "c2"]]
    assert min(world.woken.values()) == pytest.approx(world.time + 300)
    world.date += dt.timedelta(seconds=299)
    world.pass_time(299)
    assert kept_by(world)[0] == ["a5", "a6"]
    world.date += dt.timedelta(seconds=1)
    world.pass_time(1)
    assert kept_by(world) == [[], [], []]


@pytest.mark.parametrize("time", ["9" * 30 + "h", "9" * 400 + "h"])
def test_a_time_of_centuries_is_looked_at_once_a_day(world: World, time: str) -> None:
    """No thread of this world can wait for that long."""
    up_with_kept(world, failedPodsHistoryTTL=time)
    assert min(world.woken.values()) == world.time + LONGEST_LOOK
    assert kept_by(world) == [["a5", "a6"], ["b3", "b4"], ["c1", "c2"]]


def test_a_time_alone_bounds_no_number(world: World) -> None:
    """Nine failed Pods are no more than five for a pool that only says how old they may be."""
    up_with_kept(world, failedPodsHistoryTTL="1h")
    for number in range(7, 10):
        keep(world, 0, f"a{number}", number)
    world.settle()
    assert sum(map(len, kept_by(world))) == 9


@pytest.mark.parametrize("spec", [{}, {"failedPodsHistoryTTL": "1h"}])
def test_a_run_keeps_one_failed_pod_over_all_workers(world: World, spec: a.Json) -> None:
    """Its attempts go from Worker to Worker; each new one takes the place of the last."""
    up_with_kept(world, **spec)
    keep(world, 0, "a7", 7, run="again")
    world.settle()
    keep(world, 1, "b8", 8, run="again")
    world.settle()
    for worker in ULIDS:
        world.engine.reconcile((a.NAMESPACE, f"{a.POOL}-{worker.lower()}"))
    kept = kept_by(world)
    assert "a7" not in kept[0]
    assert "b8" in kept[1]


def test_a_pod_that_is_being_deleted_is_neither_kept_nor_counted(world: World) -> None:
    """Its place is another one's, and its name is gone from the list before it is."""
    up_with_kept(world, failedPodsHistoryLimit=6)
    held = world.api.objects["pods", a.NAMESPACE, "a6"]
    held["metadata"]["finalizers"] = ["example.com/backup"]
    world.api.put(PODS, held)
    world.api.delete(PODS, a.NAMESPACE, "a6")
    world.settle()
    assert kept_by(world)[0] == ["a5"]
    world.api.put(WORKERPOOLS, a.pool_object(poolSize=3, failedPodsHistoryLimit=5))
    world.settle()
    assert kept_by(world) == [["a5"], ["b3", "b4"], ["c1", "c2"]]


def test_a_pod_that_is_judged_by_its_failed_init_container_is_kept_for_good(
    world: World, material: Material
) -> None:
    """It is Pending when it is judged; the phase that the kubelet tells later changes nothing."""
    link = world.up(a.worker_object())
    claim(world, material)
    show_pod(world, init=a.ended("init", 16))
    assert world.status()["run"]["outcome"]["reason"] == Reason.INIT_FAILED
    assert world.status()["keptPods"] == [a.POD_NAME]
    show_pod(world, init=a.ended("init", 16), phase="Failed")
    link.deliver(a.released())
    world.settle()
    assert world.status()["keptPods"] == [a.POD_NAME]
    assert ("pods", a.NAMESPACE, a.POD_NAME) in world.api.objects


def test_kinds_are_counted_apart(world: World) -> None:
    """`keepSuccessfulPods` keeps all of one kind and five of the other."""
    up_with_kept(world, keepSuccessfulPods=True)
    for number in range(7, 10):
        keep(world, 1, f"good{number}", number, code=0)
    world.settle()
    assert kept_by(world) == [["a5", "a6"], ["b3", "b4", "good7", "good8", "good9"], ["c2"]]
    world.api.put(
        WORKERPOOLS, a.pool_object(poolSize=3, keepSuccessfulPods=True, successfulPodsHistoryLimit=1)
    )
    world.settle()
    assert kept_by(world) == [["a5", "a6"], ["b3", "b4", "good9"], ["c2"]]


def test_a_pool_that_goes_keeps_nothing(world: World) -> None:
    """Its Workers let go of their Pods, or these would hold them for ever."""
    up_with_kept(world)
    world.api.remove(WORKERPOOLS, a.POOL)
    for ulid in ULIDS:
        world.woken[a.NAMESPACE, f"{a.POOL}-{ulid.lower()}"] = world.time
    world.settle()
    assert kept_by(world) == [[], [], []]
