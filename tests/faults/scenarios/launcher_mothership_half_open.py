"""The network between launcher and mothership swallows everything: connections stand, nothing arrives."""

from tests.faults.scenario import scenario
from tests.faults.world import World


@scenario()
def inject(world: World) -> None:
    """Swallow everything for some seconds."""
    with world.silenced("launcher-mothership"):
        world.wait(world.random.uniform(5, 12))
