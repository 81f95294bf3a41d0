"""The broker comes back without its store: sessions, subscriptions and queued messages are gone."""

from tests.faults.scenario import scenario
from tests.faults.world import World


@scenario(short=True)
def inject(world: World) -> None:
    """Kill it, remove its store, start it."""
    world.empty_broker()
