"""Who is registered, and who is let go."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.agent.decisions.registration import Farewell, RosterEntry, admissible, farewell, roster_entry
from tests.unit.agent import builders as a


def entry(number: int, *, occupies: bool = False, eligible: bool = True) -> RosterEntry:
    """Return a roster entry whose UID is its sequence number."""
    return RosterEntry(str(number), number, occupies, eligible and not occupies, pending=not occupies)


def test_the_lowest_sequences_are_registered_first() -> None:
    """Surplus Workers wait, unregistered."""
    assert admissible([entry(3), entry(1), entry(2)], set(), 2) == {"1", "2"}


def test_registered_workers_hold_their_place() -> None:
    """A lower sequence that comes back is one too many."""
    assert admissible([entry(1), entry(5, occupies=True)], set(), 1) == set()


def test_a_worker_whose_registration_is_under_way_holds_its_place() -> None:
    """Its `register` was sent; the answer may already be on its way."""
    assert admissible([entry(1), entry(5)], {"5"}, 1) == {"5"}


def test_a_worker_that_is_deleted_while_its_registration_is_under_way_holds_its_place() -> None:
    """The mothership may know it by now, and does so until it is told otherwise."""
    assert admissible([entry(1), entry(5, eligible=False)], {"5"}, 1) == set()


def test_a_worker_that_has_left_gives_its_place_away() -> None:
    """Gone means that the mothership was told."""
    left = roster_entry(a.worker(status={"registration": "Gone"}, deleting=True))
    assert admissible([entry(1), left], {left.uid}, 1) == {"1"}


def test_a_shrunken_pool_registers_nobody() -> None:
    """More registered than wanted: the busy ones of a shrinking pool."""
    assert admissible([entry(1), *(entry(n, occupies=True) for n in (2, 3, 4))], set(), 2) == set()


@given(
    st.lists(st.tuples(st.integers(1, 30), st.booleans(), st.booleans()), unique_by=lambda each: each[0]),
    st.sets(st.integers(1, 30)),
    st.integers(0, 12),
)
def test_never_more_than_pool_size_are_registered_by_admission(
    workers: list[tuple[int, bool, bool]], admitted: set[int], size: int
) -> None:
    """Whatever is there: admission adds nobody beyond the size, and nobody who isn't eligible."""
    roster = [entry(number, occupies=occupies, eligible=eligible) for number, occupies, eligible in workers]
    former = {str(number) for number in admitted}
    holding = {each.uid for each in roster if each.occupies or (each.pending and each.uid in former)}
    chosen = admissible(roster, former, size)
    fresh = chosen - former
    assert len(holding | fresh) <= max(size, len(holding))
    assert chosen <= {each.uid for each in roster if each.eligible}


@pytest.mark.parametrize(
    "changes",
    [
        {"deleting": True},
        {"managed": False},
        {"status": {"registration": "Registered"}},
        {"status": {"run": {"phase": "?"}}},
    ],
)
def test_only_a_live_managed_pending_worker_is_eligible(changes: dict[str, object]) -> None:
    """Never registered with a deletionTimestamp or without the finalizer."""
    assert not roster_entry(a.worker(**{"status": {}, **changes})).eligible


def test_a_fresh_worker_is_eligible() -> None:
    """No status at all means Pending."""
    assert roster_entry(a.worker(status={})).eligible


def say(status: dict[str, object], **given: object) -> Farewell:
    """Return what is next for a deleted Worker."""
    known = {"admitted": False, "answered": False, "waited": 0.0, **given}
    return farewell(a.worker(status=status, deleting=True), **known)  # type: ignore[arg-type]


def test_a_deleted_worker_that_was_never_registered_goes_at_once() -> None:
    """Nobody knows it."""
    assert say({}) is Farewell.CONFIRMED


def test_a_deleted_worker_is_deregistered_and_waits_for_the_answer() -> None:
    """With a deadline, so that a dead mothership never leaves a finalizer behind."""
    assert say({"registration": "Registered"}) is Farewell.BEGIN
    assert say({}, admitted=True) is Farewell.BEGIN
    assert say({"registration": "Deregistering"}, waited=59.0) is Farewell.WAIT
    assert say({"registration": "Deregistering"}, answered=True) is Farewell.CONFIRMED
    assert say({"registration": "Deregistering"}, waited=60.0) is Farewell.UNCONFIRMED


@pytest.mark.parametrize("phase", ["Scheduled", "Starting", "Running", "Finished"])
def test_a_run_in_flight_holds_the_worker(phase: str) -> None:
    """In flight means Scheduled up to released."""
    assert say(a.busy_status(phase), waited=1e9) is Farewell.STAY


def test_an_unreadable_run_holds_the_worker() -> None:
    """What isn't understood may be in flight."""
    assert say({"registration": "Registered", "run": {"phase": "?"}}) is Farewell.STAY


def test_a_living_worker_and_one_that_is_gone_stay_as_they_are() -> None:
    """Nothing to say."""
    assert farewell(a.worker(), admitted=True, answered=True, waited=99) is Farewell.STAY
    assert say({"registration": "Gone"}) is Farewell.STAY
