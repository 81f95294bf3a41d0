"""Messages of workers against the real tables: registration, rejection, inventories, repeats."""

from typing import Any

import pytest
import sqlalchemy as sa

from mothership.clock import new_ulid
from mothership.decisions.attempts import conclude_lease
from mothership.storage import pools, runs, workers
from mothership.storage.tables import attempts
from protocol import messages
from protocol.messages import InventoryWorker
from protocol.runs import Outcome, Reason, Rejection, Result

EVICTED = Outcome(Result.LOST, Reason.EVICTED)


def inventory(mothership: Any, *lines: InventoryWorker, pool_uid: str = "pool-uid") -> list[messages.Message]:  # noqa: ANN401
    """Deliver a whole inventory in one part."""
    message = messages.Inventory(pool_uid=pool_uid, replica="r", part=1, parts=1, workers=lines)
    answers: list[messages.Message] = mothership.deliver(mothership.pool, message)
    return answers


def line(worker: Any, **fields: Any) -> InventoryWorker:  # noqa: ANN401
    """Return a worker's line of an inventory."""
    return InventoryWorker(**({"worker": worker.id, "worker_uid": worker.uid, "assignment": 0} | fields))


def test_registered_carries_number_and_believed_attempt(mothership: Any) -> None:  # noqa: ANN401
    """A worker that registers again is told its highest assignment and what it is believed to hold."""
    worker = mothership.player()
    run = mothership.trigger()
    mothership.schedule()
    (answer,) = mothership.say(worker, messages.Register, controller_version="test", protocol=1)
    assert (answer.assignment, answer.run, answer.sequence, answer.drained) == (1, run, 2, False)


def test_assignment_numbers_go_on_after_a_worker_was_forgotten(mothership: Any) -> None:  # noqa: ANN401
    """Fence 1 would take a number that starts again for an old one."""
    worker = mothership.player()
    mothership.trigger()
    mothership.schedule()
    mothership.say(worker, messages.Unregister)
    mothership.say(worker, messages.Register, controller_version="test", protocol=1)
    (scheduled,) = mothership.schedule()
    assert (scheduled.assignment, scheduled.sequence) == (2, 5)


def test_another_uid_of_the_same_ulid_is_another_worker(mothership: Any) -> None:  # noqa: ANN401
    """The older one's open attempt is queued again and given to the new one, from number 1."""
    old = mothership.player()
    mothership.trigger()
    mothership.schedule()
    new = type(old)(old.pool, old.pool_uid, id=old.id)
    mothership.say(new, messages.Register, controller_version="test", protocol=1)
    (scheduled,) = mothership.schedule()
    assert (scheduled.worker_uid, scheduled.assignment) == (new.uid, 1)


def test_granted_attempt_survives_the_loss_of_its_worker(mothership: Any) -> None:  # noqa: ANN401
    """Only the lease or a verdict ends it."""
    worker, scheduled = mothership.granted()
    mothership.say(worker, messages.Unregister)
    assert mothership.state(scheduled.run) == "started"


def test_run_scheduled_is_repeated_until_it_is_answered(mothership: Any) -> None:  # noqa: ANN401
    """After 1 s, 2 s, 5 s; the acceptance ends it."""
    worker = mothership.player()
    mothership.trigger()
    (scheduled,) = mothership.schedule()
    for seconds in (1, 2, 5):
        mothership.clock.move(seconds - 0.1)
        assert mothership.due() == []
        mothership.clock.move(0.1)
        assert [item.message for item in mothership.due()] == [scheduled]
    mothership.answer(worker, messages.RunAccepted, scheduled)
    mothership.clock.move(1000)
    assert mothership.due() == []


def test_every_finish_of_a_closed_attempt_is_released(mothership: Any) -> None:  # noqa: ANN401
    """However often, and even when nobody here knows the attempt any more."""
    worker, scheduled = mothership.granted()
    outcome = Outcome(Result.SUCCEEDED, Reason.COMPLETED)
    for _ in range(3):
        mothership.answer(worker, messages.RunFinished, scheduled, pod_uid="pod-1", outcome=outcome)
        assert [item.message.type for item in mothership.due()] == ["run_released"]
    with mothership.database.write() as conn:
        conn.execute(sa.delete(attempts))
    (answer,) = mothership.answer(worker, messages.RunFinished, scheduled, pod_uid="pod-1", outcome=outcome)
    assert answer.type == "run_released"


def test_cancel_is_repeated_and_holds_the_worker_until_it_shows(mothership: Any) -> None:  # noqa: ANN401
    """The worker gets nothing new before its state says that it let go."""
    worker = mothership.player()
    run = mothership.trigger()
    (scheduled,) = mothership.schedule()
    mothership.answer(worker, messages.RunAccepted, scheduled)
    mothership.admin("POST", f"/v1/runs/{run}/stop", json={})
    assert [item.message.type for item in mothership.due()] == ["run_canceled"]
    mothership.trigger()
    assert mothership.schedule() == []
    mothership.answer(worker, messages.RunFinished, scheduled, pod_uid=None, outcome=EVICTED)
    assert len(mothership.schedule()) == 1
    assert mothership.state(run) == "canceled"


def test_message_of_a_later_assignment_confirms_earlier_ones(mothership: Any) -> None:  # noqa: ANN401
    """A worker takes a new attempt only when the old one is gone, so its release isn't repeated any more."""
    worker, scheduled = mothership.granted()
    outcome = Outcome(Result.SUCCEEDED, Reason.COMPLETED)
    mothership.answer(worker, messages.RunFinished, scheduled, pod_uid="pod-1", outcome=outcome)
    mothership.trigger()
    (second,) = mothership.schedule()
    mothership.answer(worker, messages.RunAccepted, second)
    mothership.clock.move(1000)
    assert mothership.due() == []


def test_busy_worker_is_left_alone_for_a_while(mothership: Any) -> None:  # noqa: ANN401
    """The run stays queued, an inventory is asked for, and the worker is tried again after 10 s."""
    worker = mothership.player()
    mothership.trigger()
    (scheduled,) = mothership.schedule()
    mothership.answer(worker, messages.RunRejected, scheduled, reason=Rejection.BUSY)
    assert mothership.schedule() == []
    with mothership.database.write() as conn:
        assert pools.take_inventory_requests(conn, mothership.clock.now()) == [(mothership.pool, "pool-uid")]
    mothership.clock.move(10)
    assert len(mothership.schedule()) == 1


def test_draining_worker_gets_nothing_until_it_says_otherwise(mothership: Any) -> None:  # noqa: ANN401
    """`draining` is remembered from a rejection as well as from worker_state."""
    worker = mothership.player()
    mothership.trigger()
    (scheduled,) = mothership.schedule()
    mothership.answer(worker, messages.RunRejected, scheduled, reason=Rejection.DRAINING)
    mothership.clock.move(100)
    assert mothership.schedule() == []
    mothership.say(worker, messages.WorkerState, draining=False, drained=False)
    assert len(mothership.schedule()) == 1


def test_registering_again_ends_a_drain_that_the_worker_had_announced(mothership: Any) -> None:  # noqa: ANN401
    """An operator that lost its memory registers, and says so again if its worker still drains."""
    worker = mothership.player()
    mothership.say(worker, messages.WorkerState, draining=True, drained=False)
    mothership.trigger()
    assert mothership.schedule() == []
    mothership.say(worker, messages.Register, metadata={}, controller_version="1", protocol=1)
    assert len(mothership.schedule()) == 1


def test_unknown_worker_is_forgotten(mothership: Any) -> None:  # noqa: ANN401
    """Its run is queued again and it is listed no more."""
    worker = mothership.player()
    run = mothership.trigger()
    (scheduled,) = mothership.schedule()
    assert mothership.answer(worker, messages.RunRejected, scheduled, reason=Rejection.UNKNOWN) == []
    assert mothership.state(run) == "queued"
    assert mothership.admin("GET", "/v1/workers").get_json() == {"workers": []}


def test_message_of_a_worker_that_was_never_registered_is_told_so(mothership: Any) -> None:  # noqa: ANN401
    """It registers again; its attempt isn't its own and is called back."""
    stranger = type(mothership.player())(mothership.pool, "pool-uid")
    answers = mothership.say(
        stranger, messages.RunAccepted, run=new_ulid(), stage="preparing", sequence=2, assignment=1
    )
    assert [answer.type for answer in answers] == ["unregistered", "run_canceled"]


def test_attempt_of_another_worker_is_not_touched(mothership: Any) -> None:  # noqa: ANN401
    """Neither another UID nor another pool object can end or bind it."""
    mothership.player()
    mothership.trigger()
    (scheduled,) = mothership.schedule()
    other = mothership.player("other-pool-uid")
    mothership.answer(other, messages.RunPod, scheduled, pod_uid="evil")
    mothership.answer(other, messages.RunFinished, scheduled, pod_uid="evil", outcome=EVICTED)
    assert (mothership.case(scheduled).attempt.pod_uid, mothership.state(scheduled.run)) == (None, "assigned")


def test_offline_takes_workers_out_and_an_inventory_brings_them_back(mothership: Any) -> None:  # noqa: ANN401
    """The last will of an older replica changes nothing."""
    worker = mothership.player()
    mothership.deliver(mothership.pool, messages.Online(pool_uid="pool-uid", replica="new"))
    mothership.deliver(mothership.pool, messages.Offline(pool_uid="pool-uid", replica="old"))
    mothership.trigger()
    assert len(mothership.schedule()) == 1
    mothership.deliver(mothership.pool, messages.Offline(pool_uid="pool-uid", replica="new"))
    mothership.player("other")
    assert [item["state"] for item in mothership.admin("GET", "/v1/workers").get_json()["workers"]] == [
        "OFFLINE",
        "IDLE",
    ]
    inventory(mothership, line(worker))
    states = [item["state"] for item in mothership.admin("GET", "/v1/workers").get_json()["workers"]]
    assert states == ["BUSY", "IDLE"]


def test_online_asks_for_an_inventory(mothership: Any) -> None:  # noqa: ANN401
    """Once."""
    mothership.deliver(mothership.pool, messages.Online(pool_uid="pool-uid", replica="r"))
    with mothership.database.write() as conn:
        assert pools.take_inventory_requests(conn, 0.0) == [(mothership.pool, "pool-uid")]
        assert pools.take_inventory_requests(conn, 0.0) == []


def test_workers_that_an_inventory_lacks_are_forgotten(mothership: Any) -> None:  # noqa: ANN401
    """Ungranted attempts go elsewhere, granted ones stay with their lease; young workers are spared."""
    mothership.granted()
    mothership.player()
    run = mothership.trigger()
    mothership.schedule()
    assert inventory(mothership) == []
    mothership.clock.move(11)
    assert [answer.type for answer in inventory(mothership)] == ["unregistered", "unregistered"]
    states = {item["id"]: item["state"] for item in mothership.admin("GET", "/v1/runs").get_json()["runs"]}
    assert states.pop(run) == "queued"
    assert list(states.values()) == ["started"]


def test_inventory_in_parts_is_judged_when_the_last_has_come(mothership: Any) -> None:  # noqa: ANN401
    """A worker of the second part isn't missing from the first."""
    first, second = mothership.player(), mothership.player()
    mothership.clock.move(11)
    for part, worker in ((1, first), (2, second)):
        message = messages.Inventory(
            pool_uid="pool-uid", replica="r", part=part, parts=2, workers=(line(worker),)
        )
        assert mothership.deliver(mothership.pool, message) == []


def part(number: int, *lines: InventoryWorker, replica: str = "r") -> messages.Inventory:
    """Return one of two parts of an inventory."""
    return messages.Inventory(pool_uid="pool-uid", replica=replica, part=number, parts=2, workers=lines)


def test_last_part_that_comes_again_is_not_a_whole_inventory(mothership: Any) -> None:  # noqa: ANN401
    """A worker that came after that inventory isn't missing from it, and nothing is kept for ever."""
    for number in (1, 2):
        mothership.deliver(mothership.pool, part(number))
    mothership.player()
    mothership.clock.move(11)
    assert mothership.deliver(mothership.pool, part(2)) == []
    assert not mothership.desk._inventories._parts


def test_parts_of_two_replicas_are_not_one_inventory(mothership: Any) -> None:  # noqa: ANN401
    """The newest first part counts; what the former replica still sends is none of its parts."""
    first, second = mothership.player(), mothership.player()
    mothership.clock.move(11)
    mothership.deliver(mothership.pool, part(1, line(first), line(second), replica="old"))
    mothership.deliver(mothership.pool, part(1, line(first), replica="new"))
    mothership.clock.move(11)
    assert mothership.deliver(mothership.pool, part(2, replica="old")) == []
    answers = mothership.deliver(mothership.pool, part(2, line(first), replica="new"))
    assert [answer.worker_uid for answer in answers] == [second.uid]


def test_stranger_in_an_inventory_is_told_to_register(mothership: Any) -> None:  # noqa: ANN401
    """And what it holds is called back, or released if it has ended."""
    stranger = type(mothership.player())(mothership.pool, "pool-uid")
    held = {"run": new_ulid(), "sequence": 2, "assignment": 4}
    answers = inventory(mothership, line(stranger, phase="Scheduled", **held))
    assert [answer.type for answer in answers] == ["unregistered", "run_canceled"]
    answers = inventory(mothership, line(stranger, phase="Finished", **held))
    assert [answer.type for answer in answers] == ["unregistered", "run_released"]


def test_number_in_an_inventory_raises_ours(mothership: Any) -> None:  # noqa: ANN401
    """A database restored from a backup doesn't give a number that the worker has answered already."""
    worker = mothership.player()
    inventory(mothership, line(worker, assignment=41))
    mothership.trigger()
    (scheduled,) = mothership.schedule()
    assert scheduled.assignment == 42


def test_drain_is_repeated_until_the_worker_shows_it(mothership: Any) -> None:  # noqa: ANN401
    """A drained worker gets no runs; `undrain` brings it back."""
    worker = mothership.player()
    assert (
        mothership.admin("POST", f"/v1/workers/{worker.id}/drain", json={"drained": True}).status_code == 200
    )
    mothership.trigger()
    assert mothership.schedule() == []

    def due() -> list[bool]:
        with mothership.database.write() as conn:
            return [item.drained for item in workers.take_due_drains(conn, mothership.clock.now(), 10)]

    assert due() == [True]
    mothership.clock.move(1)
    assert due() == [True]
    mothership.say(worker, messages.WorkerState, draining=False, drained=True)
    mothership.clock.move(100)
    assert due() == []
    mothership.admin("POST", f"/v1/workers/{worker.id}/drain", json={"drained": False})
    assert len(mothership.schedule()) == 1


def test_payload_and_token_are_not_kept(mothership: Any) -> None:  # noqa: ANN401
    """The database has the sealed payload while it is needed and only a hash of the token."""
    worker, scheduled = mothership.granted()
    token = mothership.opening.open(scheduled.payload).run_token
    content = (
        mothership.files.database.read_bytes()
        + mothership.files.database.with_name("mothership.db-wal").read_bytes()
    )
    assert scheduled.run.encode() in content
    assert token.encode() not in content
    mothership.answer(worker, messages.RunFinished, scheduled, pod_uid="pod-1", outcome=EVICTED)
    mothership.clock.move(181)
    mothership.answer(worker, messages.RunFinished, scheduled, pod_uid="pod-1", outcome=EVICTED)
    assert mothership.state(scheduled.run) == "lost"
    assert mothership.rows(sa.select(attempts.c.payload)) == [(None,)]


def test_history_has_every_state_once(mothership: Any) -> None:  # noqa: ANN401
    """Positions are without gaps, so the sequence of an attempt is the place of its stage."""
    worker = mothership.player()
    run = mothership.trigger()
    (scheduled,) = mothership.schedule()
    mothership.answer(worker, messages.RunFinished, scheduled, pod_uid=None, outcome=EVICTED)
    mothership.clock.move(2)
    (again,) = mothership.schedule()
    history = mothership.admin("GET", f"/v1/runs/{run}").get_json()["history"]
    assert [(item["position"], item["state"]) for item in history] == list(
        enumerate(["queued", "ready", "preparing", "queued", "ready", "preparing"])
    )
    assert again.sequence == 5


@pytest.mark.parametrize("protocol", [2, 99])
def test_registration_with_another_protocol_is_refused(mothership: Any, protocol: int) -> None:  # noqa: ANN401
    """A peer of another version would misunderstand what it is told."""
    worker = type(mothership.player())(mothership.pool, "pool-uid")
    (answer,) = mothership.say(worker, messages.Register, controller_version="test", protocol=protocol)
    assert answer.type == "unregistered"


def test_a_worker_holds_one_run_at_a_time(mothership: Any) -> None:  # noqa: ANN401
    """Of three runs and two workers one waits."""
    mothership.player()
    mothership.player()
    for _ in range(3):
        mothership.trigger()
    assert len(mothership.schedule()) == 2
    assert mothership.schedule() == []
    with mothership.database.read() as conn:
        assert len(runs.queued(conn, 10, mothership.clock.now())) == 1


def test_a_run_whose_attempt_failed_waits_and_holds_nobody_up(mothership: Any) -> None:  # noqa: ANN401
    """It is queued, but nobody gets it before its time; a younger run goes first."""
    worker = mothership.player()
    run = mothership.trigger()
    (scheduled,) = mothership.schedule()
    outcome = Outcome(Result.FAILED, Reason.EVICTED, "evicted")
    mothership.answer(worker, messages.RunFinished, scheduled, pod_uid="pod", outcome=outcome)
    assert mothership.state(run) == "queued"
    assert mothership.schedule() == []
    mothership.clock.move(1.9)
    assert mothership.schedule() == []
    mothership.clock.move(0.2)
    (again,) = mothership.schedule()
    assert (again.run, again.sequence) == (run, 5)


def test_a_clock_that_was_set_back_makes_no_run_wait(mothership: Any) -> None:  # noqa: ANN401
    """No run waits longer than a minute."""
    worker = mothership.player()
    mothership.trigger()
    (scheduled,) = mothership.schedule()
    outcome = Outcome(Result.FAILED, Reason.EVICTED, "evicted")
    mothership.answer(worker, messages.RunFinished, scheduled, pod_uid="pod", outcome=outcome)
    mothership.clock.move(-3600)
    assert len(mothership.schedule()) == 1


def test_words_that_come_after_the_end_leave_its_time(mothership: Any) -> None:  # noqa: ANN401
    """A run called lost in silence is told the cause later, not ended again."""
    worker, scheduled = mothership.granted()
    case = mothership.case(scheduled)
    mothership.clock.move(1000)
    with mothership.database.write() as conn:
        runs.save(conn, case, conclude_lease(case, mothership.clock.now()), mothership.clock.now())
    ended = mothership.admin("GET", f"/v1/runs/{scheduled.run}").get_json()
    mothership.clock.move(100)
    outcome = Outcome(Result.FAILED, Reason.CONFIG_ERROR, "no secret", {"init": 0})
    pod_uid = case.attempt.pod_uid
    mothership.answer(worker, messages.RunFinished, scheduled, pod_uid=pod_uid, outcome=outcome)
    told = mothership.admin("GET", f"/v1/runs/{scheduled.run}").get_json()
    assert (told["state"], told["finishedAt"], told["history"]) == (
        "lost",
        ended["finishedAt"],
        ended["history"],
    )
    assert (told["outcome"]["reason"], told["outcome"]["message"]) == ("ConfigError", "no secret")
