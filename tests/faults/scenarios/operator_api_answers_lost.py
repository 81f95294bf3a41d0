"""The API server does what the operator asks, and the answer never arrives."""

from tests.faults.answers import answer_some, writes
from tests.faults.api_faults import LostAnswer
from tests.faults.scenario import scenario
from tests.faults.world import World


@scenario(short=True, rounds=1)
def inject(world: World) -> None:
    """Answer in its place for a while."""
    answer_some(world, "operator-api", 0.3, LostAnswer(), writes, at_least=5)
