"""When the mothership's word ends an attempt, and which Pods serve attempts that are over."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.agent.decisions.released import attempt_is_over, cancels, guards_nothing, releases
from tests.unit.agent import builders as a

PHASES = ["Scheduled", "Starting", "Running", "Finished"]


@pytest.mark.parametrize("phase", PHASES)
def test_a_release_is_obeyed_only_in_finished(phase: str) -> None:
    """Elsewhere it is acknowledged and dropped."""
    assert releases(a.busy(phase), a.released()) is (phase == "Finished")


@pytest.mark.parametrize("phase", PHASES)
def test_a_cancel_is_obeyed_only_before_the_worker_container_ran(phase: str) -> None:
    """Once granted, cancel is a stop instead, which the launcher hears."""
    assert cancels(a.busy(phase), a.canceled()) is (phase in ("Scheduled", "Starting"))


@pytest.mark.parametrize(("run", "sequence"), [(a.OTHER_RUN, 2), (a.RUN, 1), (a.RUN, 3)])
def test_another_attempts_word_is_not_this_ones(run: str, sequence: int) -> None:
    """(run, sequence) must both fit."""
    assert not releases(a.busy("Finished"), a.released(run, sequence))
    assert not cancels(a.busy("Starting"), a.canceled(run, sequence))


def test_an_idle_worker_has_nothing_to_release() -> None:
    """A repeat after the release is dropped."""
    assert not releases(a.worker(), a.released())
    assert not cancels(a.worker(), a.canceled())


@pytest.mark.parametrize("phase", PHASES)
def test_the_own_attempt_is_over_in_finished_alone(phase: str) -> None:
    """The verdict is stored: the Pod's finalizer may come off."""
    assert guards_nothing(a.busy(phase), a.pod()) is (phase == "Finished")


@given(st.integers(0, 9), st.integers(0, 9))
def test_an_older_assignments_pod_is_over_and_a_newer_ones_never(answered: int, number: int) -> None:
    """A Pod whose number the Worker's view hasn't reached is newer than the view: hands off."""
    idle = a.worker(status={"registration": "Registered", "assignment": answered})
    assert attempt_is_over(idle, a.pod(assignment=number)) is (number <= answered)


def test_an_unreadable_worker_or_pod_is_never_over() -> None:
    """What isn't understood is never destroyed."""
    unreadable = a.worker(status={"assignment": 99, "run": {"phase": "Teleporting"}})
    assert not attempt_is_over(unreadable, a.pod())
    assert not attempt_is_over(a.worker(), a.pod(assignment="none"))


def test_a_pod_without_the_finalizer_needs_nothing() -> None:
    """No write for what is done already."""
    assert not guards_nothing(a.busy("Finished"), a.pod(guarded=False))
