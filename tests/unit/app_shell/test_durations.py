"""Durations in the syntax of Go."""

import pytest

from app.durations import parse_duration


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0", 0.0), ("30s", 30.0), ("1h30m", 5400.0), ("1.5h", 5400.0), ("250ms", 0.25), (".5m", 30.0)],
)
def test_a_duration_is_read_as_go_reads_it(text: str, seconds: float) -> None:
    """Parts add up, fractions count."""
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "5", "1d", "-5s", "5s ", "1h-3m", "s", "."])
def test_what_is_not_a_duration_is_refused_with_the_fix(text: str) -> None:
    """Days, signs and bare numbers are not taken, as in manifests."""
    with pytest.raises(ValueError, match="such as 30s, 5m or 1h30m"):
        parse_duration(text)
