"""The network between operator and broker is cut: connections are reset, new ones refused."""

from tests.faults.scenario import scenario
from tests.faults.world import World


@scenario(short=True, rounds=1)
def inject(world: World) -> None:
    """Cut it for some seconds."""
    with world.cut("operator-broker"):
        world.wait(world.random.uniform(1, 8))
