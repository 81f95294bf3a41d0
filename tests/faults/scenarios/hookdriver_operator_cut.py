"""The network between hookdriver and operator is cut: connections are reset, new ones refused."""

from tests.faults.scenario import scenario
from tests.faults.world import World


@scenario(rounds=1)
def inject(world: World) -> None:
    """Cut it for some seconds."""
    with world.cut("hookdriver-operator"):
        world.wait(world.random.uniform(1, 8))
