"""Events are written in the background, counted, bounded, and never in the way."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from app.cluster.client import KubernetesApi
from app.cluster.events import EventRecorder
from tests.unit.app_shell.fake_api import FakeApi

POOL: dict[str, Any] = {
    "apiVersion": "workers.spacelift.io/v1beta1",
    "kind": "WorkerPool",
    "metadata": {"name": "pool", "namespace": "team", "uid": "u-1", "resourceVersion": "7"},
}


class Clock:
    """Seconds since the epoch, as told."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        """Return the time."""
        return self.now


@pytest.fixture
def clock() -> Clock:
    """Return a clock that stands still."""
    return Clock()


@pytest.fixture
def recorder(api: KubernetesApi, clock: Clock) -> Iterator[EventRecorder]:
    """Return a recorder that runs."""
    running = EventRecorder(api, "workerpool-controller", clock)
    running.start()
    yield running
    running.stop(5)


def test_an_event_has_what_kubectl_describe_shows(fake_api: FakeApi, recorder: EventRecorder) -> None:
    """The object, who saw it, what, how often and when."""
    recorder.emit(POOL, "Warning", "WorkerPoolCannotRegister", "no key")
    assert recorder.stop(5)
    event = fake_api.bodies[0]
    assert fake_api.requests[0][1].startswith("/api/v1/namespaces/team/events?")
    assert event["metadata"]["name"].startswith("pool.")
    assert event["involvedObject"] == {
        "apiVersion": "workers.spacelift.io/v1beta1",
        "kind": "WorkerPool",
        "name": "pool",
        "namespace": "team",
        "uid": "u-1",
        "resourceVersion": "7",
    }
    assert event["source"] == {"component": "workerpool-controller"}
    assert (event["type"], event["reason"], event["message"], event["count"]) == (
        "Warning",
        "WorkerPoolCannotRegister",
        "no key",
        1,
    )
    assert event["firstTimestamp"] == event["lastTimestamp"] == "2023-11-14T22:13:20Z"


def test_repeats_raise_the_count(fake_api: FakeApi, recorder: EventRecorder, clock: Clock) -> None:
    """Word for word and on the same object; the same on another object is an Event of its own."""
    recorder.emit(POOL, "Normal", "A", "x")
    clock.now += 7
    recorder.emit(POOL, "Normal", "A", "x")
    recorder.emit({**POOL, "metadata": {**POOL["metadata"], "uid": "u-2"}}, "Normal", "A", "x")
    assert recorder.stop(5)
    assert [verb for verb, _ in fake_api.requests] == ["POST", "PATCH", "POST"]
    assert fake_api.bodies[1] == {"count": 2, "lastTimestamp": "2023-11-14T22:13:27Z"}


def test_similar_events_become_one_whose_message_is_the_newest(
    fake_api: FakeApi, recorder: EventRecorder, clock: Clock
) -> None:
    """The first nine messages stand alone, the tenth makes the combined Event, the next two change it."""
    for number in range(12):
        clock.now += 5
        recorder.emit(POOL, "Normal", "RunFinished", f"run {number}")
    assert recorder.stop(5)
    assert [verb for verb, _ in fake_api.requests] == ["POST"] * 10 + ["PATCH"] * 2
    assert fake_api.bodies[9]["message"] == "(combined from similar events): run 9"
    assert fake_api.bodies[-1] == {
        "count": 3,
        "lastTimestamp": "2023-11-14T22:14:20Z",
        "message": "(combined from similar events): run 11",
    }


def test_a_storm_about_one_object_is_cut_to_its_budget(
    fake_api: FakeApi, recorder: EventRecorder, clock: Clock
) -> None:
    """25 requests at once, then one every five seconds; what was cut is counted here and in the Event."""
    for _ in range(1000):
        recorder.emit(POOL, "Warning", "A", "x")
    clock.now += 5
    recorder.emit(POOL, "Warning", "A", "x")
    assert recorder.stop(5)
    assert len(fake_api.requests) == 26
    assert recorder.dropped == 975
    assert fake_api.bodies[-1]["count"] == 1001


def test_an_api_server_that_is_away_for_a_moment_loses_no_event_and_no_order(
    api: KubernetesApi, fake_api: FakeApi
) -> None:
    """The Events behind wait for the one that is tried again."""
    running = EventRecorder(api, "c", pauses=(0.01, 0.01, 0.01))
    fake_api.answer_next(503, {"message": "starting"})
    fake_api.answer_next(429, {"message": "too many"}, Retry_After="0")
    fake_api.break_next()
    for reason in ("A", "B", "C"):
        running.emit(POOL, "Normal", reason, "x")
    running.start()
    assert running.stop(5)
    assert [body["reason"] for body in fake_api.bodies] == ["A", "A", "A", "A", "B", "C"]
    assert running.dropped == 0


def test_an_event_whose_answer_was_lost_is_not_written_twice(api: KubernetesApi, fake_api: FakeApi) -> None:
    """The second try hears that the name is taken, and leaves it at that."""
    running = EventRecorder(api, "c", pauses=(0.01,))
    fake_api.answer_next(500, {"message": "etcd timed out"})
    fake_api.answer_next(409, {"reason": "AlreadyExists"})
    running.emit(POOL, "Normal", "A", "x")
    running.start()
    assert running.stop(5)
    assert [verb for verb, _ in fake_api.requests] == ["POST", "POST", "PATCH"]
    assert fake_api.bodies[0]["metadata"] == fake_api.bodies[1]["metadata"]


def test_an_event_that_expired_comes_back_with_its_count(
    fake_api: FakeApi, recorder: EventRecorder, eventually: Callable[[Callable[[], object]], None]
) -> None:
    """The API server removes Events after an hour, or somebody did."""
    recorder.emit(POOL, "Normal", "A", "x")
    eventually(lambda: fake_api.count("POST"))
    fake_api.answer_next(404, {"reason": "NotFound"})
    recorder.emit(POOL, "Normal", "A", "x")
    assert recorder.stop(5)
    assert [verb for verb, _ in fake_api.requests] == ["POST", "PATCH", "POST"]
    assert fake_api.bodies[-1]["count"] == 2
    assert recorder.dropped == 0


def test_a_long_message_is_cut_to_what_the_api_takes(fake_api: FakeApi, recorder: EventRecorder) -> None:
    """1,024 bytes, never half a character."""
    recorder.emit(POOL, "Normal", "A", "\N{SNOWMAN}" * 1000)
    assert recorder.stop(5)
    message = fake_api.bodies[0]["message"]
    assert 1000 < len(message.encode()) <= 1024
    assert message.endswith("\N{SNOWMAN}...")


def test_a_refused_event_is_counted_and_the_next_is_written(
    fake_api: FakeApi, recorder: EventRecorder
) -> None:
    """A terminating namespace takes no Events."""
    fake_api.answer_next(403, {"reason": "Forbidden", "message": "is being terminated"})
    recorder.emit(POOL, "Normal", "A", "x")
    recorder.emit(POOL, "Normal", "B", "y")
    assert recorder.stop(5)
    assert recorder.dropped == 1
    assert fake_api.bodies[-1]["reason"] == "B"


def test_a_full_queue_drops_instead_of_blocking(write_kubeconfig: Callable[..., str]) -> None:
    """Nobody waits for an API server that is away; nonsense is dropped as well."""
    recorder = EventRecorder(KubernetesApi.connect(write_kubeconfig(1)), "c", queue_limit=10)
    started = time.monotonic()
    for number in range(1000):
        recorder.emit(POOL, "Normal", "A", str(number))
    recorder.emit({}, "Normal", "A", "no object")
    assert time.monotonic() - started < 1
    assert recorder.dropped == 991
