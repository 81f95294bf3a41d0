"""The steps of a run through the agent, for tests that are about what comes of them."""

from typing import Any

from app.cluster.resources import PODS
from tests.unit.agent import builders as a
from tests.unit.agent.conftest import Material
from tests.unit.agent.world import World

RUNNING: dict[str, Any] = {"init": a.ended("init"), "phase": "Running"}


def claim(world: World, material: Material, assignment: int = 5) -> int:
    """Schedule the run on an idle Worker and settle."""
    mid = world.link.deliver(a.scheduled(assignment, payload=material.seal()))
    world.settle()
    return mid


def show_pod(world: World, *containers: a.Json, **changes: Any) -> None:  # noqa: ANN401 - what pod_object takes
    """Have the Pod come to the cluster, or change."""
    world.api.put(PODS, a.pod_object(*containers, **changes))
    world.settle()


def to_running(world: World, material: Material) -> None:
    """Bring the run to Running."""
    claim(world, material)
    show_pod(world)
    show_pod(world, a.running("launcher-grpc"), a.running("worker"), **RUNNING)


def finish(world: World, code: int = 0) -> None:
    """Have both containers end."""
    show_pod(world, a.ended("launcher-grpc"), a.ended("worker", code), init=a.ended("init"), phase="Running")
