"""Somebody deletes a run's Pod by force, in each phase, without any time."""

from tests.faults.scenario import scenario
from tests.faults.verdict import Expected
from tests.faults.world import PODS, World, pod_of

PHASES = ("Scheduled", "Starting", "Running")


@scenario(short=True, rounds=3, work="sleep 2", expected=Expected(reasons=frozenset({"PodDeleted"})))
def inject(world: World) -> None:
    """Take a phase in turn, and the first Pod found in it."""
    worker = world.await_phase(PHASES[world.round % 3])
    world.delete(PODS, pod_of(worker), grace=0)
