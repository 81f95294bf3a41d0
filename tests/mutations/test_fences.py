"""Each fence is needed: with it switched off something shows what went wrong, and with all in place nothing does."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.mutations import table
from tests.mutations.catchers import signs_of
from tests.mutations.executor import CATCHERS
from tests.mutations.fences import all_fences
from tests.mutations.registry import EXECUTOR, Fence
from tests.mutations.scenarios import SCENARIOS

FENCES = all_fences()
PAIRS = [
    pytest.param(each, catcher, id=f"{each.off.__name__}-{catcher}".replace(" ", "-"))
    for each in FENCES
    for catcher in each.caught_by
]


@pytest.mark.parametrize("catcher", [*SCENARIOS, *(f"{EXECUTOR}{name}" for name in CATCHERS)])
def test_nothing_shows_while_everything_is_in_place(catcher: str) -> None:
    """No sign in any scenario: what is seen below comes from the missing fence alone."""
    assert signs_of(catcher) == set()


@pytest.mark.parametrize(("fence", "catcher"), PAIRS)
def test_a_missing_fence_shows(fence: Fence, catcher: str) -> None:
    """By the very signs that the table in docs/fences.md names (written by `python -m tests.mutations`)."""
    row = table.row(fence, catcher)
    assert "**nothing**" not in row
    assert row in table.stored()


@pytest.mark.parametrize("fence", FENCES, ids=lambda each: each.off.__name__)
def test_every_fence_has_a_catcher(fence: Fence) -> None:
    """One that nothing catches is not needed, or not tested."""
    assert fence.caught_by


def test_the_table_has_no_other_rows() -> None:
    """A fence that went takes its rows along."""
    named = {(each.part, each.name) for each in FENCES}
    assert {tuple(line.strip("| ").split(" | ")[:2]) for line in table.stored()} == named


def test_a_switch_leaves_nothing_behind() -> None:
    """After a mutation the product is what it was."""
    from app.agent.decisions import claim

    honest = claim.decide
    switches: Iterator[Fence] = (each for each in FENCES if each.off.__name__ == "assignment_numbers")
    with next(switches).off():
        assert claim.decide is not honest
    assert claim.decide is honest
