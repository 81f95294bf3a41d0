"""Which messages are due."""

import pytest

from app.agent.decisions import outbox
from app.agent.decisions.outbox import Sent, Standing, due
from app.agent.worker_state import WorkerView
from tests.unit.agent import builders as a

SUFFIX = f"{a.RUN}:2"


def standing(**changes: object) -> Standing:
    """Return a standing in which nothing is due by itself."""
    known = {
        "pool_uid": a.POOL_UID,
        "controller_version": "1",
        "metadata": {},
        "admitted": False,
        "secret_gone": True,
    }
    return Standing(**{**known, **changes})  # type: ignore[arg-type]


def kinds(
    worker: WorkerView, sent: dict[str, Sent] | None = None, now: float = 0.0, **changes: object
) -> list[str]:
    """Return the types of the messages due."""
    return [item.message.type for item in due(worker, standing(**changes), sent or {}, now).items]


def test_an_idle_registered_worker_says_nothing() -> None:
    """No traffic and no timer while nothing happens."""
    found = due(a.worker(), standing(admitted=True), {}, 0.0)
    assert (found.items, found.next_in) == ((), None)


@pytest.mark.parametrize(
    ("phase", "wanted"),
    [
        ("Scheduled", ["run_accepted"]),
        ("Starting", ["run_accepted", "run_pod"]),
        ("Running", ["run_accepted", "run_started"]),
        ("Finished", ["run_finished"]),
    ],
)
def test_each_phase_is_told(phase: str, wanted: list[str]) -> None:
    """After a restart everything that holds is said once more."""
    assert kinds(a.busy(phase)) == wanted


def test_the_end_is_not_told_before_the_secret_is_gone() -> None:
    """Fence 4: a ghost Pod can't start once the end is public."""
    assert kinds(a.busy("Finished"), secret_gone=False) == []


def test_the_pod_is_repeated_after_1_2_and_5_seconds() -> None:
    """`init` waits until the mothership has heard of its Pod."""
    times = []
    sent = {f"accepted:{SUFFIX}": Sent(1, 0.0)}
    now = 0.0
    for _ in range(5):
        found = due(a.busy("Starting"), standing(), sent, now)
        assert [item.message.type for item in found.items] == ["run_pod"]
        former = sent.get(f"pod:{SUFFIX}")
        sent[f"pod:{SUFFIX}"] = Sent((former.times if former else 0) + 1, now)
        times.append(now)
        assert found.next_in is not None
        assert due(a.busy("Starting"), standing(), sent, now + found.next_in - 0.01).items == ()
        now += found.next_in
    assert times == [0.0, 1.0, 3.0, 8.0, 13.0]


def test_the_verdict_is_repeated_until_released() -> None:
    """However often: the mothership answers every repeat of a closed attempt."""
    sent = {f"finished:{SUFFIX}": Sent(100, 0.0)}
    assert kinds(a.busy("Finished"), sent, 59.9) == []
    assert kinds(a.busy("Finished"), sent, 60.0) == ["run_finished"]


def test_a_pending_worker_registers_only_when_admitted() -> None:
    """Admission is what bounds the number of registered Workers."""
    assert kinds(a.worker(status={})) == []
    assert kinds(a.worker(status={}), admitted=True) == ["register"]
    assert kinds(a.worker(status={}, deleting=True), admitted=True) == []


def test_a_deregistering_worker_says_so() -> None:
    """Until `unregistered` or the deadline."""
    assert kinds(a.worker(status={"registration": "Deregistering"}, deleting=True)) == ["unregister"]


def test_draining_is_told_when_it_changes() -> None:
    """Both ways."""
    assert kinds(a.worker(draining=True)) == ["worker_state"]
    assert kinds(a.worker(draining=True), announced_drain=(True, False)) == []
    assert kinds(a.worker(), announced_drain=(True, False)) == ["worker_state"]
    assert kinds(a.worker(), announced_drain=None) == ["worker_state"]


def test_jitter_stretches_repeats_by_half_at_most() -> None:
    """A thousand Workers don't register in step."""
    worker = a.worker(status={})
    sent = {"register": Sent(1, 0.0)}
    assert due(worker, standing(admitted=True), sent, 2.0, 0.0).items
    assert not due(worker, standing(admitted=True), sent, 2.9, 1.0).items
    assert due(worker, standing(admitted=True), sent, 3.0, 1.0).items


def test_what_was_said_of_a_former_attempt_is_forgotten() -> None:
    """Memory doesn't grow, and a Worker's next run starts afresh."""
    sent = {f"accepted:{SUFFIX}": Sent(1, 0.0), "accepted:old:1": Sent(1, 0.0), "register": Sent(1, 0.0)}
    assert set(outbox.still_meant(sent, a.busy())) == {f"accepted:{SUFFIX}", "register"}
    assert set(outbox.still_meant(sent, a.worker())) == {"register"}
