"""A mothership whose database came back from a backup gives nothing out again that may have started."""

import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from mothership.clock import SteadyClock
from mothership.decisions.recovery import Found, adopt
from mothership.decisions.states import Run, RunState
from mothership.decisions.timers import expire
from mothership.inventories import Inventories
from mothership.scheduler import assign_queued
from mothership.service import Service
from mothership.storage import pools, runs
from protocol import messages
from protocol.messages import Inventory, InventoryWorker
from protocol.runs import Outcome, Reason, Result

SUCCEEDED = Outcome(Result.SUCCEEDED, Reason.COMPLETED, "", {"worker": 0})
FAILED = Outcome(Result.FAILED, Reason.NON_ZERO_EXIT, "", {"worker": 1})
LOST = Outcome(Result.LOST, Reason.POD_DELETED)


class Backup:
    """Takes a mothership back to an earlier state, as restoring its directory does."""

    def __init__(self, mothership: Any, root: Path) -> None:  # noqa: ANN401
        self._mothership, self._copy = mothership, root / "backup.db"
        self._checkpoint()
        shutil.copy(mothership.files.database, self._copy)

    def restore(self) -> None:
        """Put the copy in the database's place."""
        self._checkpoint()
        self._mothership.database._engine.dispose()
        for suffix in ("-wal", "-shm"):
            Path(f"{self._mothership.files.database}{suffix}").unlink(missing_ok=True)
        shutil.copy(self._copy, self._mothership.files.database)
        self._mothership.desk.inventories = Inventories(self._mothership.rules)

    def _checkpoint(self) -> None:
        with self._mothership.database._engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
            connection.rollback()


def line(worker: Any, scheduled: messages.RunScheduled, phase: str, pod: str | None) -> InventoryWorker:  # noqa: ANN401
    """Return the line of a worker that holds an attempt."""
    return InventoryWorker(
        worker=worker.id,
        worker_uid=worker.uid,
        assignment=scheduled.assignment,
        run=scheduled.run,
        sequence=scheduled.sequence,
        phase=phase,
        pod_uid=pod,
    )


def tell(mothership: Any, *lines: InventoryWorker) -> list[messages.Message]:  # noqa: ANN401
    """Deliver a whole inventory."""
    answers: list[messages.Message] = mothership.deliver(
        mothership.pool, Inventory(pool_uid="pool-uid", replica="r", part=1, parts=1, workers=lines)
    )
    return answers


def restored(mothership: Any, root: Path) -> tuple[Any, messages.RunScheduled]:  # noqa: ANN401
    """Return a worker and its attempt, granted, of which the restored database knows the queued run alone."""
    worker = mothership.player()
    mothership.trigger()
    backup = Backup(mothership, root)
    (scheduled,) = mothership.schedule()
    mothership.answer(worker, messages.RunPod, scheduled, pod_uid="pod-1")
    assert mothership.launcher(scheduled, "POST", "/claim", json={"podUID": "pod-1"}).status_code == 200
    backup.restore()
    assert mothership.state(scheduled.run) == "queued"
    return worker, scheduled


@pytest.mark.parametrize("phase", ["Starting", "Running", "Finished"])
def test_an_inventory_shows_what_the_backup_has_forgotten(
    mothership: Any,  # noqa: ANN401
    tmp_path: Path,
    phase: str,
) -> None:
    """The run isn't queued any more; its verdict is taken when it comes, and nothing starts twice."""
    worker, scheduled = restored(mothership, tmp_path)
    tell(mothership, line(worker, scheduled, phase, "pod-1"))
    assert mothership.state(scheduled.run) == "started"
    assert mothership.schedule() == []
    mothership.answer(worker, messages.RunFinished, scheduled, pod_uid="pod-1", outcome=SUCCEEDED)
    assert mothership.state(scheduled.run) == "succeeded"
    assert [item.message.type for item in mothership.due()] == ["run_released"]


@pytest.mark.parametrize(("outcome", "state"), [(SUCCEEDED, "succeeded"), (FAILED, "failed")])
def test_a_verdict_on_a_forgotten_attempt_is_taken(
    mothership: Any,  # noqa: ANN401
    tmp_path: Path,
    outcome: Outcome,
    state: str,
) -> None:
    """It was released into nothing before, and its run executed again."""
    worker, scheduled = restored(mothership, tmp_path)
    mothership.answer(worker, messages.RunFinished, scheduled, pod_uid="pod-1", outcome=outcome)
    assert mothership.state(scheduled.run) == state
    assert [item.message.type for item in mothership.due()] == ["run_released"]


def test_a_lost_pod_of_a_forgotten_attempt_fails_the_run_after_the_lease(
    mothership: Any,  # noqa: ANN401
    tmp_path: Path,
) -> None:
    """It may have started: a person decides."""
    worker, scheduled = restored(mothership, tmp_path)
    mothership.answer(worker, messages.RunFinished, scheduled, pod_uid="pod-1", outcome=LOST)
    assert mothership.state(scheduled.run) == "started"
    mothership.clock.move(181)
    mothership.answer(worker, messages.RunFinished, scheduled, pod_uid="pod-1", outcome=LOST)
    assert mothership.state(scheduled.run) == "lost"


def test_a_launcher_of_a_forgotten_attempt_is_refused(mothership: Any, tmp_path: Path) -> None:  # noqa: ANN401
    """Its token is unknown: it can't renew, and the executor stops the run by itself."""
    worker, scheduled = restored(mothership, tmp_path)
    tell(mothership, line(worker, scheduled, "Running", "pod-1"))
    assert mothership.launcher(scheduled, "POST", "/lease", json={}).status_code == 401
    assert mothership.launcher(scheduled, "POST", "/claim", json={"podUID": "pod-2"}).status_code == 401


def test_what_never_had_a_pod_is_canceled_and_its_number_not_used_again(
    mothership: Any,  # noqa: ANN401
    tmp_path: Path,
) -> None:
    """Secret and Pod are named by run and sequence: a second attempt of the same number would clash with the first."""
    worker, scheduled = restored(mothership, tmp_path)
    (answer,) = tell(mothership, line(worker, scheduled, "Scheduled", None))
    assert (answer.type, getattr(answer, "stage", "")) == ("run_canceled", "preparing")
    (again,) = mothership.schedule()
    assert again.run == scheduled.run
    assert again.sequence > scheduled.sequence


def test_numbers_of_a_workers_assignments_go_on(mothership: Any, tmp_path: Path) -> None:  # noqa: ANN401
    """Fence 1 would refuse what comes with an old number."""
    worker, _ = restored(mothership, tmp_path)
    idle = InventoryWorker(worker=worker.id, worker_uid=worker.uid, assignment=7)
    tell(mothership, idle)
    (again,) = mothership.schedule()
    assert again.assignment == 8


@pytest.mark.parametrize("how", ["run_started", "inventory"])
def test_a_grant_that_the_backup_lacks_is_believed(mothership: Any, tmp_path: Path, how: str) -> None:  # noqa: ANN401
    """The attempt is there, its grant isn't: the launcher goes on with its token, and nobody else may start."""
    worker = mothership.player()
    mothership.trigger()
    (scheduled,) = mothership.schedule()
    mothership.answer(worker, messages.RunAccepted, scheduled)
    backup = Backup(mothership, tmp_path)
    mothership.answer(worker, messages.RunPod, scheduled, pod_uid="pod-1")
    assert mothership.launcher(scheduled, "POST", "/claim", json={"podUID": "pod-1"}).status_code == 200
    backup.restore()
    if how == "inventory":
        tell(mothership, line(worker, scheduled, "Running", "pod-1"))
    else:
        mothership.answer(worker, messages.RunStarted, scheduled, pod_uid="pod-1")
    assert mothership.state(scheduled.run) == "started"
    assert mothership.launcher(scheduled, "POST", "/lease", json={}).get_json()["action"] == "continue"
    assert mothership.launcher(scheduled, "POST", "/claim", json={"podUID": "pod-2"}).status_code == 409


def test_an_exit_code_of_the_worker_container_is_proof_of_a_start(mothership: Any) -> None:  # noqa: ANN401
    """It failed after it began: it is never begun again by itself, though no grant is stored."""
    worker = mothership.player()
    mothership.trigger()
    (scheduled,) = mothership.schedule()
    mothership.answer(worker, messages.RunFinished, scheduled, pod_uid="pod-1", outcome=FAILED)
    assert mothership.state(scheduled.run) == "failed"


def test_the_attempt_that_counted_makes_way_for_the_one_that_started(mothership: Any) -> None:  # noqa: ANN401
    """After the backup the first attempt timed out and a second one, on another worker, was granted."""
    first = mothership.player()
    run = mothership.trigger()
    (old,) = mothership.schedule()
    second = mothership.player()
    found = InventoryWorker(
        worker=second.id,
        worker_uid=second.uid,
        assignment=1,
        run=run,
        sequence=9,
        phase="Running",
        pod_uid="p",
    )
    tell(mothership, found, InventoryWorker(worker=first.id, worker_uid=first.uid, assignment=0))
    assert mothership.state(run) == "started"
    case = mothership.case(old)
    assert case.attempt.is_closed
    assert case.run.sequence == 9
    assert [(item.message.type, item.worker) for item in mothership.due()] == [("run_canceled", first.id)]


def test_a_message_of_another_pool_adopts_nothing() -> None:
    """A pool's operator speaks for that pool's runs alone."""
    run = Run("R", "pool-a", RunState.QUEUED, 1)
    found = Found("R", 3, "pool-b", "uid", "W", "wuid", 1, "pod")
    assert adopt(run, None, found, 0.0) is None


def test_a_run_that_has_ended_is_not_started_again() -> None:
    """Its verdict stays."""
    run = Run("R", "pool", RunState.FAILED, 1)
    assert adopt(run, None, Found("R", 3, "pool", "uid", "W", "wuid", 1, "pod"), 0.0) is None


def test_nothing_is_given_away_before_the_operators_have_spoken(mothership: Any) -> None:  # noqa: ANN401
    """What is queued in an old database may be at work; the first whole inventory settles it."""
    worker = mothership.player()
    with mothership.database.read() as conn:
        assert mothership.desk.inventories.unheard(conn) == {mothership.pool}
    mothership.trigger()
    with mothership.database.write() as conn:
        held_back = mothership.desk.inventories.unheard(conn)
        assert assign_queued(conn, mothership.sealer, mothership.clock.now(), held_back) == 0
    tell(mothership, InventoryWorker(worker=worker.id, worker_uid=worker.uid, assignment=0))
    with mothership.database.write() as conn:
        held_back = mothership.desk.inventories.unheard(conn)
        assert assign_queued(conn, mothership.sealer, mothership.clock.now(), held_back) == 1


def test_an_operator_that_is_offline_is_not_waited_for(mothership: Any) -> None:  # noqa: ANN401
    """It would hold up the pool's other clusters."""
    mothership.player()
    mothership.deliver(mothership.pool, messages.Online(pool_uid="pool-uid", replica="r"))
    mothership.deliver(mothership.pool, messages.Offline(pool_uid="pool-uid", replica="r"))
    with mothership.database.read() as conn:
        assert mothership.desk.inventories.unheard(conn) == set()


def test_an_operator_hears_of_attempts_whose_worker_is_gone(mothership: Any) -> None:  # noqa: ANN401
    """A claim that was cut may have left a Secret, of which only the attempt's name tells."""
    worker = mothership.player()
    mothership.trigger()
    (scheduled,) = mothership.schedule()
    mothership.say(worker, messages.Unregister)
    (item,) = mothership.due()
    assert (item.message.type, item.worker) == ("run_released", worker.id)
    assert (item.message.run, item.message.sequence) == (scheduled.run, scheduled.sequence)
    assert item.message.stage == "preparing"
    mothership.say(worker, messages.Unregister)
    mothership.clock.move(1000)
    assert mothership.due() == []


def test_an_operator_hears_that_a_lease_is_over(mothership: Any) -> None:  # noqa: ANN401
    """The worker was removed by force in the middle of a run: what is left of it is cleared up at this word."""
    worker, scheduled = mothership.granted()
    mothership.say(worker, messages.Unregister)
    assert mothership.due() == []
    mothership.clock.move(181)
    with mothership.database.write() as conn:
        now = mothership.clock.now()
        for case in runs.overdue(conn, now, mothership.rules, 10):
            after = expire(case, now, hearing_since=0.0, serving_since=0.0, rules=mothership.rules)
            runs.save(conn, case, after, now)
    assert mothership.state(scheduled.run) == "lost"
    assert [item.message.type for item in mothership.due()] == ["run_released"]
    mothership.say(worker, messages.Unregister)
    mothership.clock.move(1000)
    assert mothership.due() == []


def test_a_drain_that_nobody_told_of_is_seen_in_the_inventory(mothership: Any) -> None:  # noqa: ANN401
    """Else a worker that takes runs again would never get one."""
    worker = mothership.player()
    mothership.say(worker, messages.WorkerState, draining=True, drained=False)
    mothership.trigger()
    assert mothership.schedule() == []
    tell(
        mothership,
        InventoryWorker(worker=worker.id, worker_uid=worker.uid, assignment=0, draining=False, drained=False),
    )
    assert len(mothership.schedule()) == 1


def test_setting_the_machines_clock_moves_no_time_of_the_mothership() -> None:
    """Leases, tokens and repeats run on evenly."""
    wall, steady = [1000.0], [50.0]
    clock = SteadyClock(0.0, lambda: wall[0], lambda: steady[0])
    assert clock.now() == 1000.0
    wall[0], steady[0] = -1_000_000.0, 60.0
    assert clock.now() == 1010.0
    wall[0] = 9_999_999.0
    assert clock.now() == 1010.0


def test_a_clock_that_was_set_back_before_the_start_is_not_followed(mothership: Any) -> None:  # noqa: ANN401
    """What is stored isn't in the future: repeats would wait for it."""
    with mothership.database.write() as conn:
        assert pools.noted_time(conn) == 0.0
        for time in (10.0, 5000.5):
            pools.note_time(conn, time)
        reached = pools.noted_time(conn)
    clock = SteadyClock(reached, lambda: 1000.0, lambda: 0.0)
    assert clock.now() == 5000.5


def test_a_service_goes_on_from_the_time_that_the_last_one_reached(mothership: Any) -> None:  # noqa: ANN401
    """Also when the machine's clock was set back by a year meanwhile."""
    ahead = time.time() + 365 * 86400
    with mothership.database.write() as conn:
        pools.note_time(conn, ahead)
    service = Service(mothership.settings)
    try:
        assert service._dispatcher._parts.clock.now() >= ahead
    finally:
        service._database.close()
        os.close(service._lock)
