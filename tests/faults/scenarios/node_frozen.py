"""The node stands still for longer than its Lease lasts, and wakes without knowing; its containers go on."""

from tests.faults.scenario import scenario
from tests.faults.world import World


@scenario(rounds=1, settle=240)
def inject(world: World) -> None:
    """Stop it where it is."""
    world.pause("node", 20)
