"""When what is published, as decided without a broker: rates, pauses, and topics that are refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.agent.decisions.blame import MOST_SUSPECTS, Blame, Patience, Sent
from app.agent.decisions.pacing import AWS_RATE, Backoff, Bucket, publish_rate
from app.agent.outbound import Outbound, Parcel

PATIENCE = Patience(instant=2.0, first=60.0, most=3600.0)


class Line:
    """Takes what an outbound sends, and numbers it."""

    def __init__(self, outbound: Outbound) -> None:
        self.outbound = outbound
        self.sent: list[str] = []

    def send(self, now: float) -> float | None:
        """Send what may go now."""
        return self.outbound.send(now, self._take)

    def _take(self, parcel: Parcel) -> int:
        self.sent.append(parcel.topic)
        return len(self.sent)


def line(*topics: str, window: int = 20, rate: float = 0.0, blame: Blame | None = None) -> Line:
    """Return an outbound with a message for each topic."""
    outbound = Outbound(1000, window, rate, blame or Blame(PATIENCE), 0.0)
    for number, topic in enumerate(topics):
        assert outbound.offer(number, Parcel(topic, b"x"))
    return Line(outbound)


# --- rates ---


@pytest.mark.parametrize(
    ("host", "wanted", "rate"),
    [
        ("abc-ats.iot.eu-west-1.amazonaws.com", None, AWS_RATE),
        ("ABC.IOT.CN-NORTH-1.AMAZONAWS.COM.CN", None, AWS_RATE),
        ("amazonaws.com.example.org", None, 0.0),
        ("broker.example", None, 0.0),
        ("abc-ats.iot.eu-west-1.amazonaws.com", 0.0, 0.0),
        ("broker.example", 7.0, 7.0),
    ],
)
def test_the_rate_is_the_wanted_one_or_the_brokers(host: str, wanted: float | None, rate: float) -> None:
    """AWS IoT is known by its name; everything else takes what it takes."""
    assert publish_rate(host, wanted) == rate


@given(
    rate=st.floats(1.0, 40.0),
    steps=st.lists(st.floats(0.0, 0.5), min_size=1, max_size=40),
)
def test_no_second_ever_sees_more_than_its_rate_and_a_tenth(rate: float, steps: list[float]) -> None:
    """Whenever one looks, and however long nothing was sent before."""
    bucket, now, sent = Bucket.full(rate, 0.0), 0.0, []
    for step in steps:
        now += step
        bucket = bucket.refilled(now)
        while bucket.wait() == 0.0:
            bucket = bucket.taken()
            sent.append(now)
    for first in sent:
        assert sum(1 for each in sent if first <= each < first + 1.0) <= rate * 1.1 + 1


@given(rate=st.floats(0.5, 1000.0), tokens=st.floats(0.0, 0.99))
def test_the_wait_is_as_long_as_needed_and_no_longer(rate: float, tokens: float) -> None:
    """After it there is a token, just before it there is none."""
    bucket = Bucket(rate, tokens, 0.0)
    wait = bucket.wait()
    assert bucket.refilled(wait * 1.001 + 1e-9).wait() == 0.0
    assert bucket.refilled(wait * 0.98).wait() > 0.0


def test_a_clock_that_stands_still_gives_no_token_and_no_error() -> None:
    """Nor does one that goes back."""
    bucket = Bucket(10.0, 0.0, 5.0)
    assert bucket.refilled(5.0).wait() > 0
    assert bucket.refilled(4.0).tokens == 0.0


def test_without_a_rate_nothing_waits() -> None:
    """Zero is no limit."""
    paced = line(*["t"] * 15)
    assert paced.send(0.0) is None
    assert len(paced.sent) == 15


def test_a_paced_line_says_when_to_come_again() -> None:
    """So its thread sleeps until then."""
    paced = line(*["t"] * 10, rate=10.0)
    assert paced.send(0.0) == pytest.approx(0.1)
    assert paced.send(0.05) == pytest.approx(0.05)
    paced.send(0.1)
    assert len(paced.sent) == 2


# --- pauses between connections ---


@given(failures=st.integers(0, 10_000), chance=st.floats(0.0, 1.0))
def test_pauses_are_a_second_at_least_and_bounded(failures: int, chance: float) -> None:
    """Row 10: full jitter above the first second."""
    assert 1.0 <= Backoff().pause(failures, chance, taken_over=False) <= 60.0
    assert 15.0 <= Backoff().pause(failures, chance, taken_over=True) <= 30.0


def test_pauses_grow_and_spread() -> None:
    """A fleet that lost its broker doesn't come back in one moment."""
    most = [Backoff().pause(failures, 1.0, taken_over=False) for failures in range(1, 8)]
    assert most == [2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0]
    assert Backoff().pause(5, 0.0, taken_over=False) == 1.0


# --- the window and the queue ---


def test_the_queue_is_bounded_and_has_no_duplicates() -> None:
    """A newer message takes the place of an unsent older one, also when there is no room."""
    outbound = Outbound(2, 20, 0.0, Blame(), 0.0)
    assert outbound.offer("a", Parcel("t", b"old"))
    assert outbound.offer("b", Parcel("t", b"b"))
    assert not outbound.offer("c", Parcel("t", b"c"))
    assert outbound.offer("a", Parcel("t", b"new"))
    sent: list[bytes] = []

    def take(parcel: Parcel) -> int:
        sent.append(parcel.payload)
        return len(sent)

    outbound.send(0.0, take)
    assert sent == [b"new", b"b"]


def test_a_narrow_window_holds_for_its_connection_only() -> None:
    """The next broker may take more; none makes ours wider, or closes it."""
    paced = line(*["t"] * 30)
    paced.outbound.narrow(3)
    paced.send(0.0)
    assert len(paced.sent) == 3
    paced.outbound.clear(0.0)
    paced.outbound.narrow(65535)
    for number in range(30):
        paced.outbound.offer(number, Parcel("t", b"x"))
    paced.send(0.0)
    assert len(paced.sent) == 3 + 20
    paced.outbound.clear(0.0)
    paced.outbound.narrow(0)
    paced.outbound.offer("a", Parcel("t", b"x"))
    paced.outbound.offer("b", Parcel("t", b"x"))
    paced.send(0.0)
    assert len(paced.sent) == 3 + 20 + 1


# --- blame ---


def test_one_close_makes_suspects_and_a_lone_one_a_culprit() -> None:
    """A broker that died under load accuses nobody; one that closes on a lone suspect does."""
    first, guilty = Blame(PATIENCE).ended([Sent("a", 9.9), Sent("b", 9.9)], 10.0)
    assert guilty == ""
    assert first.doubtful("a")
    assert not first.held("a", 10.0)
    second, guilty = first.ended([Sent("a", 10.9)], 11.0)
    assert guilty == "a"
    assert second.held("a", 70.9)
    assert not second.held("a", 71.0)
    assert not second.held("b", 11.0)
    assert not second.confirmed("b").doubtful("b")


def test_a_single_first_offence_is_only_suspicion() -> None:
    """The broker may have been stopped at that moment."""
    after, guilty = Blame(PATIENCE).ended([Sent("a", 9.9)], 10.0)
    assert (guilty, after.doubtful("a")) == ("", True)


def test_what_waited_for_long_is_not_what_ended_the_connection() -> None:
    """Only an instant end is a sign."""
    after, guilty = Blame(PATIENCE, frozenset({"a"})).ended([Sent("a", 1.0)], 10.0)
    assert guilty == ""
    assert after.suspects == {"a"}


def test_pauses_of_a_refused_topic_double_up_to_an_hour_and_end_with_a_confirmation() -> None:
    """However often it is refused."""
    blame, pauses = Blame(PATIENCE), []
    for _ in range(8):
        blame = blame.refused("a", 0.0)
        pauses.append(blame.refusals["a"].until)
    assert pauses == [60.0, 120.0, 240.0, 480.0, 960.0, 1920.0, 3600.0, 3600.0]
    assert blame.confirmed("a") == Blame(PATIENCE)


def test_suspects_are_bounded() -> None:
    """A pool of many workers on a broker that closes everything doesn't fill the memory."""
    blame = Blame(PATIENCE, frozenset(str(number) for number in range(MOST_SUSPECTS)))
    after, _ = blame.ended([Sent("new", 9.9), Sent("other", 9.9)], 10.0)
    assert len(after.suspects) == MOST_SUSPECTS


def test_a_suspect_goes_alone_and_holds_the_others_until_it_is_confirmed() -> None:
    """So that an end tells of it and of nothing else."""
    sending = line("a", "b", "bad", "c", blame=Blame(PATIENCE, frozenset({"bad"})))
    assert sending.send(0.0) is None
    assert sending.sent == ["a", "b"]
    for mid in (1, 2):
        sending.outbound.confirmed(mid)
    sending.send(0.0)
    assert sending.sent == ["a", "b", "bad"]
    topic = sending.outbound.confirmed(3)
    sending.outbound.blame = sending.outbound.blame.confirmed(topic)
    sending.send(0.0)
    assert sending.sent == ["a", "b", "bad", "c"]


def test_a_refused_topic_is_passed_over_and_its_time_is_told() -> None:
    """The queue goes on behind it, and a stop doesn't wait for it."""
    sending = line("bad", "a", blame=Blame(PATIENCE).refused("bad", 0.0))
    assert sending.send(1.0) == 59.0
    assert sending.sent == ["a"]
    sending.outbound.confirmed(1)
    assert sending.outbound.done(1.0)
    assert len(sending.outbound) == 1
    assert not sending.outbound.done(60.0)
    sending.send(60.0)
    assert sending.sent == ["a", "bad"]


@given(
    bad=st.sets(st.integers(0, 5), max_size=3),
    order=st.lists(st.integers(0, 5), min_size=1, max_size=30),
)
def test_every_good_topic_gets_through_and_every_bad_one_is_found(bad: set[int], order: list[int]) -> None:
    """Whatever the mix: a broker that closes on each bad publish is worked around in bounded connections."""
    blame, now = Blame(PATIENCE), 0.0
    for _ in range(2 * len(bad) + 2):
        sending = line(*[str(number) for number in order], window=4, blame=blame)
        through, ended = set[str](), False
        while not ended:
            before = len(sending.sent)
            sending.send(now)
            if len(sending.sent) == before:
                break
            for mid in range(before + 1, len(sending.sent) + 1):
                topic = sending.sent[mid - 1]
                if int(topic) in bad:
                    ended = True
                    break
                sending.outbound.confirmed(mid)
                sending.outbound.blame = sending.outbound.blame.confirmed(topic)
                through.add(topic)
        blame = sending.outbound.blame
        if ended:
            blame, _ = blame.ended(sending.outbound.unconfirmed(), now + 0.1)
        now += 0.5
    wanted = {str(number) for number in order}
    assert through == {each for each in wanted if int(each) not in bad}
    assert {each for each in wanted if blame.held(each, now)} == {each for each in wanted if int(each) in bad}
