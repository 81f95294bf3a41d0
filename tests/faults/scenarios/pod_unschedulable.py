"""No node takes Pods for a while: the only one is cordoned."""

from tests.faults.scenario import scenario
from tests.faults.world import World


@scenario()
def inject(world: World) -> None:
    """Cordon the node for longer than an attempt waits, and let it take Pods again."""
    node = f"/api/v1/nodes/{world.cluster.site.node_name}"
    world.undo.append(lambda: world.patch(node, {"spec": {"unschedulable": None}}))
    world.patch(node, {"spec": {"unschedulable": True}})
    world.wait(world.random.uniform(4, 7))
    world.undo.pop()()
