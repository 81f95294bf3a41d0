"""The mothership dies at once (kill -9) between any two of its transactions."""

from tests.faults.scenario import scenario
from tests.faults.world import World


@scenario(short=True)
def inject(world: World) -> None:
    """Kill it, and start it a moment later."""
    world.crash("mothership", down=world.random.uniform(0, 3))
