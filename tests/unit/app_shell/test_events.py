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


def test_repeats_within_ten_minutes_raise_the_count(
    fake_api: FakeApi, recorder: EventRecorder, clock: Clock
) -> None:
    """The third and fourth come after the window and on another object: both are new."""
    recorder.emit(POOL, "Normal", "A", "x")
    clock.now += 7
    recorder.emit(POOL, "Normal", "A", "x")
    clock.now += 601
    recorder.emit(POOL, "Normal", "A", "x")
    recorder.emit({**POOL, "metadata": {**POOL["metadata"], "uid": "u-2"}}, "Normal", "A", "x")
    assert recorder.stop(5)
    assert [verb for verb, _ in fake_api.requests] == ["POST", "PATCH", "POST", "POST"]
    assert fake_api.bodies[1] == {"count": 2, "lastTimestamp": "2023-11-14T22:13:27Z"}


def test_an_event_that_expired_is_begun_anew(
    fake_api: FakeApi, recorder: EventRecorder, eventually: Callable[[Callable[[], object]], None]
) -> None:
    """The API server removes Events after an hour, or somebody did."""
    recorder.emit(POOL, "Normal", "A", "x")
    eventually(lambda: fake_api.count("POST"))
    fake_api.answer_next(404, {"reason": "NotFound"})
    recorder.emit(POOL, "Normal", "A", "x")
    assert recorder.stop(5)
    assert [verb for verb, _ in fake_api.requests] == ["POST", "PATCH", "POST"]
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
