"""What drives the hooks stands still and wakes with old caches."""

from tests.faults.scenario import scenario
from tests.faults.world import World


@scenario(short=True, rounds=1)
def inject(world: World) -> None:
    """Stop it where it is."""
    world.pause("hookdriver", 5)
