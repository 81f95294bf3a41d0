"""docs/fences.md: which scenario catches which missing fence, and by what sign. Written by running them all."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tests.mutations.catchers import signs_of
from tests.mutations.fences import all_fences
from tests.mutations.registry import EXECUTOR, REPLAY, Fence

PAGE = Path(__file__).resolve().parents[2] / "docs" / "fences.md"
BEGIN, END = "<!-- table: begin -->", "<!-- table: end -->"
IN_VAIN = "never came: "
HEAD = ("| part | what is switched off | caught by | sign |", "|---|---|---|---|")


def rows(fences: Iterable[Fence]) -> list[str]:
    """Switch each fence off, run what must catch it, and return the table's rows."""
    return [row(each, catcher) for each in fences for catcher in each.caught_by]


def row(fence: Fence, catcher: str) -> str:
    """Switch a fence off, run a catcher, and return the row of the table.

    What a scenario then waits for in vain depends on what went wrong first, and that on the names that objects were given
    at random: it is told only where nothing else shows.
    """
    with fence.off():
        found = signs_of(catcher)
    signs = {each for each in found if not each.startswith(IN_VAIN)} or found
    return (
        f"| {fence.part} | {fence.name} | {_linked(catcher)} | {', '.join(sorted(signs)) or '**nothing**'} |"
    )


def stored() -> list[str]:
    """Return the rows that the page has."""
    text = PAGE.read_text()
    table = text[text.index(BEGIN) + len(BEGIN) : text.index(END)]
    return [line for line in table.splitlines() if line and line not in HEAD]


def write() -> list[str]:
    """Run everything, write the page, and return the rows that caught nothing."""
    found = rows(all_fences())
    text = PAGE.read_text()
    before, after = text[: text.index(BEGIN)], text[text.index(END) :]
    PAGE.write_text(before + "\n".join([BEGIN, "", *HEAD, *found, "", after]))
    return [each for each in found if "**nothing**" in each]


def _linked(catcher: str) -> str:
    if catcher == REPLAY:
        return "[replay](replay.md)"
    return catcher if catcher.startswith(EXECUTOR) else f"`{catcher}`"
