"""Power failure: every part dies at once (kill -9) and they come back in any order."""

from tests.faults.scenario import scenario
from tests.faults.verdict import Expected
from tests.faults.world import World

PARTS = (
    "etcd",
    "kube-apiserver",
    "kube-controller-manager",
    "node",
    "mosquitto",
    "mothership",
    "operator",
    "hookdriver",
)


@scenario(
    rounds=1, expected=Expected(reasons=frozenset({"NodeLost", "NonZeroExit", "LeaseLost"})), settle=240
)
def inject(world: World) -> None:
    """Kill them all and start them, shuffled, without waiting for one another."""
    for part in PARTS:
        world.kill(part)
    for part in world.random.sample(PARTS, len(PARTS)):
        world.cluster.component(part).start(wait=False)
    for part in PARTS:
        world.cluster.component(part).wait_ready()
