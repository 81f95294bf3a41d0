"""The verdict over a load: each way of breaking a promise is seen, and nothing else is called one."""

from typing import Any

import pytest

from tests.faults.journal import Evidence, Journal, name_of
from tests.faults.suite import Report
from tests.faults.verdict import Expected, Verdict, judge

DONE = 1000.0
"""When the runs of these tests got their verdict."""


def run(name: str, state: str = "succeeded", reason: str = "", *, granted: bool = True) -> dict[str, Any]:
    """Return what the mothership shows of a run."""
    finished = state not in ("queued", "assigned", "accepted", "started")
    return {
        "name": name,
        "id": name.upper(),
        "state": state,
        "finished": finished,
        "outcome": {"reason": reason, "message": ""} if finished else None,
        "startedAt": DONE - 5 if granted else None,
        "finishedAt": DONE if finished else None,
    }


def heard(*lines: str) -> Evidence:
    """Return a testimony; each line is `word name seconds` relative to the verdict."""
    words = (line.split() for line in lines)
    return Evidence.of(f"{word} {name} {DONE + float(at)}" for word, name, at in words)


def verdict(shown: list[dict[str, Any]], testimony: Evidence, **more: Any) -> Verdict:  # noqa: ANN401 - judge's
    """Judge runs that were all triggered, unless told otherwise."""
    triggered = more.pop("triggered", {item["name"]: item["id"] for item in shown})
    return judge(triggered, more.pop("unsure", ()), shown, testimony, more.pop("expected", Expected()))


WHOLE = ("start a -3", "end a -1")


def test_a_run_that_began_and_ended_once_and_succeeded_is_fine() -> None:
    """And is counted."""
    found = verdict([run("a")], heard(*WHOLE))
    assert found.clean
    assert (found.runs, found.endings) == (1, {"succeeded": 1})


@pytest.mark.parametrize("lines", [[*WHOLE, "start a -2"], [*WHOLE, "end a -0.5"]])
def test_a_second_start_or_end_is_double(lines: list[str]) -> None:
    """However the mothership sees it."""
    found = verdict([run("a")], heard(*lines))
    assert len(found.doubled) == 1
    assert not found.lost


def test_work_after_a_verdict_that_is_no_success_is_double() -> None:
    """Somebody may have tried again already."""
    expected = Expected(reasons=frozenset({"LeaseLost"}))
    shown = [run("a", "lost", "LeaseLost")]
    assert verdict(shown, heard("start a -9", "beat a 0.5"), expected=expected).clean
    assert verdict(shown, heard("start a -9", "beat a 4"), expected=expected).doubled


def test_an_execution_that_belongs_to_no_run_is_double() -> None:
    """So is a run that nobody asked for, unless its trigger had no answer."""
    assert verdict([run("a")], heard(*WHOLE, "start b -1")).doubled
    both = heard(*WHOLE, "start b -3", "end b -1")
    shown = [run("a"), run("b")]
    assert verdict(shown, both, triggered={"a": "A"}).doubled
    sure = verdict(shown, both, triggered={"a": "A"}, unsure={"b"})
    assert sure.clean
    assert sure.runs == 2


@pytest.mark.parametrize("lines", [[], ["start a -3"], ["end a -3"]])
def test_a_success_that_was_not_executed_whole_is_lost(lines: list[str]) -> None:
    """A verdict alone proves nothing."""
    assert verdict([run("a")], heard(*lines)).lost


def test_a_run_that_the_mothership_forgot_is_lost() -> None:
    """Also when it was executed."""
    found = verdict([], heard(*WHOLE), triggered={"a": "A"})
    assert found.lost
    assert not found.doubled


def test_a_failure_counts_as_lost_unless_the_fault_explains_it() -> None:
    """Each scenario names the reasons."""
    shown = [run("a", "failed", "PodDeleted")]
    began = heard("start a -3")
    assert verdict(shown, began).lost
    assert verdict(shown, began, expected=Expected(reasons=frozenset({"PodDeleted"}))).clean
    assert verdict(shown, began, expected=Expected(reasons=frozenset({"NodeLost"}))).lost
    assert verdict(shown, began, expected=Expected(stopped=frozenset({"a"}))).clean


def test_a_failure_before_the_grant_is_lost_although_the_reason_explains_one_after_it() -> None:
    """Never granted means scheduled again by itself."""
    shown = [run("a", "failed", "PodDeleted", granted=False)]
    assert verdict(shown, heard(), expected=Expected(reasons=frozenset({"PodDeleted"}))).lost
    assert verdict(shown, heard(), expected=Expected(ungranted=frozenset({"PodDeleted"}))).clean


@pytest.mark.parametrize("state", ["queued", "assigned", "accepted", "started"])
def test_a_run_that_is_not_over_is_without_verdict(state: str) -> None:
    """Even one that did its work."""
    found = verdict([run("a", state)], heard(*WHOLE))
    assert found.without_verdict
    assert not found.lost


def test_a_journal_is_written_by_commands_that_name_the_run(tmp_path: Any) -> None:  # noqa: ANN401 - a path
    """The name is found again in what the mothership shows."""
    journal = Journal.new(tmp_path / "j")
    commands = journal.commands("r7", "{beat}; sleep 1")
    assert name_of(commands) == "r7"
    assert "beat r7" in commands[1]
    assert name_of(["true"]) is None
    journal.path.write_text("start r7 1.5\nend r7 2.5\nstart r8 ")
    assert journal.read().starts == {"r7": 1}
    assert journal.read().last == {"r7": 2.5}


def test_a_line_that_no_run_writes_is_an_error() -> None:
    """A torn or foreign line must not pass for silence."""
    with pytest.raises(ValueError, match="no line of a run"):
        Evidence.of(["strat r7 1.5"])


def test_the_closing_line_has_its_form_and_anything_found_is_no_success() -> None:
    """Nothing judged is none either."""
    report = Report(scenarios=2, runs=40)
    assert report.closing_line() == "faults: 2 scenarios, 40 runs, 0 lost, 0 doubled, 0 without verdict"
    assert report.clean
    assert not Report().clean
    for wrong in ({"lost": 1}, {"doubled": 1}, {"without_verdict": 1}, {"broken": ["x"]}):
        assert not Report(scenarios=1, runs=1, **wrong).clean
