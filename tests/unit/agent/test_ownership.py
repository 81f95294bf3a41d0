"""The keeper of this process's Lease, turn by turn with a clock of the test's, against an API that fails and lies."""

import datetime as dt
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from app.agent.decisions import sharing
from app.agent.decisions.sharing import Timing
from app.agent.lease import Changed
from app.agent.ownership import Everything, LeaseKeeper
from app.agent.runtime import Clock
from app.cluster.errors import Forbidden, TooManyRequests, Unavailable
from app.cluster.objects import KubernetesObject
from app.cluster.resources import LEASES, Resource
from tests.unit.agent import builders as a
from tests.unit.agent.world import FakeApi

NAMESPACE = a.NAMESPACE
POOLS = [("default", f"pool-{number}") for number in range(40)]


class Watch:
    """A watch of the Leases that shows every change at once, unless it is `broken`."""

    def __init__(self, api: FakeApi, changed: Changed) -> None:
        self.broken = False
        self.alive = True
        self._changed = changed
        api.watchers.append(self._show)

    def start(self) -> None:
        """Nothing to start."""

    def stop(self, deadline_seconds: float) -> bool:  # noqa: ARG002
        """Nothing to end."""
        return True

    def _show(self, resource: Resource, old: KubernetesObject | None, new: KubernetesObject | None) -> None:
        if resource is LEASES and not self.broken:
            kind = "DELETED" if new is None else "MODIFIED" if old else "ADDED"
            self._changed(kind, old, new)


class Site:
    """An API server, a clock, and replicas."""

    def __init__(self) -> None:
        self.api = FakeApi()
        self.time = 1000.0
        self.replicas: dict[str, Replica] = {}

    def clock(self) -> Clock:
        """Return a clock that the test moves; wall-clock time goes with it."""
        start = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
        return Clock(lambda: self.time, lambda: start + dt.timedelta(seconds=self.time))

    def replica(self, name: str, identity: str = "") -> "Replica":
        """Add a replica that has not taken a turn yet."""
        made = Replica(self, name, identity or f"{name}_1")
        self.replicas[identity or name] = made
        return made

    def turns(self) -> None:
        """Let every replica that isn't paused do what is due now."""
        for _ in range(3):
            for replica in self.replicas.values():
                replica.turn()

    def pass_time(self, seconds: float, step: float = 0.25) -> None:
        """Let time pass."""
        end = self.time + seconds
        while self.time < end - 1e-9:
            self.time = min(self.time + step, end)
            self.turns()

    def lease(self, name: str) -> dict[str, Any]:
        """Return a replica's Lease as it is stored."""
        return self.api.objects["leases", NAMESPACE, f"workerpool-replica-{name}"]

    def owners(self, pool: tuple[str, str]) -> list[str]:
        """Return everybody who believes to own a pool."""
        return [name for name, replica in self.replicas.items() if replica.keeper.owns(pool)]

    def writes(self) -> int:
        """Return how many writes there were, and forget them."""
        number = sum(1 for verb, _, _ in self.api.calls if verb in ("create", "patch", "delete"))
        self.api.calls.clear()
        return number


class Replica:
    """One process."""

    def __init__(self, site: Site, name: str, identity: str) -> None:
        self.site, self.name = site, name
        self.paused = False
        self.fit = True
        self.changes = 0
        self.reach: Callable[[], None] = lambda: None
        self.watch: Watch
        self.keeper = LeaseKeeper(self, self._follow, NAMESPACE, name, identity, Timing(), site.clock())
        self.keeper._changed = self._changed
        self.keeper._fit = lambda: self.fit

    def _follow(self, changed: Changed) -> Watch:
        self.watch = Watch(self.site.api, changed)
        return self.watch

    def _changed(self) -> None:
        self.changes += 1

    def turn(self) -> None:
        """Do what is due."""
        if not self.paused:
            self.keeper.renew_turn()
            self.keeper.judge_turn()

    def pause(self) -> None:
        """Stop the process: nothing runs, and its watch shows nothing."""
        self.paused = self.watch.broken = True

    def resume(self) -> None:
        """Continue it."""
        self.paused = self.watch.broken = False

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - the API's verbs
        verb = getattr(self.site.api, name)

        def call(*arguments: object, **more: object) -> object:
            self.reach()
            return verb(*arguments, **more)

        return call

    def owned(self) -> list[tuple[str, str]]:
        """Return the pools it owns."""
        return [pool for pool in POOLS if self.keeper.owns(pool)]


@pytest.fixture
def site() -> Site:
    """Return an empty site."""
    return Site()


@pytest.fixture
def pair(site: Site) -> tuple[Replica, Replica]:
    """Return two replicas that share the pools."""
    one, two = site.replica("one"), site.replica("two")
    site.turns()
    return one, two


def down() -> None:
    """Refuse a call as an API server does that is away."""
    raise Unavailable("connection refused")


def test_the_lease_is_as_documented(site: Site) -> None:
    """Name, label, holder and times: what `kubectl get leases` shows."""
    site.replica("one", "one_3f").turn()
    found = site.lease("one")
    assert found["metadata"]["labels"] == {"workers.spacelift.io/replica": "true"}
    assert found["metadata"]["annotations"] == {"workers.spacelift.io/fit": "true"}
    assert found["spec"] == {
        "holderIdentity": "one_3f",
        "leaseDurationSeconds": 15,
        "acquireTime": "2026-01-01T00:16:40.000000Z",
        "renewTime": "2026-01-01T00:16:40.000000Z",
        "leaseTransitions": 0,
    }


def test_a_process_owns_nothing_before_it_holds_its_lease_and_has_seen_the_others(site: Site) -> None:
    """Or it would take every pool from everybody for a moment."""
    one = site.replica("one")
    assert one.owned() == []
    assert not one.keeper.joined

    def no_lists(verb: str, *_: str) -> None:
        if verb == "list":
            raise Unavailable("etcd is slow")

    site.api.fail = no_lists
    site.pass_time(5)
    assert "renewTime" in site.lease("one")["spec"]
    assert one.owned() == []
    site.api.fail = lambda *_: None
    site.pass_time(2)
    assert one.owned() == POOLS
    assert one.keeper.joined
    assert one.changes == 1


def test_two_replicas_divide_the_pools(site: Site, pair: tuple[Replica, Replica]) -> None:
    """Each pool has one owner, and both know it at once."""
    assert all(len(site.owners(pool)) == 1 for pool in POOLS)
    assert all(replica.owned() for replica in pair)
    assert pair[0].keeper.describe() == "one shares with two"


def test_idle_costs_one_write_for_each_replica_and_renewal(site: Site, pair: tuple[Replica, Replica]) -> None:
    """And no read at all while every Lease is renewed in time."""
    site.api.calls.clear()
    site.pass_time(60)
    reads = [call for call in site.api.calls if call[0] in ("get", "list")]
    assert reads == []
    assert site.writes() == len(pair) * 12


def test_a_killed_replicas_pools_move_within_the_duration(site: Site, pair: tuple[Replica, Replica]) -> None:
    """No sooner than it would have stopped by itself, and no later than the duration after its last renewal."""
    one, two = pair
    site.pass_time(4.75)
    two.pause()
    site.pass_time(9.75)
    assert len(one.owned()) < len(POOLS)
    site.pass_time(5.5)
    assert one.owned() == POOLS


def test_a_replica_that_goes_in_order_is_not_waited_for(site: Site, pair: tuple[Replica, Replica]) -> None:
    """It deletes its Lease, and the watch says so."""
    one, two = pair
    two.keeper._ending.set()
    assert two.owned() == []
    two.keeper._own.drop()
    assert ("leases", NAMESPACE, "workerpool-replica-two") not in site.api.objects
    assert one.owned() == POOLS


@pytest.mark.parametrize("seconds", [9.75, 25.0, 3600.0])
def test_a_process_that_was_paused_owns_nothing_when_it_wakes_until_it_has_renewed(
    site: Site, pair: tuple[Replica, Replica], seconds: float
) -> None:
    """The answer of `owns` is worked out at each call: no thread has to run first. Then both share as before."""
    one, two = pair
    before = two.owned()
    two.pause()
    site.pass_time(seconds)
    two.resume()
    assert two.owned() == (before if seconds < 10 else [])
    site.turns()
    assert two.owned() == before
    assert set(one.owned()) == set(POOLS) - set(before)
    assert all(len(site.owners(pool)) == 1 for pool in POOLS)


def test_a_process_that_wakes_looks_at_the_others_before_it_owns_again(
    site: Site, pair: tuple[Replica, Replica]
) -> None:
    """A third one may have come meanwhile: its pools must not be taken from it even for a moment."""
    _, two = pair
    two.pause()
    three = site.replica("three")
    site.pass_time(30)
    two.paused = False  # the watch has not caught up yet
    claimed: list[tuple[str, str]] = []
    two.reach = lambda: claimed.extend(pool for pool in two.owned() if pool in three.owned())
    two.turn()
    assert claimed == []
    assert not set(two.owned()) & set(three.owned())
    assert two.owned()


@pytest.mark.parametrize("lasts", [4.0, 9.0, 30.0])
def test_a_replica_that_cannot_renew_stops_before_others_may_take_over(
    site: Site, pair: tuple[Replica, Replica], lasts: float
) -> None:
    """Cut off from the API server: at no moment has a pool two owners."""
    one, two = pair
    two.reach, two.watch.broken = down, True
    twice: set[tuple[str, str]] = set()
    end, gap = site.time + lasts, 0.0
    while site.time < end:
        site.pass_time(0.25)
        twice |= {pool for pool in POOLS if len(site.owners(pool)) > 1}
        gap += 0.25 * (len(site.owners(POOLS[0])) == 0)
    assert twice == set()
    assert gap < 8
    assert (two.owned() == []) is (lasts > 10)
    two.reach, two.watch.broken = (lambda: None), False
    site.pass_time(2)
    assert all(len(site.owners(pool)) == 1 for pool in POOLS)
    assert one.owned()


def test_a_broken_watch_takes_nothing_from_a_living_replica(
    site: Site, pair: tuple[Replica, Replica]
) -> None:
    """What seems to have ended is looked at before it is believed."""
    one, _ = pair
    before = one.owned()
    one.watch.broken = True
    changes = one.changes
    site.pass_time(120)
    assert one.owned() == before
    assert one.changes == changes
    assert site.api.count("list", "leases") < 20


def test_looks_that_fail_kill_nobody(site: Site, pair: tuple[Replica, Replica]) -> None:
    """Absence of knowledge never takes a pool: the dead replica's pools wait for a look that succeeds."""
    one, two = pair
    two.pause()

    def no_lists(verb: str, *_: str) -> None:
        if verb == "list":
            raise Unavailable("etcd is slow")

    site.api.fail = no_lists
    site.pass_time(60)
    assert len(one.owned()) < len(POOLS)
    assert site.api.count("list", "leases") < 60
    site.api.fail = lambda *_: None
    site.pass_time(2)
    assert one.owned() == POOLS


def test_a_renewal_counts_from_its_beginning(site: Site, pair: tuple[Replica, Replica]) -> None:
    """An answer that comes after 9 s leaves 1 s: the others saw the Lease change as long ago as that."""
    one, _ = pair
    site.pass_time(4.75)

    def slow(verb: str, plural: str, _name: str) -> None:
        if (verb, plural) == ("patch", "leases"):
            site.time += 9

    site.api.fail = slow
    site.time += 0.25
    one.turn()
    site.api.fail = down_for(one)
    assert one.owned()
    site.time += 0.75
    assert one.owned()
    site.time += 0.5
    assert one.owned() == []


def down_for(_replica: Replica) -> Callable[[str, str, str], None]:
    """Return a failure of every call."""

    def fail(*_: str) -> None:
        down()

    return fail


def test_a_write_whose_answer_was_lost_is_found_again(site: Site) -> None:
    """The Lease is newer than we know: it is read, found to be ours, and renewed."""
    one = site.replica("one")
    site.turns()
    lost = iter([True])
    patch = site.api.merge_patch

    def once(*arguments: Any, **more: Any) -> Any:  # noqa: ANN401
        done = patch(*arguments, **more)
        if next(lost, False):
            raise Unavailable("the connection broke")
        return done

    site.api.merge_patch = once  # type: ignore[method-assign]
    site.pass_time(7)
    assert one.owned() == POOLS
    assert site.lease("one")["spec"]["leaseTransitions"] == 0


def test_a_deleted_lease_is_made_again_at_once(site: Site, pair: tuple[Replica, Replica]) -> None:
    """Somebody's `kubectl delete lease`: the others count us out, so we own nothing until it is back."""
    one, two = pair
    before = two.owned()
    with site.api.lock:
        gone = site.api.objects.pop(("leases", NAMESPACE, "workerpool-replica-two"))
        site.api._show(LEASES, gone, None)
    assert two.owned() == []
    assert one.owned() == POOLS
    site.turns()
    assert two.owned() == before


def test_a_look_misses_a_lease_that_was_deleted(site: Site, pair: tuple[Replica, Replica]) -> None:
    """With a broken watch: another replica has our pools, its session says so, and the look says why."""
    _, two = pair
    two.watch.broken = True
    with site.api.lock:
        gone = site.api.objects.pop(("leases", NAMESPACE, "workerpool-replica-two"))
        site.api._show(LEASES, gone, None)
    assert two.owned()
    two.keeper.reconsider()
    two.keeper.renew_turn()
    assert two.owned() == []
    site.turns()
    assert two.owned()


def test_the_newer_process_of_a_name_wins_and_the_older_stands_back(site: Site) -> None:
    """A container that starts again keeps its Pod's name; two processes of one name never take turns."""
    old = site.replica("one", "one_old")
    site.turns()
    assert old.owned() == POOLS
    new = site.replica("one", "one_new")
    site.pass_time(60)
    assert (new.owned(), old.owned()) == (POOLS, [])
    assert site.lease("one")["spec"]["leaseTransitions"] == 1
    new.pause()
    site.pass_time(20)
    assert old.owned() == POOLS


def test_a_restarted_process_waits_for_nothing(site: Site) -> None:
    """The Lease of its former self is its own at once."""
    site.replica("one", "one_1")
    site.turns()
    site.replicas.clear()
    again = site.replica("one", "one_2")
    again.turn()
    assert again.owned() == POOLS


def test_a_replica_that_cannot_work_hands_its_pools_over(site: Site, pair: tuple[Replica, Replica]) -> None:
    """And takes them back: told by its Lease, at once."""
    one, two = pair
    before = two.owned()
    two.fit = False
    site.turns()
    assert (two.owned(), one.owned()) == ([], POOLS)
    one.fit = False
    site.turns()
    assert two.owned() == before
    two.fit = one.fit = True
    site.turns()
    assert two.owned() == before


def test_a_server_that_goes_and_asks_for_peace_does_not_cost_the_lease(site: Site) -> None:
    """A kube-apiserver that shuts down answers 429 with some seconds, and a Lease has few."""
    one = site.replica("one")
    site.turns()
    assert one.owned() == POOLS
    answers = iter([True])

    def going() -> None:
        if next(answers, False):
            raise TooManyRequests("shutting down", retry_after=6.0)

    one.reach = going
    for _ in range(30):
        site.pass_time(0.5)
        assert one.owned() == POOLS


def test_a_refused_or_throttled_renewal_is_tried_again_in_time(site: Site) -> None:
    """429 says when; a role that is missing is asked for each second, and owns nothing."""
    one = site.replica("one")

    tries: list[float] = []

    def throttled() -> None:
        tries.append(site.time)
        raise TooManyRequests("slow down", retry_after=3.0)

    one.reach = throttled
    site.pass_time(9)
    assert [later - sooner for sooner, later in itertools.pairwise(tries)] == [3.0, 3.0]
    one.reach = forbidden
    site.pass_time(3)
    assert one.owned() == []
    one.reach = lambda: None
    site.pass_time(2)
    assert one.owned() == POOLS


def forbidden() -> None:
    """Refuse a call as RBAC does."""
    raise Forbidden("leases is forbidden", status=403)


def test_leases_of_dead_replicas_are_deleted_at_last(site: Site, pair: tuple[Replica, Replica]) -> None:
    """What was killed leaves its Lease behind; foreign Leases are none of ours."""
    _, two = pair
    foreign = {"metadata": {"name": "metacontroller", "namespace": NAMESPACE, "labels": {}}, "spec": {}}
    site.api.put(LEASES, foreign)
    two.pause()
    site.pass_time(sharing.ABANDONED_AFTER - 10, 1.0)
    assert ("leases", NAMESPACE, "workerpool-replica-two") in site.api.objects
    site.pass_time(30, 1.0)
    names = {name for plural, _, name in site.api.objects if plural == "leases"}
    assert names == {"workerpool-replica-one", "metacontroller"}


def test_a_taken_over_session_makes_it_look(site: Site, pair: tuple[Replica, Replica]) -> None:
    """Another client of our pool's session is a sign that the watch is behind."""
    one, _ = pair
    one.watch.broken = True
    three = site.replica("three")
    three.turn()
    common = set(one.owned()) & set(three.owned())
    assert common
    one.keeper.reconsider()
    one.turn()
    assert set(one.owned()) & set(three.owned()) == set()


@pytest.fixture
def running(site: Site) -> Iterator[LeaseKeeper]:
    """Return a keeper whose threads run, on the real clock."""
    timing = Timing(duration=1.2, deadline=0.8, interval=0.2, retry=0.05)
    keeper = LeaseKeeper(
        site.api, lambda changed: Watch(site.api, changed), NAMESPACE, "one", "one_1", timing, Clock()
    )
    yield keeper
    site.api.fail = lambda *_: None
    keeper.stop(5)


def until(condition: Callable[[], bool], seconds: float = 5.0) -> float:
    """Wait for a condition; return how long it took."""
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < seconds, "not in time"
        time.sleep(0.005)
    return time.monotonic() - began


def test_its_threads_renew_tell_and_delete(site: Site, running: LeaseKeeper) -> None:
    """From the first Lease to the last, with the changes told by a thread of its own."""
    told = threading.Event()
    running.start(told.set, lambda: True)
    assert told.wait(5)
    assert running.owns(("a", "b"))
    first = site.lease("one")["metadata"]["resourceVersion"]
    until(lambda: site.lease("one")["metadata"]["resourceVersion"] != first)
    assert running.alive
    assert running.stop(5)
    assert not running.owns(("a", "b"))
    assert site.api.objects == {}


def test_a_hanging_call_does_not_keep_the_agent_from_being_told(site: Site, running: LeaseKeeper) -> None:
    """The renewer hangs in the API server; the judge notices the end of the Lease in time."""
    told = threading.Event()
    running.start(told.set, lambda: True)
    assert told.wait(5)
    told.clear()
    release = threading.Event()

    def hang(*_: str) -> None:
        release.wait(10)

    site.api.fail = hang
    assert told.wait(2)
    assert not running.owns(("a", "b"))
    told.clear()
    site.api.fail = lambda *_: None
    release.set()
    assert told.wait(2)
    assert running.owns(("a", "b"))


def test_an_unexpected_answer_ends_no_thread(site: Site, running: LeaseKeeper) -> None:
    """A bug or a proxy's page must not be the end of all ownership."""
    broken = threading.Event()

    def nonsense(*_: str) -> None:
        broken.set()
        raise KeyError("metadata")

    site.api.fail = nonsense
    changed = threading.Event()

    def fails() -> None:
        changed.set()
        raise RuntimeError("a bug")

    running.start(fails, lambda: True)
    assert broken.wait(5)
    site.api.fail = lambda *_: None
    assert changed.wait(5)
    assert running.alive
    assert running.owns(("a", "b"))


def test_a_replica_alone_owns_everything() -> None:
    """Without --leader-elect there is no Lease."""
    alone = Everything()
    alone.start(lambda: None, lambda: True)
    assert alone.owns(("a", "b"))
    assert alone.alive
    assert alone.stop(1)
