"""The records that the rules work on: a run, one attempt of it, and the two together.

An attempt is one (run, sequence). `Case` is what every rule takes and returns; a rule that finds nothing to do returns
the very case it was given, so the shell writes only what changed.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from protocol.runs import Outcome, Reason

STAGE = "preparing"
"""The stage that runs in a Pod; there is one so far."""


class RunState(StrEnum):
    """Where a run is; `started` means granted, which only the mothership knows."""

    QUEUED = "queued"
    ASSIGNED = "assigned"
    ACCEPTED = "accepted"
    STARTED = "started"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    STOPPED = "stopped"
    CANCELED = "canceled"
    LOST = "lost"

    @property
    def is_final(self) -> bool:
        """Whether nothing will happen to the run any more."""
        return self not in (RunState.QUEUED, RunState.ASSIGNED, RunState.ACCEPTED, RunState.STARTED)


class AttemptState(StrEnum):
    """Where an attempt is; closed is for ever."""

    ASSIGNED = "assigned"
    ACCEPTED = "accepted"
    GRANTED = "granted"
    CLOSED = "closed"


class Notice(StrEnum):
    """What the worker of a closed attempt still has to be told."""

    CANCELED = "canceled"
    RELEASED = "released"


@dataclass(frozen=True, slots=True)
class Rules:
    """Times (in seconds) and bounds of the decisions."""

    acceptance_timeout: float = 60
    """An assignment without an answer for this long is given to another worker."""
    start_timeout: float = 900
    """An accepted attempt without a grant for this long is queued again; image pulls and full nodes take minutes."""
    lease: int = 30
    """A launcher renews its lease at least this often."""
    lost_after: int = 120
    """Without a renewal for this long a launcher stops its run by itself."""
    lost_grace: float = 60
    """How much later than that the run is called lost: half the stop's grace, clocks, and renewals too close to the
    last one to be stored."""
    stop_grace: int = 30
    """What a stopped run has to come to an end."""
    requeue_limit: int = 10
    """Attempts that may end without a start before the run fails: what fails so often fails again."""
    token_lifetime: float = 900
    """A run token is valid this long after its assignment's answer is due, and after each renewal."""
    late_calls: float = 600
    """After its close an attempt may still deliver its last log lines and its report for this long."""
    forget_after: float = 3600
    """A worker whose operator is offline for this long is forgotten; it registers again when it is back.
    What a forgotten worker would still have to be told is dropped after as long."""


@dataclass(frozen=True, slots=True)
class Run:
    """A run: `position` is the last place in its state history, `sequence` the attempt that counts.

    `requeues` are the attempts that failed without a start, `failed_with` is how the last of them did, and `not_before`
    when the next may be made.
    """

    id: str
    pool: str
    state: RunState
    position: int
    sequence: int | None = None
    requeues: int = 0
    stop_requested: bool = False
    outcome: Outcome | None = None
    failed_with: Reason | None = None
    not_before: float = 0.0


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt on one worker.

    `pod_uid` is the Pod that the worker reported first and, once granted, the one that holds the grant.
    `worker_outcome` and `report` are the words of worker and launcher, `outcome` the verdict. `due_at` says when the
    worker is told (again) what it has to know; None when there is nothing to tell.
    """

    run: str
    sequence: int
    stage: str
    pool: str
    pool_uid: str
    worker: str
    worker_uid: str
    assignment: int
    state: AttemptState
    assigned_at: float
    granted: bool = False
    pod_uid: str | None = None
    accepted_at: float | None = None
    granted_at: float | None = None
    renewed_at: float | None = None
    closed_at: float | None = None
    worker_outcome: Outcome | None = None
    report: Outcome | None = None
    outcome: Outcome | None = None
    notice: Notice | None = None
    due_at: float | None = None
    tries: int = 0

    @property
    def is_closed(self) -> bool:
        """Whether the attempt is over for ever."""
        return self.state is AttemptState.CLOSED

    @property
    def occupies(self) -> bool:
        """Whether the worker is taken: it holds the attempt, or may still hold it because a cancel is under way."""
        return not self.is_closed or self.notice is Notice.CANCELED


@dataclass(frozen=True, slots=True)
class Case:
    """A run with one of its attempts; `history` are the states that the rule added, in order."""

    run: Run
    attempt: Attempt
    history: tuple[str, ...] = ()

    @property
    def is_current(self) -> bool:
        """Whether the attempt is the one that counts for the run."""
        return self.run.sequence == self.attempt.sequence


def enter(run: Run, *states: str) -> Run:
    """Return the run after it went through `states`."""
    return replace(run, position=run.position + len(states))
