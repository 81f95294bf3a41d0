"""The API server tells what drives the hooks that others wrote first, and they did."""

import contextlib

from tests.faults.answers import patches, sometimes
from tests.faults.api_faults import Refusal
from tests.faults.clients import CallError
from tests.faults.scenario import scenario
from tests.faults.world import WORKERS, World


@scenario(rounds=1)
def inject(world: World) -> None:
    """Answer in its place for a while, in which the pool's size changes: else it has little to update.

    A real 409 comes with a change that a watch shows, and Metacontroller counts on that: it doesn't try again by itself.
    """
    rule = sometimes(world.random, 0.6, Refusal(409), patches)
    with world.api_answers("hookdriver-api", rule) as proxy:
        for size in (8, 5):
            world.pool.scale(size)
            world.until(lambda size=size: _written_and_counted(world) == size, f"there are {size} Workers")  # type: ignore[misc]
        world.until(lambda: proxy.refused >= 1, "calls get that answer")
    _written_and_counted(world)


def _written_and_counted(world: World) -> int:
    """Write an annotation on every Worker, as somebody else does; return how many there are."""
    world.wait(0.5)
    workers = world.workers()
    for worker in workers:
        name, version = worker["metadata"]["name"], worker["metadata"]["resourceVersion"]
        with contextlib.suppress(CallError):
            world.patch(f"{WORKERS}/{name}", {"metadata": {"annotations": {"example.com/seen": version}}})
    return len(workers)
