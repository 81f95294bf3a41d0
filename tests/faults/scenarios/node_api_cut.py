"""The network between node and api is cut: connections are reset, new ones refused."""

from tests.faults.scenario import scenario
from tests.faults.world import World


@scenario()
def inject(world: World) -> None:
    """Cut it for some seconds."""
    with world.cut("node-api"):
        world.wait(world.random.uniform(1, 8))
