"""The network between launcher and mothership is cut: connections are reset, new ones refused."""

from tests.faults.scenario import scenario
from tests.faults.world import World


@scenario(short=True, rounds=1)
def inject(world: World) -> None:
    """Cut it for some seconds."""
    with world.cut("launcher-mothership"):
        world.wait(world.random.uniform(1, 8))
