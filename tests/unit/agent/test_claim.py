"""Which scheduled runs are claimed."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.agent.decisions.claim import AnswerAgain, Claim, Reject, decide
from protocol.runs import Rejection
from tests.unit.agent import builders as a


def reason(decision: object) -> Rejection:
    """Return why a decision refuses."""
    assert isinstance(decision, Reject)
    return decision.reason


def test_an_idle_registered_worker_claims_a_new_assignment() -> None:
    """A number above the last answered one is claimed."""
    assert decide(a.worker(), a.scheduled(5), a.pool()) == Claim("runner:1")


@pytest.mark.parametrize("phase", ["Scheduled", "Starting", "Running", "Finished"])
def test_a_repeat_of_the_recorded_run_is_answered_again(phase: str) -> None:
    """Fence 1: in no phase is the same attempt claimed twice."""
    assert decide(a.busy(phase), a.scheduled(5), a.pool()) == AnswerAgain(over=phase == "Finished")


@given(st.integers(min_value=0, max_value=9), st.integers(min_value=0, max_value=9))
def test_no_number_at_or_below_the_answered_one_is_ever_claimed(answered: int, number: int) -> None:
    """Fence 1: a replay hours later, after the run went, is refused and leaves no trace."""
    worker = a.worker(status={"registration": "Registered", "assignment": answered})
    decision = decide(worker, a.scheduled(number), a.pool())
    assert (decision == Claim("runner:1")) is (number > answered)
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


def test_the_rejection_of_an_image_names_it_and_its_registry() -> None:
    """The one who triggered the run and the one who owns the pool read the same sentence."""
    decision = decide(
        a.worker(), a.scheduled(runner_image="ghcr.io/x/y:1"), a.pool(allowedRunnerImageHosts=["docker.io"])
    )
    assert decision == Reject(
        Rejection.IMAGE_NOT_ALLOWED,
        "the runner image ghcr.io/x/y:1 comes from ghcr.io, which spec.allowedRunnerImageHosts doesn't list",
    )


def test_a_malformed_image_is_invalid_in_every_pool() -> None:
    """The kubelet would say InvalidImageName of a Pod that was made for nothing."""
    decision = decide(a.worker(), a.scheduled(runner_image="My Image"), a.pool())
    assert reason(decision) is Rejection.INVALID
    assert isinstance(decision, Reject)
    assert '"My Image"' in decision.message
    assert "blanks" in decision.message


@pytest.mark.parametrize(
    ("tool", "pod", "image"),
    [
        ("", {}, "public.ecr.aws/spacelift/runner-terraform:latest"),
        ("terraform", {}, "public.ecr.aws/spacelift/runner-terraform:latest"),
        ("ansible", {}, "public.ecr.aws/spacelift/runner-ansible:latest"),
        ("", {"defaultRunnerImage": "one", "defaultAnsibleRunnerImage": "two"}, "one"),
        ("ansible", {"defaultRunnerImage": "one", "defaultAnsibleRunnerImage": "two"}, "two"),
        ("ansible", {"defaultRunnerImage": "one"}, "public.ecr.aws/spacelift/runner-ansible:latest"),
        ("", {"defaultRunnerImage": None}, "public.ecr.aws/spacelift/runner-terraform:latest"),
        ("ansible", {"defaultAnsibleRunnerImage": ""}, "public.ecr.aws/spacelift/runner-ansible:latest"),
    ],
)
def test_a_run_without_an_image_gets_the_pools_default(tool: str, pod: a.Json, image: str) -> None:
    """The Ansible one for the tool ansible; an image that the run names wins over all."""
    assert decide(a.worker(), a.scheduled(runner_image="", tool=tool), a.pool(pod=pod)) == Claim(image)
    assert decide(a.worker(), a.scheduled(tool=tool), a.pool(pod=pod)) == Claim("runner:1")


def test_a_default_image_is_judged_like_any_other() -> None:
    """A pool that doesn't list the registry of its own default says so, and that it was the default."""
    run = a.scheduled(runner_image="")
    decision = decide(a.worker(), run, a.pool(allowedRunnerImageHosts=["docker.io"]))
    assert reason(decision) is Rejection.IMAGE_NOT_ALLOWED
    assert isinstance(decision, Reject)
    assert "the pool's default image" in decision.message
    assert "public.ecr.aws" in decision.message
    broken = a.pool(pod={"defaultRunnerImage": "UPPER"})
    assert reason(decide(a.worker(), run, broken)) is Rejection.INVALID
