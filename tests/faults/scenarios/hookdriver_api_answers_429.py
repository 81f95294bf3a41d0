"""The API server tells what drives the hooks that it asks too much."""

from tests.faults.answers import answer_some
from tests.faults.api_faults import Refusal
from tests.faults.scenario import scenario
from tests.faults.world import World


@scenario(rounds=1)
def inject(world: World) -> None:
    """Answer in its place for a while."""
    answer_some(world, "hookdriver-api", 0.3, Refusal(429, retry_after=1), at_least=1)
