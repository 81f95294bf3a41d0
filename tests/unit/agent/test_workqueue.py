"""The work queue: never twice at a time, never forgotten, never dead."""

import itertools
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from app.agent.workqueue import FIRST_PAUSE, WorkQueue

Make = Callable[..., WorkQueue[str]]


@pytest.fixture
def make() -> Iterator[Make]:
    """Make queues that end with the test."""
    made: list[WorkQueue[str]] = []

    def build(work: Callable[[str], float | None], threads: int = 4) -> WorkQueue[str]:
        queue = WorkQueue("test", work, threads, (OSError,))
        made.append(queue)
        queue.start()
        return queue

    yield build
    for queue in made:
        assert queue.stop(5.0)


def eventually(condition: Callable[[], object], seconds: float = 5.0) -> None:
    """Wait for a condition with a deadline."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.002)


def test_one_key_is_never_worked_on_twice_at_a_time(make: Make) -> None:
    """However often it is added, and nothing that was asked for is missed."""
    working: set[str] = set()
    lock = threading.Lock()
    overlaps, done = [], []

    def work(key: str) -> None:
        with lock:
            if key in working:
                overlaps.append(key)
            working.add(key)
        time.sleep(0.001)
        with lock:
            working.discard(key)
            done.append(key)

    queue = make(work)
    for _ in range(200):
        for key in "abc":
            queue.add(key)
    eventually(lambda: len(queue) == 0 and not working)
    assert overlaps == []
    assert set(done) == {"a", "b", "c"}
    assert len(done) < 600


def test_a_key_added_during_its_work_comes_again(make: Make) -> None:
    """A change that came too late for this look isn't lost."""
    begun, go, looks = threading.Event(), threading.Event(), []

    def work(key: str) -> None:
        looks.append(key)
        begun.set()
        assert go.wait(5)

    queue = make(work)
    queue.add("a")
    assert begun.wait(5)
    queue.add("a")
    go.set()
    eventually(lambda: len(looks) == 2)


def test_a_key_comes_again_after_the_time_that_work_returned(make: Make) -> None:
    """And an earlier wish wins over a later one."""
    times: list[float] = []

    def work(_key: str) -> float | None:
        times.append(time.monotonic())
        return 0.05 if len(times) == 1 else None

    queue = make(work)
    queue.add("a", 60.0)
    queue.add("a", 0.0)
    eventually(lambda: len(times) == 2)
    assert times[1] - times[0] >= 0.05


@pytest.mark.parametrize("error", [OSError("expected"), RuntimeError("unexpected")])
def test_a_failure_is_tried_again_and_ends_no_thread(make: Make, error: Exception) -> None:
    """With a pause that doubles; a busy machine makes it longer, and nothing makes it shorter."""
    tries: list[float] = []

    def work(_key: str) -> None:
        tries.append(time.monotonic())
        if len(tries) < 4:
            raise error

    queue = make(work, 1)
    queue.add("a")
    eventually(lambda: len(tries) == 4)
    assert queue.alive
    gaps = [later - earlier for earlier, later in itertools.pairwise(tries)]
    assert all(gap >= FIRST_PAUSE * 2**failures for failures, gap in enumerate(gaps, 1))


def test_a_stuck_work_shows_as_lag(make: Make) -> None:
    """What health looks at."""
    go = threading.Event()

    def work(_key: str) -> None:
        assert go.wait(5)

    queue = make(work, 1)
    queue.add("a")
    eventually(lambda: queue.lag() > 0.05)
    go.set()
    eventually(lambda: queue.lag() == 0.0)


def test_later_looks_are_no_lag(make: Make) -> None:
    """What isn't due waits on purpose."""
    queue = make(lambda _key: None)
    queue.add("a", 60.0)
    assert queue.lag() == 0.0
