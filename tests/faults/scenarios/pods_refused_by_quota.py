"""The API server refuses Pods for a while, shorter than runs wait: the namespace's quota is used up."""

from tests.faults.scenario import scenario
from tests.faults.world import NAMESPACE, World

QUOTAS = f"/api/v1/namespaces/{NAMESPACE}/resourcequotas"
NAME = "no-pods"


@scenario(arguments={"operator": ("--refusal-grace=2m",)})
def inject(world: World) -> None:
    """Forbid every further Pod, and allow them again."""
    quota = {
        "apiVersion": "v1",
        "kind": "ResourceQuota",
        "metadata": {"name": NAME},
        "spec": {"hard": {"pods": "0"}},
    }

    def allow() -> None:
        world.delete(QUOTAS, NAME)

    world.undo.append(allow)
    world.api.call("POST", QUOTAS, quota)
    world.wait(world.random.uniform(5, 9))
    world.undo.pop()()
