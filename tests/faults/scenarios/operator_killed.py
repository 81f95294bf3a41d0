"""The operator dies at once (kill -9) while runs are claimed, starting and running."""

from tests.faults.scenario import scenario
from tests.faults.world import World


@scenario(short=True)
def inject(world: World) -> None:
    """Kill it, and start it a moment later."""
    world.crash("operator", down=world.random.uniform(0, 2))
