"""The API server dies at once (kill -9) and is away for some seconds."""

from tests.faults.scenario import scenario
from tests.faults.world import World


@scenario(short=True)
def inject(world: World) -> None:
    """Kill it, and start it a moment later."""
    world.crash("kube-apiserver", down=world.random.uniform(0, 4))
