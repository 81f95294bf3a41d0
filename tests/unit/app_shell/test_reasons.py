"""The table of conditions and Events is complete."""

from app import vocabulary as words
from app.reasons import EVENTS, RUN_REASONS
from protocol.runs import Reason


def test_every_reason_of_a_verdict_is_explained() -> None:
    """A reason that protocol adds needs a sentence."""
    assert set(RUN_REASONS) == set(Reason)


def test_every_event_of_the_vocabulary_is_in_the_table() -> None:
    """An Event that is only emitted is an Event that nobody can look up."""
    named = {getattr(words, name) for name in dir(words) if name.endswith("_EVENT")}
    assert {reason for _, reason in EVENTS} == named
