"""The API server tells the operator that others wrote first."""

from tests.faults.answers import answer_some, patches
from tests.faults.api_faults import Refusal
from tests.faults.scenario import scenario
from tests.faults.world import World


@scenario(rounds=1)
def inject(world: World) -> None:
    """Answer in its place for a while."""
    answer_some(world, "operator-api", 0.5, Refusal(409), patches, at_least=5)
