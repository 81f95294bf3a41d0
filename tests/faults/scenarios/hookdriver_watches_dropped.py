"""Every watch of the hookdriver ends without a word, again and again."""

from tests.faults.answers import drop_watches
from tests.faults.scenario import scenario
from tests.faults.world import World


@scenario(rounds=1)
def inject(world: World) -> None:
    """Drop the watches twice a second."""
    drop_watches(world, "hookdriver-api")
