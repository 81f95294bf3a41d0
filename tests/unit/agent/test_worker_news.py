"""What is told of a Worker when it is drained, by whom so ever, and when its run is released."""

from typing import cast

import pytest

from app.agent.agent import Agent
from app.agent.decisions.draining import draining_event, pools_wish
from app.agent.runtime import AgentSettings
from app.cluster.client import KubernetesApi
from app.cluster.transport import Transport
from protocol.messages import Drain, Registered
from tests.unit.agent import builders as a
from tests.unit.agent.conftest import Material
from tests.unit.agent.steps import finish, to_running
from tests.unit.agent.world import World


def drain(*, drained: bool) -> Drain:
    """Return the mothership's wish."""
    return Drain(worker_uid=a.WORKER_UID, pool_uid=a.POOL_UID, drained=drained)


def told(world: World, *reasons: str) -> list[tuple[str, str]]:
    """Return type and reason of the Events about the Worker with one of these reasons."""
    return [event[1:3] for event in world.events if event[0] == "Worker" and event[2] in reasons]


def test_a_drain_and_its_end_are_told_once_each(world: World) -> None:
    """The mothership repeats its wish until it sees it fulfilled."""
    link = world.up(a.worker_object())
    for wish in (True, True, False, False):
        link.deliver(drain(drained=wish))
        world.settle()
    assert told(world, "WorkerDraining", "WorkerUndrained") == [
        ("Normal", "WorkerDraining"),
        ("Normal", "WorkerUndrained"),
    ]


def test_a_worker_that_was_drained_while_nobody_listened_is_told(world: World) -> None:
    """The answer to its registration says so."""
    link = world.up(a.worker_object())
    link.deliver(Registered(worker_uid=a.WORKER_UID, pool_uid=a.POOL_UID, drained=True, assignment=4))
    world.settle()
    assert told(world, "WorkerDraining") == [("Normal", "WorkerDraining")]


def test_a_released_run_is_told_once(world: World, material: Material) -> None:
    """The Worker is free from then on; a repeat finds nothing to release."""
    link = world.up(a.worker_object())
    to_running(world, material)
    finish(world)
    for _ in range(2):
        link.deliver(a.released())
        world.settle()
    assert told(world, "RunReleased") == [("Normal", "RunReleased")]
    assert any(a.RUN in event[3] for event in world.events if event[2] == "RunReleased")


@pytest.mark.parametrize(
    ("before", "after", "reason"),
    [
        ((False, False), (False, False), None),
        ((False, False), (True, False), "WorkerDraining"),
        ((False, False), (False, True), "WorkerDraining"),
        ((True, False), (True, True), None),
        ((True, True), (False, True), None),
        ((True, False), (False, False), "WorkerUndrained"),
        ((False, True), (False, False), "WorkerUndrained"),
    ],
    ids=["nothing", "mothership", "pool", "both", "one stays", "mothership ends", "pool ends"],
)
def test_the_sum_of_both_wishes_is_what_is_told(
    before: tuple[bool, bool], after: tuple[bool, bool], reason: str | None
) -> None:
    """(drained by the mothership, draining by the pool): a second wish is no news, nor is the first that goes."""
    former, worker = (
        a.worker(status={"registration": "Registered", "drained": drained}, draining=draining)
        for drained, draining in (before, after)
    )
    event = draining_event(former, worker)
    assert (event and event[1]) == reason
    by_pool = before[1] is not after[1]
    found = pools_wish(former, worker)
    assert (found and found[1]) == (reason if by_pool else None)


class Recorder:
    """Keeps Events."""

    def __init__(self) -> None:
        self.events: list[tuple[str, str, str]] = []

    def emit(self, reference_object: a.Json, type: str, reason: str, message: str) -> None:  # noqa: A002
        """Keep one."""
        self.events.append((reference_object["metadata"]["name"], type, reason))
        assert message


def test_the_pools_wish_is_told_when_the_watch_shows_it() -> None:
    """The hook sets spec.draining on a busy Worker that is one too many; a restart tells nothing again."""
    recorder = Recorder()
    api = KubernetesApi(cast("Transport", None))
    agent = Agent(api, recorder, lambda *_: None, AgentSettings(replica="r", version="1"))
    busy = a.worker_object(status=a.busy_status("Running"))
    draining = a.worker_object(status=a.busy_status("Running"), draining=True)
    agent._worker_changed("ADDED", None, draining)
    agent._worker_changed("MODIFIED", busy, busy)
    assert recorder.events == []
    agent._worker_changed("MODIFIED", busy, draining)
    agent._worker_changed("MODIFIED", draining, draining)
    agent._worker_changed("MODIFIED", draining, busy)
    assert recorder.events == [
        (a.WORKER_NAME, "Normal", "WorkerDraining"),
        (a.WORKER_NAME, "Normal", "WorkerUndrained"),
    ]
