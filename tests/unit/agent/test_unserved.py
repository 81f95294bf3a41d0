"""Pools that nobody works on are told why, once, by one replica, and never against another operator's word."""

import datetime as dt
import json
from types import SimpleNamespace
from typing import Any, cast

import pytest

from app import vocabulary as words
from app.agent.runtime import Api, Clock, Events
from app.agent.unserved import REPEAT_SECONDS, SETTLING_SECONDS, Grant, Unserved
from app.cluster.errors import Forbidden

GRANT = Grant("operators", "operator", "pools-manager-role")


class World:
    """Pools of some namespaces, and what was written and said."""

    def __init__(self) -> None:
        self.pools: dict[str, dict[str, Any]] = {}
        self.refused: frozenset[str] = frozenset()
        self.seconds, self.writes, self.said = 0.0, 0, list[tuple[Any, ...]]()
        self.owned, self.forbidden = True, False

    def pool(self, namespace: str, annotation: str = "") -> None:
        """Make a pool."""
        metadata: dict[str, Any] = {
            "name": "pool",
            "namespace": namespace,
            "uid": f"uid-{namespace}",
            "resourceVersion": "1",
            "annotations": {words.CONNECTION_ANNOTATION: annotation} if annotation else {},
        }
        self.pools[namespace] = {"metadata": metadata, "spec": {}}

    def list(self, _resource: object, namespace: str | None) -> SimpleNamespace:
        """List the pools of all namespaces."""
        assert namespace is None
        if self.forbidden:
            raise Forbidden("no")
        return SimpleNamespace(items=list(self.pools.values()))

    def merge_patch(self, _resource: object, namespace: str, _name: str, patch: dict[str, Any]) -> None:
        """Write the annotation."""
        self.writes += 1
        assert patch["metadata"]["uid"] == f"uid-{namespace}"
        self.pools[namespace]["metadata"]["annotations"] |= patch["metadata"]["annotations"]

    def emit(self, reference: dict[str, Any], *event: str) -> None:
        """Take an Event."""
        self.said.append((reference["metadata"]["namespace"], *event))

    def message(self, namespace: str) -> dict[str, str]:
        """Return what the annotation says."""
        text = self.pools[namespace]["metadata"]["annotations"].get(words.CONNECTION_ANNOTATION, "{}")
        return dict(json.loads(text))


@pytest.fixture
def world() -> World:
    """Return an empty world."""
    return World()


@pytest.fixture
def unserved(world: World) -> Unserved:
    """Return the part under test, for the namespaces a and b."""
    clock = Clock(lambda: world.seconds, lambda: dt.datetime(2026, 1, 2, tzinfo=dt.UTC))
    return Unserved(
        cast("Api", world),
        cast("Events", world),
        ("a", "b"),
        GRANT,
        lambda: world.refused,
        lambda _key: world.owned,
        clock,
    )


def later(world: World, unserved: Unserved, seconds: float = SETTLING_SECONDS) -> None:
    """Let time pass, and look."""
    unserved.look()
    world.seconds += seconds
    unserved.look()


def test_a_pool_elsewhere_is_told_by_condition_and_event_once(world: World, unserved: Unserved) -> None:
    """With what has to be done; repeated now and then, as Events end after an hour."""
    world.pool("c")
    unserved.look()
    assert world.said == []
    later(world, unserved)
    (event,) = world.said
    assert event[:3] == ("c", "Warning", words.NOT_SERVED_EVENT)
    assert "Add c to its --namespaces" in event[3]
    assert (
        "kubectl create rolebinding pools-manager-rolebinding --namespace=c "
        "--clusterrole=pools-manager-role --serviceaccount=operators:operator"
    ) in event[3]
    assert world.message("c") == {
        "state": words.CONNECTION_UNREGISTERED,
        "reason": words.NOT_SERVED_EVENT,
        "message": event[3],
        "time": "2026-01-02T00:00:00Z",
    }
    later(world, unserved)
    assert (len(world.said), world.writes) == (1, 1)
    later(world, unserved, REPEAT_SECONDS)
    assert (len(world.said), world.writes) == (2, 1)


def test_a_pool_of_another_operator_is_left_alone(world: World, unserved: Unserved) -> None:
    """Two teams have an operator each: neither may speak over the other."""
    world.pool("c", json.dumps({"state": "Ready", "reason": words.REGISTERED_EVENT}))
    later(world, unserved)
    assert (world.said, world.writes) == ([], 0)


def test_a_namespace_of_its_own_without_rights_is_told_at_once(world: World, unserved: Unserved) -> None:
    """Whatever was said there before; served ones hear nothing."""
    world.pool("a")
    world.pool("b", json.dumps({"state": "Ready", "reason": words.REGISTERED_EVENT}))
    world.refused = frozenset({"b"})
    unserved.look()
    assert [event[0] for event in world.said] == ["b"]
    assert "no rights in namespace b" in world.message("b")["message"]
    assert world.message("a") == {}


def test_only_the_replica_that_would_work_on_a_pool_speaks(world: World, unserved: Unserved) -> None:
    """Else each Event came once for each."""
    world.pool("c")
    world.owned = False
    later(world, unserved)
    assert (world.said, world.writes) == ([], 0)


def test_without_the_right_to_see_pools_nothing_is_said(world: World, unserved: Unserved) -> None:
    """An administrator may leave that right out."""
    world.pool("c")
    world.forbidden = True
    later(world, unserved)
    assert (world.said, world.writes) == ([], 0)
