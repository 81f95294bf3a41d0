"""The API server does what the hooks' driver asks, and the answer never arrives."""

from tests.faults.answers import sometimes, writes
from tests.faults.api_faults import LostAnswer
from tests.faults.scenario import scenario
from tests.faults.world import World


@scenario(rounds=1)
def inject(world: World) -> None:
    """Answer in its place for a while."""
    rule = sometimes(world.random, 0.6, LostAnswer(), writes)
    with world.api_answers("hookdriver-api", rule) as proxy:
        world.until(lambda: proxy.refused >= 1, "calls get that answer")
        world.wait(8)
