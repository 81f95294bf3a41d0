"""The API server tells what drives the hooks that others wrote first."""

from tests.faults.answers import patches, sometimes
from tests.faults.api_faults import Refusal
from tests.faults.scenario import scenario
from tests.faults.world import World


@scenario(rounds=1)
def inject(world: World) -> None:
    """Answer in its place for a while, in which the pool's size changes: else it has little to update."""
    rule = sometimes(world.random, 0.6, Refusal(409), patches)
    with world.api_answers("hookdriver-api", rule) as proxy:
        for size in (8, 5):
            world.pool.scale(size)
            world.until(lambda size=size: len(world.workers()) == size, f"there are {size} Workers")  # type: ignore[misc]
        world.until(lambda: proxy.refused >= 1, "calls get that answer")
