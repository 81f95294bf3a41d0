"""A rolling update: each replica is asked to end and started again, one after the other."""

from tests.faults.scenario import scenario
from tests.faults.world import World


@scenario(replicas=2, rounds=3)
def inject(world: World) -> None:
    """Replace both."""
    for part in ("operator", "operator-2"):
        world.stop(part)
        world.start(part)
