"""Somebody deletes a run's Secret while its Pod is being made."""

from tests.faults.scenario import scenario
from tests.faults.world import NAMESPACE, World, pod_of


@scenario()
def inject(world: World) -> None:
    """Delete the Secret of the first run that has no Pod yet."""
    worker = world.await_phase("Scheduled")
    world.delete(f"/api/v1/namespaces/{NAMESPACE}/secrets", pod_of(worker))
