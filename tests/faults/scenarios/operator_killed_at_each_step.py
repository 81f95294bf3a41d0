"""The operator dies right when a run's phase changes: claimed, Pod seen, running, finished."""

from tests.faults.scenario import scenario
from tests.faults.world import World

PHASES = ("Scheduled", "Starting", "Running", "Finished")


@scenario(rounds=4, work="sleep 1")
def inject(world: World) -> None:
    """Take a phase in turn, kill the operator as soon as a Worker is in it."""
    world.await_phase(PHASES[world.round % 4])
    world.crash("operator")
