"""Somebody deletes Workers, busy and idle ones, under load."""

from tests.faults.scenario import scenario
from tests.faults.world import WORKERS, World


@scenario(short=True, work="sleep 1")
def inject(world: World) -> None:
    """Delete two of them; others take their place."""
    world.await_phase("Running")
    for worker in world.random.sample(world.workers(), 2):
        world.delete(WORKERS, worker["metadata"]["name"])
