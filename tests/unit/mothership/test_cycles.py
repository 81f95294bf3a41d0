"""Cycles: whom a request marks, who is told of it, how often, and when it is over."""

from typing import Any

from mothership.outgoing import cycle_message
from mothership.storage import cycles
from protocol import messages
from protocol.messages import Cycle


def cycle(mothership: Any, pool: str = "alpha") -> Any:  # noqa: ANN401
    """Ask for a cycle; return the answer."""
    answer = mothership.admin("POST", f"/v1/pools/{pool}/cycle", json={})
    assert answer.status_code == 200
    return answer.get_json()


def due(mothership: Any, seconds: float = 0.0) -> list[tuple[str, str]]:  # noqa: ANN401
    """Let time pass; return pool UID and request of each message due then."""
    mothership.clock.move(seconds)
    with mothership.database.write() as conn:
        return [(each.pool_uid, each.cycle) for each in cycles.take_due_cycles(conn, mothership.clock.now())]


def cycling(mothership: Any) -> int:  # noqa: ANN401
    """Return how many workers are shown as still to be replaced."""
    (pool,) = mothership.admin("GET", "/v1/pools").get_json()["pools"]
    number: int = pool["cyclingWorkers"]
    return number


def test_a_request_is_repeated_until_the_last_worker_of_before_has_gone(mothership: Any) -> None:  # noqa: ANN401
    """With growing pauses; a worker that registered afterwards is no matter."""
    first, second = mothership.player(), mothership.player()
    asked = cycle(mothership)
    assert (asked["name"], asked["workers"], cycling(mothership)) == ("alpha", 2, 2)
    told = [("pool-uid", asked["cycle"])]
    assert due(mothership) == told
    assert due(mothership) == []
    assert due(mothership, 1) == told
    assert due(mothership, 1) == []
    assert due(mothership, 1) == told
    mothership.say(first, messages.Unregister)
    mothership.player()
    assert due(mothership, 60) == told
    assert cycling(mothership) == 1
    mothership.say(second, messages.Unregister)
    assert due(mothership, 600) == []
    assert due(mothership, 600) == []
    assert cycling(mothership) == 0


def test_each_pool_object_is_told_by_its_own_uid(mothership: Any) -> None:  # noqa: ANN401
    """Two clusters may hold one pool's token."""
    mothership.player("one")
    mothership.player("two")
    asked = cycle(mothership)["cycle"]
    assert sorted(due(mothership)) == [("one", asked), ("two", asked)]


def test_an_operator_that_is_away_is_told_when_it_is_back(mothership: Any) -> None:  # noqa: ANN401
    """Messages for it would pile up at the broker meanwhile."""
    worker = mothership.player()
    mothership.deliver(worker.pool, messages.Online(pool_uid="pool-uid", replica="r"))
    mothership.deliver(worker.pool, messages.Offline(pool_uid="pool-uid", replica="r"))
    asked = cycle(mothership)["cycle"]
    assert due(mothership, 3600) == []
    mothership.deliver(worker.pool, messages.Online(pool_uid="pool-uid", replica="r"))
    assert due(mothership) == [("pool-uid", asked)]


def test_coming_back_starts_the_repeats_anew(mothership: Any) -> None:  # noqa: ANN401
    """An operator that has just started is told at once, not a minute later."""
    worker = mothership.player()
    asked = cycle(mothership)["cycle"]
    for _ in range(8):
        due(mothership, 60)
    mothership.deliver(worker.pool, messages.Online(pool_uid="pool-uid", replica="r"))
    assert due(mothership) == [("pool-uid", asked)]
    assert due(mothership, 1) == [("pool-uid", asked)]


def test_a_worker_that_was_forgotten_and_comes_back_is_still_to_be_replaced(mothership: Any) -> None:  # noqa: ANN401
    """The request was made for it."""
    worker = mothership.player()
    asked = cycle(mothership)["cycle"]
    mothership.say(worker, messages.Unregister)
    assert due(mothership) == []
    mothership.say(worker, messages.Register, controller_version="test", protocol=1)
    assert due(mothership) == [("pool-uid", asked)]


def test_later_requests_have_greater_ids_whatever_the_clock_says(mothership: Any) -> None:  # noqa: ANN401
    """Operators carry out what is newer than the last one; the fresh id here sorts before it."""
    mothership.player()
    with mothership.database.write() as conn:
        pool = mothership.pool
        first, _ = cycles.want_cycle(conn, pool, "7ZZZZZZZZZ0000000000000000", 1.0)
        second, _ = cycles.want_cycle(conn, pool, "01HPS9HDSWCQ73RPDTVAK0KK0A", 2.0)
    assert first == "7ZZZZZZZZZ0000000000000000"
    assert second == "7ZZZZZZZZZ0000000000000001"
    assert due(mothership) == [("pool-uid", second)]


def test_a_cycle_of_an_unknown_pool_is_404_and_of_an_empty_one_is_over_at_once(mothership: Any) -> None:  # noqa: ANN401
    """Nothing is sent."""
    assert mothership.admin("POST", "/v1/pools/nope/cycle", json={}).status_code == 404
    assert cycle(mothership)["workers"] == 0
    assert due(mothership) == []


def test_the_message_is_the_protocols(mothership: Any) -> None:  # noqa: ANN401
    """On the pool's own topic."""
    item = cycle_message(cycles.DueCycle(mothership.pool, "uid", "01HPS9HDSWCQ73RPDTVAK0KK0A"))
    assert item.pool == item.worker == mothership.pool
    assert item.message == Cycle(pool_uid="uid", cycle="01HPS9HDSWCQ73RPDTVAK0KK0A")
