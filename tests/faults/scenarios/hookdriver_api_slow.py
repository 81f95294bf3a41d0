"""The network between hookdriver and api is slow: everything arrives late."""

from tests.faults.scenario import scenario
from tests.faults.world import World


@scenario(rounds=1)
def inject(world: World) -> None:
    """Delay everything for a while."""
    with world.delayed("hookdriver-api", world.random.uniform(0.2, 1)):
        world.wait(15)
