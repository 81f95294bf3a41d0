"""No node takes Pods for a while, shorter than runs wait for one: the only node is cordoned."""

from tests.faults.scenario import scenario
from tests.faults.world import World


@scenario(arguments={"operator": ("--unschedulable-grace=2m",)})
def inject(world: World) -> None:
    """Cordon the node, and let it take Pods again."""
    cordon(world, world.random.uniform(3, 7))


def cordon(world: World, seconds: float) -> None:
    """Let the node take no Pods for so long."""
    node = f"/api/v1/nodes/{world.cluster.site.node_name}"
    world.undo.append(lambda: world.patch(node, {"spec": {"unschedulable": None}}))
    world.patch(node, {"spec": {"unschedulable": True}})
    world.wait(seconds)
    world.undo.pop()()
