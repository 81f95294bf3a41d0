"""The pool shrinks to nothing and grows again under load, twice as large as before."""

from tests.faults.scenario import scenario
from tests.faults.world import World


@scenario(work="sleep 1")
def inject(world: World) -> None:
    """Scale to 0, to 10 and back."""
    world.await_phase("Running")
    for size in (0, 10, 5):
        world.pool.scale(size)
        world.wait(world.random.uniform(0.5, 4))
