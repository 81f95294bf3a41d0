"""Somebody deletes the pool's Secret while runs are under way, and puts it back later."""

from tests.e2e.harness import apply, secret
from tests.faults.scenario import scenario
from tests.faults.world import NAMESPACE, World


@scenario(rounds=1)
def inject(world: World) -> None:
    """Be without it for some seconds."""
    pool = world.pool
    world.delete(f"/api/v1/namespaces/{NAMESPACE}/secrets", pool.name)
    world.wait(world.random.uniform(3, 8))
    apply(world.shell, secret(pool.name, NAMESPACE, pool.token, pool.key_base64))
