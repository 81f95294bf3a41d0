"""A run's Pod vanishes: somebody takes its finalizers off and deletes it by force, in each phase."""

import contextlib

from tests.faults.clients import CallError
from tests.faults.scenario import scenario
from tests.faults.scenarios.node_partitioned import LEASE
from tests.faults.verdict import Expected
from tests.faults.world import PODS, World

PHASES = ("Scheduled", "Starting", "Running", "Finished")


@scenario(
    rounds=4,
    work="sleep 2",
    arguments={"mothership": LEASE},
    expected=Expected(reasons=frozenset({"PodDeleted", "NodeLost", "LeaseLost"})),
    settle=240,
)
def inject(world: World) -> None:
    """Take a phase in turn, and the first Pod found in it that the API server still has."""
    pod = world.strike(PHASES[world.round % 4], lambda pod: world.delete(PODS, pod, grace=0))
    with contextlib.suppress(CallError):
        world.patch(f"{PODS}/{pod}", {"metadata": {"finalizers": None}})
