"""A run's Pod is evicted through the API, in each phase."""

from tests.faults.scenario import scenario
from tests.faults.verdict import Expected
from tests.faults.world import World, pod_of

PHASES = ("Scheduled", "Starting", "Running")


@scenario(rounds=3, work="sleep 2", expected=Expected(reasons=frozenset({"PodDeleted", "Evicted"})))
def inject(world: World) -> None:
    """Take a phase in turn, and the first Pod found in it."""
    worker = world.await_phase(PHASES[world.round % 3])
    world.evict(pod_of(worker))
