"""Split brain: a replica sleeps while its pools move to the other one, and wakes up believing that they are its own."""

from tests.faults.scenario import scenario
from tests.faults.world import World

REPLICAS = ("operator", "operator-2")


@scenario(replicas=2, rounds=2)
def inject(world: World) -> None:
    """Stop one where it is, longer than its lease lasts, then in the next round the other one."""
    world.pause(REPLICAS[world.round % 2], 22)
