"""The scenario files: each says what fails, and the ones for everyday use stay few."""

from tests.faults import scenario


def test_every_file_is_a_scenario_with_a_failure_in_words() -> None:
    """`load` raises for one that is not."""
    found = scenario.every()
    assert len(found) == len(list(scenario.FOLDER.glob("*.py"))) - 1
    assert all(item.about.endswith(".") and item.runs > 0 for item in found)


def test_the_short_set_has_some_of_them() -> None:
    """`make test` runs it."""
    assert sum(item.short for item in scenario.every()) > 0
