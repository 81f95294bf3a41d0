"""The image of a run: chosen, judged and recorded at the claim, before there is anything to undo."""

from typing import Any

import pytest

from protocol.messages import RunAccepted, RunRejected
from protocol.runs import Reason, Rejection
from tests.unit.agent import builders as a
from tests.unit.agent.conftest import Material
from tests.unit.agent.world import World


def schedule(world: World, material: Material, **changes: Any) -> None:  # noqa: ANN401 - what scheduled takes
    """Schedule a run on the idle Worker and settle."""
    world.link.deliver(a.scheduled(payload=material.seal(), **changes))
    world.settle()


@pytest.mark.parametrize(
    ("tool", "image"),
    [("", "one.example/a:1"), ("ansible", "public.ecr.aws/spacelift/runner-ansible:latest")],
)
def test_the_resolved_image_is_recorded(world: World, material: Material, tool: str, image: str) -> None:
    """The Pod is built from the record: the default of a later moment never gets into a run."""
    world.up(a.worker_object(), pod={"defaultRunnerImage": "one.example/a:1"})
    schedule(world, material, runner_image="", tool=tool)
    assert world.status()["run"]["runnerImage"] == image


def test_an_image_that_the_run_names_is_recorded_as_it_is(world: World, material: Material) -> None:
    """Normalising is for judging alone: the kubelet does its own."""
    world.up(a.worker_object(), pod={"defaultRunnerImage": "one.example/a:1"})
    schedule(world, material, runner_image="Private.Example/a")
    assert world.status()["run"]["runnerImage"] == "Private.Example/a"


@pytest.mark.parametrize(
    ("image", "reason", "text"),
    [
        ("ghcr.io/a/b:1", Rejection.IMAGE_NOT_ALLOWED, "ghcr.io/a/b:1 comes from ghcr.io"),
        ("docker.io:5000/a", Rejection.IMAGE_NOT_ALLOWED, "comes from docker.io:5000"),
        ("", Rejection.IMAGE_NOT_ALLOWED, "the pool's default image, comes from public.ecr.aws"),
        ("docker.io/UPPER", Rejection.INVALID, '"docker.io/UPPER" is not an image reference'),
    ],
)
def test_an_image_that_cannot_be_is_told_to_both_sides_and_makes_nothing(
    world: World, material: Material, image: str, reason: Rejection, text: str
) -> None:
    """run_rejected, Event and condition carry the same words; no Secret, no claim, and a repeat is no second Event."""
    link = world.up(a.worker_object(), allowedRunnerImageHosts=["docker.io"])
    schedule(world, material, runner_image=image)
    (rejected,) = link.take()
    assert isinstance(rejected, RunRejected)
    assert rejected.outcome_reason is (Reason.INVALID_IMAGE if reason is Rejection.INVALID else None)
    assert rejected.reason is reason
    assert text in rejected.message
    verdict = Reason.INVALID_IMAGE if reason is Rejection.INVALID else Reason.IMAGE_NOT_ALLOWED
    told = [event for event in world.events if event[2] == "RunRejected"]
    assert told == [
        ("Worker", "Warning", "RunRejected", f"Refused run {a.RUN}: {verdict.value}: {rejected.message}")
    ]
    (condition,) = [each for each in world.status()["conditions"] if each["type"] == "LastRunSucceeded"]
    assert (condition["status"], condition["reason"]) == ("False", verdict.value)
    assert condition["message"] == f"Run {a.RUN} failed: {verdict.value}: {rejected.message}"
    assert world.api.count("patch", "workers") == 1
    assert "run" not in world.status()
    assert world.secrets() == []
    assert world.status()["assignment"] == 5
    schedule(world, material, runner_image=image)
    assert [event[2] for event in world.events].count("RunRejected") == 1


def test_a_pool_that_widens_its_list_takes_the_next_run(world: World, material: Material) -> None:
    """The pool is judged as it is when the run comes."""
    link = world.up(a.worker_object(), allowedRunnerImageHosts=["docker.io", "ghcr.io"])
    schedule(world, material, runner_image="ghcr.io/a/b:1")
    assert [type(each) for each in link.take()] == [RunAccepted]
