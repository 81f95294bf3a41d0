"""Facts about the identity of Workers."""

from hashlib import sha256

from hypothesis import given
from hypothesis import strategies as st
from ulid import ULID

from app.reconcile.identity import high_water_mark, next_sequences, worker_ulid

SEQUENCES = st.integers(min_value=1, max_value=2**48 - 1)


@given(uid=st.text(min_size=1), sequence=SEQUENCES)
def test_a_worker_ulid_is_a_valid_ulid_made_of_sequence_and_digest(uid: str, sequence: int) -> None:
    """Time part is the sequence number, random part the first 80 bits of sha256("<uid>:<sequence>")."""
    parsed = bytes(ULID.from_str(worker_ulid(uid, sequence)))
    assert int.from_bytes(parsed[:6], "big") == sequence
    assert parsed[6:] == sha256(f"{uid}:{sequence}".encode()).digest()[:10]


@given(pair=st.tuples(SEQUENCES, SEQUENCES).filter(lambda pair: pair[0] < pair[1]))
def test_worker_ulids_sort_by_sequence(pair: tuple[int, int]) -> None:
    """A younger Worker has the greater ULID, also as a string."""
    assert worker_ulid("pool", pair[0]) < worker_ulid("pool", pair[1])


def test_a_known_worker_ulid_never_changes() -> None:
    """The function is part of the contract with clusters that exist: a change would rename every Worker."""
    assert worker_ulid("7a2f9c1e-52d5-4c26-9d70-0a5a8f6f4d11", 1) == "000000000133WMSBBBQCH3GPF0"


@given(closed=st.integers(0, 20), observed=st.sets(st.integers(1, 40)))
def test_the_high_water_mark_is_monotone_and_contiguous(closed: int, observed: set[int]) -> None:
    """H never falls; every number it passes was observed; it stops before the first gap."""
    moved = high_water_mark(closed, observed)
    assert moved >= closed
    assert set(range(closed + 1, moved + 1)) <= observed
    assert moved + 1 not in observed


@given(closed=st.integers(0, 20), observed=st.sets(st.integers(1, 40)), missing=st.integers(-3, 10))
def test_next_sequences_are_the_lowest_unobserved_above_h(
    closed: int, observed: set[int], missing: int
) -> None:
    """As many as are missing, none observed, none skipped."""
    wished = next_sequences(closed, observed, missing)
    assert len(wished) == max(missing, 0)
    assert not set(wished) & observed
    if wished:
        assert set(range(closed + 1, wished[-1] + 1)) == set(wished) | (
            observed & set(range(closed + 1, wished[-1]))
        )
