"""Anything fails, as in `chaos`, with two replicas of the operator of which either may be the one that does."""

from tests.faults.chaos import plan
from tests.faults.scenario import scenario
from tests.faults.scenarios.chaos import EXPECTED
from tests.faults.world import World


@scenario(replicas=2, runs=40, rounds=4, work="sleep 1", expected=EXPECTED, settle=300)
def inject(world: World) -> None:
    """Do a few things, one right after the other."""
    for act, seed in plan(world.seed, world.round):
        world.random.seed(seed)
        world.note(act(world))
