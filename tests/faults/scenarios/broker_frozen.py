"""The broker stands still: connections stay, nothing passes."""

from tests.faults.scenario import scenario
from tests.faults.world import World


@scenario()
def inject(world: World) -> None:
    """Stop it where it is."""
    world.pause("mosquitto", 15)
