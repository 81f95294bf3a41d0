"""What the suite runs, how much of it, and what it tells: with scenarios that need no cluster."""

from collections.abc import Callable
from pathlib import Path

import pytest

from devcluster.cluster import CONTAINERS
from tests.faults import leaks
from tests.faults.leaks import Footprint
from tests.faults.load import Load, Work
from tests.faults.scenario import Scenario
from tests.faults.suite import FEWEST_RUNS, Suite, run_all


def nothing(_: object) -> None:
    """Inject nothing."""


class Counting(Suite):
    """A suite that only notes what it would run."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, "seed", lambda _: None)
        self.ran: list[tuple[str, int]] = []

    def run(self, scenario: Scenario, runs: int) -> bool:
        """Note it."""
        self.ran.append((scenario.name, runs))
        return True


@pytest.fixture
def suite(tmp_path: Path) -> Counting:
    """Return a suite without a cluster."""
    return Counting(tmp_path)


SCENARIOS = [
    Scenario(nothing, runs=20, name="c"),
    Scenario(nothing, runs=60, name="b", arguments={"mothership": ("--lease=2",)}),
    Scenario(nothing, runs=20, name="a"),
]


def test_each_scenario_has_its_own_load_unless_a_number_is_asked_for(suite: Counting) -> None:
    """Those that want the same parts follow each other."""
    run_all(suite, SCENARIOS, None)
    assert suite.ran == [("b", 60), ("a", 20), ("c", 20)] or suite.ran == [("a", 20), ("c", 20), ("b", 60)]


def test_a_number_of_runs_is_reached_and_divided_by_weight(suite: Counting) -> None:
    """10000 means at least 10000."""
    run_all(suite, SCENARIOS, 10_001)
    ran = dict(suite.ran)
    assert sum(ran.values()) >= 10_001
    assert 2.9 < ran["b"] / ran["a"] < 3.1


def test_no_scenario_has_so_few_runs_that_none_is_under_way(suite: Counting) -> None:
    """However small the number."""
    run_all(suite, SCENARIOS, 3)
    assert {runs for _, runs in suite.ran} == {FEWEST_RUNS}


def test_a_scenario_that_this_machine_can_not_do_is_told_and_not_counted(tmp_path: Path) -> None:
    """Left out is not passed."""
    told: list[str] = []
    suite = Suite(tmp_path, "seed", told.append)
    assert suite.run(Scenario(nothing, name="flood", needs=lambda: "no water here"), 20)
    assert "no water here" in told[0]
    assert suite.report.scenarios == 0
    assert not suite.report.clean


def test_what_only_the_process_node_has_is_left_out_elsewhere_with_the_reason(tmp_path: Path) -> None:
    """And nowhere else: there it would need a cluster."""
    told: list[str] = []
    suite = Suite(tmp_path, "seed", told.append, CONTAINERS)
    only = Scenario(nothing, name="clocks", process_node="clocks are loaded")
    assert suite.run(only, 20)
    assert told == ["clocks: left out, it needs the process node: clocks are loaded"]
    (tmp_path / "other").mkdir()
    assert Suite(tmp_path / "other", "seed", told.append)._lacking(only) == ""


def test_a_load_that_the_list_could_not_show_whole_is_refused() -> None:
    """Or runs would be judged unseen."""
    never: Callable[..., Load] = Load
    with pytest.raises(ValueError, match="at most"):
        never(None, "pool", None, Work(100_000))


@pytest.mark.parametrize("kind", ["files", "threads", "memory_mib"])
def test_what_grows_beyond_its_slack_is_told(kind: str) -> None:
    """Up to the slack nothing is said."""
    calm = {"operator": Footprint(50, 30, 80.0)}
    allowed = {"files": 50, "threads": 30, "memory_mib": 80.0}
    allowed[kind] += getattr(leaks.SLACK, kind)
    at_most = {"operator": Footprint(**allowed)}  # type: ignore[arg-type]
    assert leaks.grown(calm, at_most) == []
    allowed[kind] += 1
    (told,) = leaks.grown(calm, {"operator": Footprint(**allowed)})  # type: ignore[arg-type]
    assert kind in told
