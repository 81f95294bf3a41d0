"""docs/mqtt.md: every row has its tests, and every test that it names exists."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
ROWS = 18
FILES = {
    "S": "tests/unit/agent/test_connection_rows.py",
    "M": "tests/integration/test_agent_broker.py",
    "test_session_edge.py": "tests/unit/agent/test_session_edge.py",
    "test_pacing_and_blame.py": "tests/unit/agent/test_pacing_and_blame.py",
    "test_credentials.py": "tests/unit/agent/test_credentials.py",
    "test_credential_rotation.py": "tests/integration/test_credential_rotation.py",
    "test_broker_link.py": "tests/unit/mothership/test_broker_link.py",
    "test_mothership_broker.py": "tests/integration/test_mothership_broker.py",
}
"""How the page names a file of tests -> where it is."""


def named_tests() -> dict[int, list[tuple[str, str]]]:
    """Return for each row the (file, test) pairs that it names."""
    page = (ROOT / "docs/mqtt.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (\d+) \|.*\|.*\| (.*) \|$", page, re.MULTILINE)
    return {int(number): re.findall(r"(\S+) `(test_\w+)`", tests) for number, tests in rows}


def test_every_row_names_tests_that_exist() -> None:
    """A renamed test takes its row along."""
    found = named_tests()
    assert list(found) == list(range(1, ROWS + 1))
    for number, tests in found.items():
        assert tests, f"row {number} names no test"
        for file, name in tests:
            assert f"def {name}(" in (ROOT / FILES[file]).read_text(encoding="utf-8"), (number, name)


def test_every_test_of_a_row_is_named_by_it() -> None:
    """Tests that carry a row's number are in the table."""
    named = {name for tests in named_tests().values() for _, name in tests}
    for file in (FILES["S"], FILES["test_broker_link.py"]):
        tests = re.findall(r"^def (test_\d+_\w+)\(", (ROOT / file).read_text(encoding="utf-8"), re.MULTILINE)
        assert [name for name in tests if name not in named] == []
