"""The table of fences and rules names code and tests that exist."""

import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PAGE = ROOT / "docs" / "ledger.md"
FILE = re.compile(r"(?:app|mothership|launcher)/[\w/.-]+")
NAME = re.compile(r"[A-Za-z_]\w+")


def rows() -> list[tuple[str, str]]:
    """Return the code and the tests of each row that names both."""
    cells = [line.split("|") for line in PAGE.read_text(encoding="utf-8").splitlines() if "`test_" in line]
    return [(row[2], row[3]) for row in cells]


def marked(cell: str) -> list[str]:
    """Return what is in backticks."""
    return re.findall(r"`([^`]+)`", cell)


@cache
def all_tests() -> frozenset[str]:
    """Return the names of all tests."""
    found = (re.findall(r"def (test_\w+)", path.read_text()) for path in (ROOT / "tests").rglob("test_*.py"))
    return frozenset(name for names in found for name in names)


def test_the_page_has_its_tables() -> None:
    """Seven fences at least, and the rules."""
    assert len(rows()) >= 35


@pytest.mark.parametrize(("code", "tests"), rows(), ids=lambda cell: "-".join(marked(cell))[:80])
def test_a_row_names_code_and_tests_that_exist(code: str, tests: str) -> None:
    """Whoever renames one of them is sent here."""
    path, *names = [word for word in marked(code) if FILE.fullmatch(word) or NAME.fullmatch(word)]
    text = (ROOT / path).read_text(encoding="utf-8")
    assert names
    for name in names:
        assert re.search(rf"^\s*(?:def )?{name}\s*\(", text, re.MULTILINE), f"{path} has no {name}"
    assert set(marked(tests)) <= all_tests()
