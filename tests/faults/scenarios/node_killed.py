"""The node dies at once (kill -9) with all its containers and comes back with nothing of them."""

from tests.faults.scenario import scenario
from tests.faults.verdict import Expected
from tests.faults.world import World


@scenario(
    work="sleep 1", expected=Expected(reasons=frozenset({"NodeLost", "NonZeroExit", "LeaseLost"})), settle=240
)
def inject(world: World) -> None:
    """Kill it in the middle of runs, and start it a moment later."""
    world.await_phase("Running")
    world.crash("node", down=world.random.uniform(0, 3))
