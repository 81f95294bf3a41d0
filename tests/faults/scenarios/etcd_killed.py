"""etcd dies at once (kill -9) under the API server."""

from tests.faults.scenario import scenario
from tests.faults.world import World


@scenario()
def inject(world: World) -> None:
    """Kill it, and start it a moment later."""
    world.crash("etcd", down=world.random.uniform(0, 4))
