"""The network between hookdriver and operator swallows everything: connections stand, nothing arrives."""

from tests.faults.scenario import scenario
from tests.faults.world import World


@scenario(rounds=1)
def inject(world: World) -> None:
    """Swallow everything for some seconds."""
    with world.silenced("hookdriver-operator"):
        world.wait(world.random.uniform(5, 12))
