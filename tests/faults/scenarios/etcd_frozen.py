"""etcd stands still, so that the API server answers neither reads nor writes."""

from tests.faults.scenario import scenario
from tests.faults.world import World


@scenario()
def inject(world: World) -> None:
    """Stop it where it is."""
    world.pause("etcd", 10)
