"""No node takes Pods for longer than runs wait for one: those fail, and say so."""

from tests.faults.scenario import scenario
from tests.faults.scenarios.pod_unschedulable import cordon
from tests.faults.verdict import Expected
from tests.faults.world import World


@scenario(expected=Expected(ungranted=frozenset({"Unschedulable"})))
def inject(world: World) -> None:
    """Cordon the node for longer than --unschedulable-grace."""
    cordon(world, 7)
