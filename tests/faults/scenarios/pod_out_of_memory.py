"""Runs use more memory than their container may have, among others that don't."""

from tests.faults.scenario import scenario
from tests.faults.verdict import Expected
from tests.faults.world import World


@scenario(
    spec={"pod": {"workerContainer": {"resources": {"limits": {"memory": "64Mi"}}}}},
    expected=Expected(reasons=frozenset({"OOMKilled"})),
)
def inject(world: World) -> None:
    """Trigger one more run that takes all memory it can get."""
    world.load.trigger(f"hog{world.round}", work="tail /dev/zero")
