"""A run's Pod is evicted through the API, in each phase."""

from tests.faults.scenario import scenario
from tests.faults.verdict import Expected
from tests.faults.world import World

PHASES = ("Scheduled", "Starting", "Running", "Finished")


@scenario(rounds=4, work="sleep 2", expected=Expected(reasons=frozenset({"PodDeleted", "Evicted"})))
def inject(world: World) -> None:
    """Take a phase in turn, and the first Pod found in it that the API server still has."""
    world.strike(PHASES[world.round % 4], world.evict)
