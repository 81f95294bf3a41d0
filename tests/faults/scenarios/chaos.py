"""Anything fails, at any time, several things after another; the seed that is printed brings the same again."""

from tests.faults.chaos import plan
from tests.faults.scenario import scenario
from tests.faults.verdict import Expected
from tests.faults.world import World

EXPECTED = Expected(reasons=frozenset({"PodDeleted", "NodeLost", "NonZeroExit", "LeaseLost"}))


@scenario(runs=40, rounds=4, work="sleep 1", expected=EXPECTED, settle=300)
def inject(world: World) -> None:
    """Do a few things, one right after the other."""
    for act, seed in plan(world.seed, world.round):
        world.random.seed(seed)
        world.note(act(world))
