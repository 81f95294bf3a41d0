"""People cancel and stop runs in every phase, as fast as they are triggered."""

from tests.faults.scenario import scenario
from tests.faults.verdict import Expected
from tests.faults.world import World

NAMES = frozenset(f"stopped{number}" for number in range(1000))


@scenario(short=True, rounds=4, expected=Expected(stopped=NAMES))
def inject(world: World) -> None:
    """Trigger some more and stop each after a moment of its own."""
    for number in range(world.round * 4, world.round * 4 + 4):
        run = world.load.trigger(f"stopped{number}", work="sleep 3")
        world.wait(world.random.uniform(0, 1.5))
        if run is not None:
            world.mothership.call("POST", f"/v1/runs/{run}/stop", {})
