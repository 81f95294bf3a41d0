"""The stand-in holds a pool of the size that the product is measured at; `make bench` measures how fast."""

import pytest

from devcluster.hookdriver.api import Api
from tests.integration.hookdriver.hookserver import Body, HookServer
from tests.integration.hookdriver.proxy import RecordingProxy
from tests.integration.hookdriver.scenarios import composite, item, pool
from tests.integration.hookdriver.world import DriverProcess, World, wait_for

pytestmark = pytest.mark.e2e

CHILDREN = 1000
PATIENCE_SECONDS = 300.0


def test_a_thousand_children_come_of_one_pool(
    api: Api, hooks: HookServer, proxy: RecordingProxy, driver: DriverProcess
) -> None:
    """One pool, one sync: created one after the other, as Metacontroller does."""
    world = World("thousand", api, hooks, proxy, driver)

    def sync(request: Body) -> Body:
        count = len(next(iter(request["children"].values())))
        return {"status": {"observed": count}, "children": [item(f"member-{n}") for n in range(CHILDREN)]}

    try:
        composite(world, {"sync": world.hook("sync", sync)})
        pool(world)
        done = {"observed": CHILDREN, "observedGeneration": 1}
        wait_for(
            lambda: world.read("Pool", "pool").get("status") == done,
            "the pool observes all children",
            PATIENCE_SECONDS,
        )
    finally:
        world.close()
