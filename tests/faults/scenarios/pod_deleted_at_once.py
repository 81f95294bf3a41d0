"""Somebody deletes a run's Pod by force, in each phase, without any time."""

from tests.faults.scenario import scenario
from tests.faults.verdict import Expected
from tests.faults.world import PODS, World

PHASES = ("Scheduled", "Starting", "Running", "Finished")


@scenario(short=True, rounds=4, work="sleep 2", expected=Expected(reasons=frozenset({"PodDeleted"})))
def inject(world: World) -> None:
    """Take a phase in turn, and the first Pod found in it that the API server still has."""
    world.strike(PHASES[world.round % 4], lambda pod: world.delete(PODS, pod, grace=0))
