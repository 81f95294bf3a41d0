"""What the mothership's cycle leaves on a pool: one mark for each request, written once."""

import json
from typing import Any

import pytest

from app import vocabulary as words
from app.cluster.errors import Conflict, Unavailable
from app.cluster.resources import WORKERPOOLS, WORKERS
from protocol.messages import Cycle
from tests.unit.agent import builders as a
from tests.unit.agent.world import World

FIRST = "01HPS9HDSWCQ73RPDTVAK0KK01"
SECOND = "01HPS9HDSWCQ73RPDTVAK0KK02"
OTHER_ULID = "01HPS6K4BNB7BPHCDHDWFAMJNW"


def ask(world: World, request: str) -> None:
    """Let the mothership ask for a cycle."""
    world.link.deliver(Cycle(pool_uid=a.POOL_UID, cycle=request), a.POOL_ULID)
    world.settle()


def mark(world: World) -> Any:  # noqa: ANN401 - JSON
    """Return what the pool's annotation says."""
    pool = world.api.objects["workerpools", a.NAMESPACE, a.POOL]
    return json.loads(pool["metadata"].get("annotations", {}).get(words.CYCLE_ANNOTATION, "null"))


def test_a_cycle_marks_the_pool_with_the_highest_number_of_its_workers(world: World) -> None:
    """The letter is acknowledged, and the pool's user is told."""
    world.up(a.worker_object(sequence=4), a.worker_object(ulid=OTHER_ULID, uid="other", sequence=7))
    ask(world, FIRST)
    assert mark(world) == {"id": FIRST, "sequence": 7}
    assert len(world.link.acked) == 1
    assert [event[2] for event in world.events].count(words.CYCLE_EVENT) == 1


def test_a_worker_that_the_cache_does_not_show_is_counted(world: World) -> None:
    """It would be left out for good: the same request never changes the mark again."""
    world.up(a.worker_object(sequence=1))
    world.caches["workers"].frozen = True
    world.api.put(WORKERS, a.worker_object(ulid=OTHER_ULID, uid="other", sequence=9))
    ask(world, FIRST)
    assert mark(world)["sequence"] == 9


def test_a_repeat_changes_nothing_and_costs_no_call(world: World) -> None:
    """Though there are new Workers by now: they are what the first one wanted."""
    world.up(a.worker_object(sequence=1))
    ask(world, SECOND)
    world.api.put(WORKERS, a.worker_object(ulid=OTHER_ULID, uid="other", sequence=2))
    world.settle()
    world.api.calls.clear()
    for request in (SECOND, FIRST, SECOND):
        ask(world, request)
    assert mark(world) == {"id": SECOND, "sequence": 1}
    assert world.api.calls == []


def test_a_newer_request_cycles_again(world: World) -> None:
    """Up to the newest Worker."""
    world.up(a.worker_object(sequence=1))
    ask(world, FIRST)
    world.api.put(WORKERS, a.worker_object(ulid=OTHER_ULID, uid="other", sequence=2))
    ask(world, SECOND)
    assert mark(world) == {"id": SECOND, "sequence": 2}


@pytest.mark.parametrize(
    "text", ["", "nonsense", "[]", '{"id": 7, "sequence": 3}', '{"id": "Z", "sequence": "3"}']
)
def test_a_mark_that_somebody_broke_is_written_anew(world: World, text: str) -> None:
    """Else no cycle would ever be carried out again."""
    world.up(a.worker_object(sequence=3))
    pool = world.api.objects["workerpools", a.NAMESPACE, a.POOL]
    pool["metadata"].setdefault("annotations", {})[words.CYCLE_ANNOTATION] = text
    world.api.put(WORKERPOOLS, pool)
    ask(world, FIRST)
    assert mark(world) == {"id": FIRST, "sequence": 3}


def test_a_request_outlives_an_api_that_fails(world: World) -> None:
    """The queue looks at the pool again, and the mark is written then."""
    world.up(a.worker_object(sequence=1))

    def fail(verb: str, plural: str, _name: str) -> None:
        if (verb, plural) == ("patch", "workerpools"):
            raise Unavailable("away")

    world.api.fail = fail
    with pytest.raises(Unavailable):
        ask(world, FIRST)
    world.api.fail = lambda *_: None
    world.pools_woken.add((a.NAMESPACE, a.POOL))
    world.settle()
    assert mark(world) == {"id": FIRST, "sequence": 1}


def test_two_agents_never_leave_the_older_request(world: World) -> None:
    """The mark is written on the version that was read: a newer one in between is a conflict, then no news."""
    world.up(a.worker_object(sequence=1))
    pool = world.api.objects["workerpools", a.NAMESPACE, a.POOL]
    newer = {words.CYCLE_ANNOTATION: json.dumps({"id": SECOND, "sequence": 1})}

    def overtake(verb: str, plural: str, _name: str) -> None:
        if (verb, plural) == ("patch", "workerpools"):
            world.api.fail = lambda *_: None
            pool["metadata"]["annotations"] = pool["metadata"].get("annotations", {}) | newer
            world.api.put(WORKERPOOLS, pool)

    world.api.fail = overtake
    with pytest.raises(Conflict):
        ask(world, FIRST)
    world.pools_woken.add((a.NAMESPACE, a.POOL))
    world.settle()
    assert mark(world)["id"] == SECOND


def test_a_pool_that_is_going_is_not_cycled(world: World) -> None:
    """Its Workers go anyway."""
    world.up(a.worker_object(sequence=1))
    pool = world.api.objects["workerpools", a.NAMESPACE, a.POOL]
    pool["metadata"] |= {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": [words.POOL_FINALIZER]}
    world.api.put(WORKERPOOLS, pool)
    ask(world, FIRST)
    assert mark(world) is None
