"""Who owns which pool: every pool has one owner, pools stay where they are, and silence never makes two owners."""

import itertools

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from app.agent.decisions import sharing
from app.agent.decisions.sharing import Lease, Timing

NAMES = st.text("abcdefgh-0123", min_size=1, max_size=12)
REPLICAS = st.frozensets(NAMES, min_size=1, max_size=6)
POOLS = st.tuples(NAMES, NAMES)
MANY = [("default", f"pool-{number}") for number in range(1000)]


def lease(replica: str, version: int = 1, *, duration: float = 15.0, fit: bool = True) -> Lease:
    """Return a replica's Lease."""
    return Lease(f"lease-{replica}", replica, f"{replica}_1", f"uid-{replica}", version, duration, fit)


@given(POOLS, st.lists(NAMES, min_size=1, max_size=6), st.randoms())
def test_every_replica_names_the_same_owner(
    pool: tuple[str, str], replicas: list[str], random: object
) -> None:
    """Whatever the order in which it came to know the others."""
    shuffled = list(replicas)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert sharing.owner(pool, replicas) == sharing.owner(pool, shuffled)
    assert sharing.owner(pool, replicas) in replicas


@given(POOLS, REPLICAS, NAMES)
def test_a_replica_that_comes_or_goes_moves_no_pools_but_its_own(
    pool: tuple[str, str], replicas: frozenset[str], other: str
) -> None:
    """A pool either stays where it is or moves to the newcomer; and back, when that goes."""
    assume(other not in replicas)
    before, after = sharing.owner(pool, replicas), sharing.owner(pool, replicas | {other})
    assert after in {before, other}


@pytest.mark.parametrize("number", [2, 3, 5])
def test_pools_are_shared_about_evenly(number: int) -> None:
    """Four standard deviations of chance."""
    replicas = [f"operator-6f7d8c9b4-x{each}z2k" for each in range(number)]
    owners = [sharing.owner(pool, replicas) for pool in MANY]
    fair = len(MANY) / number
    for replica in replicas:
        assert abs(owners.count(replica) - fair) < 4 * fair**0.5


def test_nobody_owns_anything_when_there_is_nobody() -> None:
    """None, and not an error: a process whose Lease isn't good asks like this."""
    assert sharing.owner(("a", "b"), ()) is None


def test_a_pool_is_told_by_namespace_and_name() -> None:
    """Pools of one name in many namespaces don't all fall to one replica."""
    owners = {sharing.owner((f"team-{number}", "main"), ["one", "two"]) for number in range(20)}
    assert owners == {"one", "two"}


def test_a_lease_is_dead_only_when_a_look_begun_a_duration_later_confirms_it() -> None:
    """Neither time alone, nor a look that began before, nor one that shows another state."""
    seen = sharing.noticed({}, lease("b"), 100.0)
    assert seen["lease-b"].alive
    early = sharing.looked(seen, [lease("b")], began=114.9, now=200.0)
    assert early["lease-b"].alive
    assert sharing.next_look(early) == 115.0
    renewed = sharing.looked(early, [lease("b", 2)], began=115.0, now=116.0)
    assert renewed["lease-b"].alive
    assert sharing.next_look(renewed) == 131.0
    dead = sharing.looked(early, [lease("b")], began=115.0, now=116.0)
    assert not dead["lease-b"].alive
    assert sharing.members("a", dead, fit=True) == {"a"}
    back = sharing.noticed(dead, lease("b", 2), 300.0)
    assert sharing.members("a", back, fit=True) == {"a", "b"}


def test_each_lease_is_good_for_its_own_duration() -> None:
    """Replicas of two versions or settings may run at once during an update."""
    seen = sharing.noticed({}, lease("b", duration=60.0), 0.0)
    assert sharing.looked(seen, [lease("b", duration=60.0)], began=59.0, now=59.0)["lease-b"].alive


def test_an_older_state_changes_nothing() -> None:
    """A watch may lag behind a look."""
    seen = sharing.noticed({}, lease("b", 5), 1.0)
    assert sharing.noticed(seen, lease("b", 4), 9.0) is seen
    assert sharing.noticed(seen, lease("b", 5), 9.0) is seen
    assert sharing.vanished(seen, "lease-b", 4) is seen
    assert sharing.vanished(seen, "lease-b", 6) == {}
    assert sharing.vanished(seen, "lease-c", 6) is seen


def test_an_api_server_restored_from_a_backup_is_believed() -> None:
    """Its versions begin anew: a replica that died with the old ones must be found dead all the same."""
    seen = sharing.noticed({}, lease("b", 500), 0.0)
    restored = sharing.looked(seen, [lease("b", 3)], began=15.0, now=15.0)
    assert restored["lease-b"].alive
    assert not sharing.looked(restored, [lease("b", 3)], began=30.0, now=30.0)["lease-b"].alive
    meanwhile = sharing.noticed(seen, lease("b", 501), 16.0)
    assert sharing.looked(meanwhile, [lease("b", 500)], began=15.0, now=17.0)["lease-b"].lease.version == 501


def test_a_look_forgets_what_was_deleted_before_it_began_only() -> None:
    """A Lease that a watch showed while the look went on may be younger than the look's answer."""
    seen = sharing.noticed(sharing.noticed({}, lease("b"), 1.0), lease("c"), 5.0)
    assert set(sharing.looked(seen, [], began=4.0, now=6.0)) == {"lease-c"}


def test_a_lease_that_nobody_renews_is_litter_at_last() -> None:
    """And the look that shows it is planned; nothing is looked for beyond that."""
    seen = sharing.noticed({}, lease("b"), 0.0)
    dead = sharing.looked(seen, [lease("b")], began=15.0, now=15.0)
    assert not dead["lease-b"].abandoned
    assert sharing.next_look(dead) == sharing.ABANDONED_AFTER
    litter = sharing.looked(dead, [lease("b")], began=sharing.ABANDONED_AFTER, now=700.0)
    assert litter["lease-b"].abandoned
    assert sharing.next_look(litter) is None


def test_a_replica_that_cannot_work_takes_nothing_from_those_that_can() -> None:
    """A rolling update to a version that this cluster's CRDs don't suit; when none suits, all share."""
    others = sharing.noticed({}, lease("b", fit=False), 0.0)
    assert sharing.members("a", others, fit=True) == {"a"}
    assert sharing.members("a", others, fit=False) == {"a", "b"}
    others = sharing.noticed({}, lease("b"), 0.0)
    assert sharing.members("a", others, fit=False) == {"b"}


TIMES = st.lists(st.floats(0.01, 60.0), min_size=1, max_size=30)


@settings(max_examples=300)
@given(
    renewals=st.lists(st.tuples(st.floats(0.1, 30.0), st.floats(0.0, 8.0)), min_size=1, max_size=12),
    watch_lag=TIMES,
    looks=st.lists(st.tuples(st.floats(0.05, 10.0), st.floats(0.0, 9.0)), min_size=1, max_size=60),
    offset=st.floats(-1e6, 1e6),
)
def test_silence_never_makes_two_owners(
    renewals: list[tuple[float, float]],
    watch_lag: list[float],
    looks: list[tuple[float, float]],
    offset: float,
) -> None:
    """One replica renews when it likes, another sees it late: while the first owns, the second never counts it dead.

    A renewal is (pause before it, time from its start until it is stored); a state reaches the other by a watch that
    lags as it likes; a look is (pause before it, time until its answer), of which the API server serves the state at
    its beginning at the earliest. The second replica's clock differs by `offset`.
    """
    timing = Timing()
    stored: list[tuple[float, float]] = []  # (start of the renewal, time at which it is stored)
    now = 0.0
    for pause, delay in renewals:
        now += pause
        stored.append((now, now + delay))
        now += delay
    shown = [
        (at + lag, version)
        for version, ((_, at), lag) in enumerate(zip(stored, itertools.cycle(watch_lag), strict=False))
    ]
    events: list[tuple[float, int, int, float]] = [(at, 0, version, 0.0) for at, version in shown]
    now = 0.0
    for pause, delay in looks:
        now += pause
        served = [version for version, (_, at) in enumerate(stored) if at <= now]
        if served:
            events.append((now + delay, 1, served[-1], now))
        now += delay
    sightings: sharing.Sightings = {}
    for at, kind, version, began in sorted(events):
        seen, clock = lease("b", version), at + offset
        if kind == 0:
            sightings = sharing.noticed(sightings, seen, clock)
        else:
            sightings = sharing.looked(sightings, [seen], began + offset, clock)
        if "b" in sharing.members("a", sightings, fit=True):
            continue
        judged = sightings["lease-b"].lease.version
        assert at >= stored[judged][0] + timing.deadline
        for later, (start, done) in enumerate(stored[judged + 1 :], judged + 1):
            if done <= at:
                # It came back: between the two it owned nothing, and it looks at the others before it owns again.
                assert start >= stored[later - 1][0] + timing.deadline
                break
