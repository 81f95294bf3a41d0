"""Nothing fails: the load itself is sound, and what the other scenarios find is theirs."""

from tests.faults.scenario import scenario
from tests.faults.world import World


@scenario(rounds=1)
def inject(world: World) -> None:
    """Do nothing."""
