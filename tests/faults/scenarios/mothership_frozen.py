"""The mothership stands still: calls are taken and not answered."""

from tests.faults.scenario import scenario
from tests.faults.world import World


@scenario()
def inject(world: World) -> None:
    """Stop it where it is."""
    world.pause("mothership", 15)
