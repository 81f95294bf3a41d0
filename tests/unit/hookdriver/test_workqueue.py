"""The work queue and its back-off."""

import threading

from devcluster.hookdriver.workqueue import Backoff, TokenBucket, WorkQueue


class Clock:
    """A clock that stands still until moved."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """Tell the time."""
        return self.now


def test_failures_of_a_key_double_the_wait_until_it_does_well() -> None:
    """5 ms, 10 ms, 20 ms, and from the start after a success."""
    backoff: Backoff[str] = Backoff(Clock())

    assert [backoff.next("a") for _ in range(3)] == [0.005, 0.01, 0.02]
    assert backoff.next("b") == 0.005
    backoff.forget("a")
    assert backoff.next("a") == 0.005


def test_the_wait_never_exceeds_its_bound() -> None:
    """A key that fails for days is still tried every thousand seconds."""
    clock = Clock()
    backoff: Backoff[str] = Backoff(clock)
    for _ in range(200):
        clock.now += 1
        last = backoff.next("a")

    assert last == 1000.0


def test_many_failing_keys_share_ten_retries_a_second() -> None:
    """After a burst of a hundred the bucket spaces the retries of all keys."""
    backoff: Backoff[int] = Backoff(Clock())
    waits = [backoff.next(key) for key in range(110)]

    assert waits[99] == 0.005
    assert waits[109] == 1.0


def test_a_bucket_gives_no_more_than_its_burst_at_once() -> None:
    """Taking is refused when nothing is left, and works again when time has passed."""
    clock = Clock()
    bucket = TokenBucket(rate=2, burst=2, clock=clock)

    assert [bucket.take() for _ in range(3)] == [True, True, False]
    clock.now = 0.5
    assert bucket.take()


def test_a_key_is_queued_once_however_often_it_is_added() -> None:
    """Many events of one parent melt into one sync."""
    queue: WorkQueue[str] = WorkQueue("test")
    for _ in range(5):
        queue.add("a")
    queue.add("b")

    assert [queue.get(), queue.get()] == ["a", "b"]
    queue.close()
    assert queue.get() is None


def test_a_key_is_worked_on_by_one_worker_at_a_time() -> None:
    """Added while in work, it comes again only when that work is done."""
    queue: WorkQueue[str] = WorkQueue("test")
    queue.add("a")
    queue.get()
    queue.add("a")
    second: list[str | None] = []
    worker = threading.Thread(target=lambda: second.append(queue.get()))
    worker.start()
    assert not second
    queue.done("a")
    worker.join(timeout=5)

    assert second == ["a"]
    queue.close()


def test_of_delayed_wishes_the_earliest_counts() -> None:
    """A later wish neither postpones an earlier one nor comes on its own."""
    queue: WorkQueue[str] = WorkQueue("test")
    queue.add_after("a", 600)
    queue.add_after("a", 0.01)
    queue.add_after("a", 300)

    assert queue.get() == "a"
    queue.close()
