"""Repeated syncs of a large pool are held, everything else is answered at once."""

from app.web.pacing import MOST_SECONDS, SECONDS_PER_WORKER, Pacer


class Watch:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 100.0
        self.slept: list[float] = []

    def time(self) -> float:
        """Return the time."""
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let it pass."""
        self.slept.append(seconds)
        self.now += seconds


def pacer(watch: Watch, holders: int = 4) -> Pacer:
    """Return a pacer with that clock."""
    return Pacer(holders, watch.time, watch.sleep)


def test_the_first_sync_is_not_held() -> None:
    """Scaling a quiet pool is seen at once."""
    watch = Watch()
    pacer(watch).hold("pool", 1000)
    assert watch.slept == []


def test_a_repeated_sync_waits_by_the_size_of_its_pool() -> None:
    """Half a second for a thousand Workers, next to nothing for two, never more than a second."""
    for workers, wanted in ((1000, 0.5), (2, 2 * SECONDS_PER_WORKER), (100_000, MOST_SECONDS)):
        watch = Watch()
        held = pacer(watch)
        held.hold("pool", workers)
        held.hold("pool", workers)
        assert [round(seconds, 6) for seconds in watch.slept] == [round(wanted, 6)]


def test_a_sync_after_a_quiet_time_is_not_held() -> None:
    """What happens rarely is answered at once."""
    watch = Watch()
    held = pacer(watch)
    held.hold("pool", 1000)
    watch.now += 0.6
    held.hold("pool", 1000)
    assert watch.slept == []


def test_pools_do_not_hold_each_other() -> None:
    """Each has its own last answer."""
    watch = Watch()
    held = pacer(watch)
    held.hold("one", 1000)
    held.hold("other", 1000)
    assert watch.slept == []


def test_no_more_threads_are_held_than_there_are_places() -> None:
    """So that hooks of Workers always find a thread: without a place a sync is answered at once."""
    watch = Watch()
    held = pacer(watch, holders=0)
    held.hold("pool", 1000)
    held.hold("pool", 1000)
    assert watch.slept == []
