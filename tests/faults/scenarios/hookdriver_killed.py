"""What drives the hooks dies at once (kill -9) and comes back with empty caches."""

from tests.faults.scenario import scenario
from tests.faults.world import World


@scenario(short=True)
def inject(world: World) -> None:
    """Kill it, and start it a moment later."""
    world.crash("hookdriver", down=world.random.uniform(0, 2))
