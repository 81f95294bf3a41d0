"""Every watch of the operator breaks again and again, and its place in it is too old (410)."""

from tests.faults.answers import outdate_watches
from tests.faults.scenario import scenario
from tests.faults.world import World


@scenario(rounds=1)
def inject(world: World) -> None:
    """Drop the watches every second, and refuse most new ones."""
    outdate_watches(world, "operator-api")
