"""The network between mothership and broker swallows everything: connections stand, nothing arrives."""

from tests.faults.scenario import scenario
from tests.faults.world import World


@scenario()
def inject(world: World) -> None:
    """Swallow everything for some seconds."""
    with world.silenced("mothership-broker"):
        world.wait(world.random.uniform(5, 12))
