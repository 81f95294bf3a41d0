"""Which scheduled runs are claimed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.agent.decisions.claim import AnswerAgain, Claim, Reject, decide, image_allowed, image_host
from protocol.runs import Rejection
from tests.unit.agent import builders as a


def reason(decision: object) -> Rejection:
    """Return why a decision refuses."""
    assert isinstance(decision, Reject)
    return decision.reason


def test_an_idle_registered_worker_claims_a_new_assignment() -> None:
    """A number above the last answered one is claimed."""
    assert decide(a.worker(), a.scheduled(5), a.pool()) == Claim()


@pytest.mark.parametrize("phase", ["Scheduled", "Starting", "Running", "Finished"])
def test_a_repeat_of_the_recorded_run_is_answered_again(phase: str) -> None:
    """Fence 1: in no phase is the same attempt claimed twice."""
    assert decide(a.busy(phase), a.scheduled(5), a.pool()) == AnswerAgain()


@given(st.integers(min_value=0, max_value=9), st.integers(min_value=0, max_value=9))
def test_no_number_at_or_below_the_answered_one_is_ever_claimed(answered: int, number: int) -> None:
    """Fence 1: a replay hours later, after the run went, is refused and leaves no trace."""
    worker = a.worker(status={"registration": "Registered", "assignment": answered})
    decision = decide(worker, a.scheduled(number), a.pool())
    assert (decision == Claim()) is (number > answered)
    if number <= answered:
        assert isinstance(decision, Reject)
        assert (decision.reason, decision.record) == (Rejection.BUSY, False)


def test_a_busy_worker_refuses_another_run() -> None:
    """One run at a time."""
    assert reason(decide(a.busy(), a.scheduled(6, run=a.OTHER_RUN), a.pool())) is Rejection.BUSY


def test_a_worker_whose_run_cannot_be_read_is_busy_and_left_as_it_is() -> None:
    """What isn't understood is never overwritten, not even by an assignment number."""
    worker = a.worker(status={"registration": "Registered", "assignment": 1, "run": {"phase": "Teleporting"}})
    decision = decide(worker, a.scheduled(5), a.pool())
    assert isinstance(decision, Reject)
    assert (decision.reason, decision.record) == (Rejection.BUSY, False)


@pytest.mark.parametrize(
    "changes",
    [
        {"deleting": True},
        {"managed": False},
        {"draining": True},
        {"status": {"registration": "Registered", "drained": True}},
        {"status": {"registration": "Deregistering"}},
        {"status": {"registration": "Gone"}},
    ],
    ids=["deleted", "without finalizer", "draining", "drained", "deregistering", "gone"],
)
def test_a_worker_that_leaves_takes_nothing_new(changes: dict[str, object]) -> None:
    """Never claimed with a deletionTimestamp or without the finalizer."""
    assert reason(decide(a.worker(**changes), a.scheduled(5), a.pool())) is Rejection.DRAINING


def test_an_image_from_another_registry_is_refused() -> None:
    """`allowedRunnerImageHosts` bounds where runner images come from."""
    decision = decide(
        a.worker(), a.scheduled(runner_image="ghcr.io/x/y:1"), a.pool(allowedRunnerImageHosts=["docker.io"])
    )
    assert reason(decision) is Rejection.IMAGE_NOT_ALLOWED


@pytest.mark.parametrize(
    ("image", "host"),
    [
        ("alpine", "docker.io"),
        ("library/alpine:3", "docker.io"),
        ("index.docker.io/a/b", "docker.io"),
        ("localhost/a", "localhost"),
        ("reg:5000/a", "reg:5000"),
        ("Private.Example/a/b@sha256:00", "private.example"),
        ("evil/docker.io/x", "docker.io"),
    ],
)
def test_the_host_of_an_image_is_what_a_runtime_would_ask(image: str, host: str) -> None:
    """The first part counts as a host only with a dot, a colon, or as localhost."""
    assert image_host(image) == host


def test_a_pool_without_a_list_allows_every_registry() -> None:
    """An empty list is no list."""
    assert image_allowed("ghcr.io/a", ())
    assert image_allowed("GHCR.io/a", ("ghcr.IO",))
    assert not image_allowed("ghcr.io.evil.example/a", ("ghcr.io",))
