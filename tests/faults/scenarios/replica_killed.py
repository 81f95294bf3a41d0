"""One of two replicas of the operator dies at once, and comes back after its pools have moved; the other one next."""

from tests.faults.scenario import scenario
from tests.faults.world import World

REPLICAS = ("operator", "operator-2")


@scenario(replicas=2, rounds=2)
def inject(world: World) -> None:
    """Kill one, longer than its lease lasts, then in the next round the other one."""
    world.crash(REPLICAS[world.round % 2], 22)
