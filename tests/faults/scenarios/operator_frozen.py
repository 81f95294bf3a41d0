"""The operator stands still for longer than its broker waits, and wakes without knowing."""

from tests.faults.scenario import scenario
from tests.faults.world import World


@scenario()
def inject(world: World) -> None:
    """Stop it where it is."""
    world.pause("operator", 25)
