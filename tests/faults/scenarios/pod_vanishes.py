"""A run's Pod vanishes: somebody takes its finalizers off and deletes it by force, in each phase."""

import contextlib

from tests.faults.clients import CallError
from tests.faults.scenario import scenario
from tests.faults.verdict import Expected
from tests.faults.world import PODS, World, pod_of

PHASES = ("Scheduled", "Starting", "Running")


@scenario(rounds=3, work="sleep 2", expected=Expected(reasons=frozenset({"PodDeleted", "NodeLost"})))
def inject(world: World) -> None:
    """Take a phase in turn, and the first Pod found in it."""
    pod = pod_of(world.await_phase(PHASES[world.round % 3]))
    world.delete(PODS, pod, grace=0)
    with contextlib.suppress(CallError):
        world.patch(f"{PODS}/{pod}", {"metadata": {"finalizers": None}})
