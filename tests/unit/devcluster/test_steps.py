"""Steps: in order, at once where that is possible, and ending at the first failure."""

import threading

import pytest

from devcluster.steps import Step, run


def test_a_step_begins_when_all_it_waits_for_are_done() -> None:
    """Order follows what the steps say, not the order they are listed in."""
    done: list[str] = []
    run(
        {
            "operator": Step(lambda: done.append("operator"), ("objects", "broker")),
            "objects": Step(lambda: done.append("objects"), ("api",)),
            "broker": Step(lambda: done.append("broker"), ("api",)),
            "api": Step(lambda: done.append("api")),
        }
    )
    assert done[0] == "api"
    assert done[-1] == "operator"
    assert len(done) == 4


def test_steps_that_do_not_depend_on_each_other_run_at_once() -> None:
    """Each of two steps waits for the other's beginning: only together can they end."""
    meeting = threading.Barrier(2, timeout=10)
    run({"left": Step(meeting.wait), "right": Step(meeting.wait)})


def test_a_step_that_is_not_there_counts_as_done() -> None:
    """A cluster without an operator still starts its node."""
    done: list[str] = []
    run({"node": Step(lambda: done.append("node"), ("operator",))})
    assert done == ["node"]


def test_the_first_failure_is_raised_and_nothing_after_it_begins() -> None:
    """What waits for a failed step would fail for a reason that helps nobody."""
    done: list[str] = []

    def fail() -> None:
        msg = "etcd: ended instead of starting"
        raise RuntimeError(msg)

    with pytest.raises(RuntimeError, match="etcd"):
        run({"etcd": Step(fail), "api": Step(lambda: done.append("api"), ("etcd",))})
    assert done == []


def test_a_failure_cuts_short_what_is_under_way() -> None:
    """Nobody waits a minute for the mothership when the operator has already failed."""
    waiting, abandoned = threading.Event(), threading.Event()

    def wait_in_vain() -> None:
        waiting.set()
        assert abandoned.wait(10)

    def fail() -> None:
        assert waiting.wait(10)
        msg = "operator: ended instead of starting"
        raise RuntimeError(msg)

    with pytest.raises(RuntimeError, match="operator"):
        run({"mothership": Step(wait_in_vain), "operator": Step(fail)}, abandon=abandoned.set)
