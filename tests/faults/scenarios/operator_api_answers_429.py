"""The API server tells the operator that it asks too much."""

from tests.faults.answers import anything, sometimes
from tests.faults.api_faults import Refusal
from tests.faults.scenario import scenario
from tests.faults.world import World


@scenario(rounds=1)
def inject(world: World) -> None:
    """Answer in its place for a while."""
    rule = sometimes(world.random, 0.3, Refusal(429, retry_after=1), anything)
    with world.api_answers("operator-api", rule) as proxy:
        world.until(lambda: proxy.refused >= 5, "calls get that answer")
        world.wait(8)
