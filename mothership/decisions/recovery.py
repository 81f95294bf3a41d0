"""What a mothership believes that knows less than the world does: its database came back from a backup.

The operators' ledgers are newer then. Whoever shows a start that isn't stored here is believed: a run that may have
started is never given out again (design, section 6: recovery follows the grant).
"""

from dataclasses import dataclass, replace

from mothership.decisions.states import STAGE, Attempt, AttemptState, Case, Notice, Run, RunState, enter
from protocol.runs import Outcome, Reason, Result


@dataclass(frozen=True, slots=True)
class Found:
    """An attempt that an operator names. Without a `pod_uid` no Pod of it was ever reported, so none was granted."""

    run: str
    sequence: int
    pool: str
    pool_uid: str
    worker: str
    worker_uid: str
    assignment: int
    pod_uid: str | None


@dataclass(frozen=True, slots=True)
class Adoption:
    """What follows from a found attempt.

    `run` without `attempt`: the run only passes the sequence number, which must not be used twice. `displaced` is the
    attempt that counted until now, closed.
    """

    run: Run
    attempt: Attempt | None = None
    displaced: Attempt | None = None
    history: tuple[str, ...] = ()


def started(case: Case, pod_uid: str, now: float) -> Case:
    """Take over a grant that isn't stored: the worker container runs, so its start was granted once.

    Nothing changes where the grant is known, where the attempt is closed, or where another Pod was reported first.
    """
    attempt = case.attempt
    if attempt.is_closed or attempt.granted or not case.is_current or attempt.pod_uid not in (None, pod_uid):
        return case
    return replace(
        case, run=replace(case.run, state=RunState.STARTED), attempt=_granted(attempt, pod_uid, now)
    )


def proves_start(outcome: Outcome) -> bool:
    """Return whether a verdict shows that the worker container ran, which it does only after a grant."""
    return outcome.result is Result.SUCCEEDED or "worker" in outcome.exit_codes


def adopt(run: Run, current: Attempt | None, found: Found, now: float) -> Adoption | None:
    """Return what follows from an attempt of `run` that isn't stored here, None when nothing does.

    `current` is the attempt that counts so far. A sequence that the run has passed already isn't adopted: it was
    given out by this database's own future, and what it stands for can't be told.
    """
    if run.state.is_final or run.pool != found.pool or found.sequence <= run.position:
        return None
    if found.pod_uid is None:
        return Adoption(replace(run, position=found.sequence))
    if current is not None and current.granted:
        return None
    attempt = Attempt(
        run=run.id,
        sequence=found.sequence,
        stage=STAGE,
        pool=found.pool,
        pool_uid=found.pool_uid,
        worker=found.worker,
        worker_uid=found.worker_uid,
        assignment=found.assignment,
        state=AttemptState.ASSIGNED,
        assigned_at=now,
    )
    moved = enter(replace(run, position=found.sequence - 1), STAGE)
    moved = replace(moved, state=RunState.STARTED, sequence=found.sequence)
    return Adoption(moved, _granted(attempt, found.pod_uid, now), _displaced(current, now), (STAGE,))


def _granted(attempt: Attempt, pod_uid: str, now: float) -> Attempt:
    return replace(
        attempt,
        state=AttemptState.GRANTED,
        granted=True,
        granted_at=now,
        renewed_at=now,
        pod_uid=pod_uid,
        accepted_at=attempt.accepted_at if attempt.accepted_at is not None else now,
        due_at=None,
        tries=0,
    )


def _displaced(current: Attempt | None, now: float) -> Attempt | None:
    if current is None or current.is_closed:
        return None
    text = "a later attempt of the run, which this mothership had forgotten, has started"
    return replace(
        current,
        state=AttemptState.CLOSED,
        outcome=Outcome(Result.CANCELED, Reason.CANCELED, text),
        closed_at=now,
        notice=Notice.CANCELED,
        due_at=now,
        tries=0,
    )
