"""Operator, mothership and hook driver are restarted in order, one after the other, as in an upgrade."""

from tests.faults.scenario import scenario
from tests.faults.world import World


@scenario()
def inject(world: World) -> None:
    """Ask each to end, and start it again."""
    for part in ("operator", "hookdriver", "mothership"):
        world.stop(part)
        world.start(part)
