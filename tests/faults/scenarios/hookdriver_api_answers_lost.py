"""The API server does what the hooks' driver asks, and the answer never arrives."""

from tests.faults.answers import answer_some, writes
from tests.faults.api_faults import LostAnswer
from tests.faults.scenario import scenario
from tests.faults.world import World


@scenario(rounds=1)
def inject(world: World) -> None:
    """Answer in its place for a while."""
    answer_some(world, "hookdriver-api", 0.6, LostAnswer(), writes, at_least=1)
