"""No replica can renew its lease: the API server is out of reach of both, for longer than leases last."""

from tests.faults.scenario import scenario
from tests.faults.world import World


@scenario(replicas=2, rounds=1)
def inject(world: World) -> None:
    """Cut the link that both use."""
    with world.cut("operator-api"):
        world.wait(25)
