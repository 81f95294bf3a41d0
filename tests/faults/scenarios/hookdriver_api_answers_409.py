"""The API server tells what drives the hooks that others wrote first."""

from tests.faults.answers import patches, sometimes
from tests.faults.api_faults import Refusal
from tests.faults.scenario import scenario
from tests.faults.world import World


@scenario(rounds=1)
def inject(world: World) -> None:
    """Answer in its place for a while."""
    rule = sometimes(world.random, 0.6, Refusal(409), patches)
    with world.api_answers("hookdriver-api", rule) as proxy:
        world.until(lambda: proxy.refused >= 1, "calls get that answer")
        world.wait(8)
