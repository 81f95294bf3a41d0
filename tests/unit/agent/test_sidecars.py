"""Whether run Pods may have native sidecars is known before a run is claimed, and doesn't flap."""

from collections.abc import Callable

import pytest

from app.agent.sidecars import NativeSidecars
from app.cluster.errors import ApiError, Forbidden, NotFound, Unavailable
from tests.unit.agent import builders as a
from tests.unit.agent.conftest import Material
from tests.unit.agent.world import World


def answering(*answers: tuple[int, int] | ApiError) -> Callable[[], tuple[int, int]]:
    """Return a server that gives these answers, one after the other."""
    left = list(answers)

    def answer() -> tuple[int, int]:
        found = left.pop(0)
        if isinstance(found, ApiError):
            raise found
        return found

    return answer


@pytest.mark.parametrize(
    ("version", "native"),
    [((1, 26), False), ((1, 28), False), ((1, 29), True), ((1, 36), True), ((2, 0), True), ((0, 99), False)],
)
def test_the_servers_version_decides(version: tuple[int, int], native: bool) -> None:
    """From 1.29 on the feature is on by default."""
    sidecars = NativeSidecars(None, answering(version))
    assert sidecars.known() is None
    assert sidecars.refresh()
    assert sidecars.known() is native


@pytest.mark.parametrize("setting", [True, False])
def test_a_setting_asks_nobody(setting: bool) -> None:
    """It is known from the start."""
    sidecars = NativeSidecars(setting, answering())
    assert not sidecars.refresh()
    assert sidecars.known() is setting


def test_a_server_that_cannot_be_asked_changes_nothing() -> None:
    """Unknown stays unknown, and what was read before still holds."""
    sidecars = NativeSidecars(None, answering(Unavailable("away"), (1, 30), Unavailable("away"), (1, 30)))
    assert not sidecars.refresh()
    assert sidecars.known() is None
    assert sidecars.refresh()
    assert not sidecars.refresh()
    assert sidecars.known() is True
    assert not sidecars.refresh()


@pytest.mark.parametrize(
    "error",
    [Forbidden("no", status=403), NotFound("no", status=404), Unavailable("a proxy's page", status=200)],
)
def test_a_hidden_version_counts_as_none(error: ApiError) -> None:
    """Waiting for ever would stop every run; ordinary containers work everywhere."""
    sidecars = NativeSidecars(None, answering(error))
    assert sidecars.refresh()
    assert sidecars.known() is False


def test_nothing_is_claimed_before_it_is_known(world: World, material: Material) -> None:
    """The run waits, unanswered, and is claimed with the right revision once the version is read."""
    known: list[bool | None] = [None]
    world.revisions._native_sidecars = lambda: known[0]
    link = world.up(a.worker_object())
    link.deliver(a.scheduled(payload=material.seal()))
    with pytest.raises(Unavailable, match="version"):
        world.settle()
    assert "run" not in world.status()
    assert world.secrets() == []
    assert link.take() == []
    known[0] = True
    world.woken[a.NAMESPACE, a.WORKER_NAME] = world.time
    world.settle()
    name = world.status()["run"]["settings"]
    revision = world.api.objects["controllerrevisions", a.NAMESPACE, name]
    assert revision["data"]["cluster"] == {"nativeSidecars": True}
