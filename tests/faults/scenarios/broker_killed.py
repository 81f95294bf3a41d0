"""The broker dies at once (kill -9) with messages in flight that it had not stored."""

from tests.faults.scenario import scenario
from tests.faults.world import World


@scenario(short=True)
def inject(world: World) -> None:
    """Kill it, and start it a moment later."""
    world.crash("mosquitto", down=world.random.uniform(0, 2))
