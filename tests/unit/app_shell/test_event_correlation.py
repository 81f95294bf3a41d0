"""Which Events happenings become: the rules of client-go's recorder, without a server."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st

from app.cluster.event_correlation import COMBINED, Correlator, EventRecord, Happening, bounded

START = 1_700_000_000.0


@dataclass
class Source:
    """Makes happenings about Workers and correlates them at a time that tests move."""

    correlator: Correlator = field(default_factory=Correlator)
    now: float = START

    def say(
        self, message: str = "x", *, reason: str = "A", kind: str = "Normal", uid: str = "u"
    ) -> EventRecord | None:
        """Let something happen now."""
        reference = {"kind": "Worker", "name": "w", "namespace": "n", "uid": uid}
        return self.correlator.correlate(Happening(reference, kind, reason, message, self.now))

    def written(self, message: str = "x", **words: str) -> EventRecord:
        """Let something happen that is within the budget."""
        record = self.say(message, **words)
        assert record is not None
        return record


def test_a_repeat_is_the_same_event_however_late() -> None:
    """client-go sets no time limit; the Event's own expiry does."""
    source = Source()
    first = source.written()
    source.now += 3000
    assert source.written() is first
    assert (first.count, first.first, first.last) == (2, START, START + 3000)


def test_object_type_reason_and_message_make_an_event() -> None:
    """A change of any is another Event."""
    source = Source()
    records = [
        source.written(),
        source.written("y"),
        source.written(reason="B"),
        source.written(kind="Warning"),
        source.written(uid="v"),
    ]
    assert len({record.name for record in records}) == 5
    assert [record.count for record in records] == [1] * 5


def test_the_tenth_message_is_combined_and_known_ones_go_on_by_themselves() -> None:
    """As client-go: from ten different messages on there is one more Event, not one for each."""
    source = Source()
    own = [source.written(f"m{number}") for number in range(9)]
    combined = source.written("m9")
    assert combined.message == COMBINED + "m9"
    assert source.written("m10") is combined
    assert (combined.message, combined.count) == (COMBINED + "m10", 2)
    assert source.written("m3") is own[3]


def test_similar_means_within_ten_minutes_of_the_last() -> None:
    """Each similar one prolongs the time; after a pause messages have Events of their own again."""
    source = Source()
    for number in range(12):
        source.now += 600
        last = source.written(f"m{number}")
    assert last.combined
    source.now += 601
    assert not source.written("after the pause").combined


def test_other_reasons_and_types_are_not_combined() -> None:
    """Nine failures don't hide a success."""
    source = Source()
    for number in range(9):
        source.say(f"m{number}")
    assert not source.written("m", reason="B").combined
    assert not source.written("m", kind="Warning").combined


def test_a_worker_that_runs_one_run_after_another_has_all_its_events() -> None:
    """Four Events for each run of twenty seconds, for an hour."""
    source = Source()
    for run in range(180):
        for reason in ("RunScheduled", "RunStarted", "RunFinished", "RunReleased"):
            source.now += 5
            assert source.say(f"run {run}", reason=reason) is not None


def test_a_storm_gets_its_burst_and_then_one_each_five_seconds() -> None:
    """Per object and type: neither another object nor a Warning waits for it."""
    source = Source()
    storm = [source.say() for _ in range(100)]
    assert sum(record is not None for record in storm) == 25
    assert source.say(uid="other") is not None
    assert source.say(kind="Warning") is not None
    source.now += 5
    assert [source.say() is not None for _ in range(2)] == [True, False]


def test_what_was_over_budget_shows_in_the_next_count() -> None:
    """Nothing is forgotten but the single writes."""
    source = Source()
    for _ in range(100):
        source.say()
    source.now += 5
    assert source.written().count == 101


def test_names_rise_even_when_the_clock_stands_or_goes_back() -> None:
    """Lists sort by name: Events of one second stay in their order."""
    source = Source()
    names: list[str] = []
    for step in (0.0, 0.0, -5.0, 1.0):
        source.now += step
        names.append(source.written(f"m{len(names)}").name)
    assert names == sorted(names)
    assert len(set(names)) == 4


def test_memory_is_bounded() -> None:
    """The least recently used is forgotten: it begins anew."""
    source = Source()
    first = source.written(uid="first")
    for number in range(5000):
        source.say(uid=str(number))
    assert source.written(uid="first") is not first


@given(st.text())
def test_a_message_fits_and_begins_as_it_did(text: str) -> None:
    """1,024 bytes of UTF-8."""
    cut = bounded(text)
    assert len(cut.encode()) <= 1024
    assert cut[:200].removesuffix("...") in text.encode("utf-8", "replace").decode()
