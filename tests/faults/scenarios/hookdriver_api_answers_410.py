"""Every watch of the hookdriver breaks again and again, and its place in it is too old (410)."""

from tests.faults.answers import sometimes, watches
from tests.faults.api_faults import Refusal
from tests.faults.scenario import scenario
from tests.faults.world import World


@scenario(rounds=1)
def inject(world: World) -> None:
    """Drop the watches every second, and refuse most new ones."""
    with world.api_answers("hookdriver-api", sometimes(world.random, 0.7, Refusal(410), watches)) as proxy:
        for _ in range(10):
            world.wait(1)
            proxy.drop_watches()
        world.until(lambda: proxy.refused >= 5, "watches get that answer")
