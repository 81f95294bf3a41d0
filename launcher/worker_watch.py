"""What the executor's files say about it, and what to do next; pure, times passed in."""

from dataclasses import dataclass, replace
from enum import Enum, auto

from protocol.runs import Outcome


@dataclass(frozen=True, slots=True)
class WorkerView:
    """One look at the executor's files."""

    beat: str = ""
    """The heartbeat's text; empty before the first one, or in the middle of a write."""

    outcome: Outcome | None = None
    """How the run ended, once it has."""

    dead: bool = False
    """Whether it is known to be gone. Looked at before the rest: it writes its outcome first."""


@dataclass(frozen=True, slots=True)
class Silence:
    """For how long the executor has given no sign of life."""

    beat: str = ""
    seconds: float = 0.0

    def after(self, view: WorkerView, elapsed: float, longest_step: float) -> "Silence":
        """Return the silence after another look, `elapsed` seconds later.

        A look that comes much later than planned means that this process was frozen, the executor most likely with
        it: such a gap counts as `longest_step` only.
        """
        if view.beat and view.beat != self.beat:
            return Silence(view.beat)
        if not self.beat:
            # Its image may take long to pull; the operator watches over that.
            return self
        return replace(self, seconds=self.seconds + min(elapsed, longest_step))


class Step(Enum):
    """What `grpc-server` does next."""

    GO_ON = auto()
    DELIVER = auto()
    """The run is over: deliver log and result."""

    VANISHED = auto()
    """The executor died without a word."""

    LEAVE = auto()
    """The mothership has closed the attempt: nobody takes anything any more."""

    GIVE_UP = auto()
    """The Pod is being deleted and time is up."""


@dataclass(frozen=True, slots=True)
class Situation:
    """All that the next step depends on."""

    view: WorkerView
    silence: Silence
    gone: bool
    terminated_for: float | None
    """Seconds since the SIGTERM, None without one."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How long to wait, in seconds."""

    worker_silence: float
    termination: float


def next_step(now: Situation, limits: Limits) -> Step:
    """Decide. An ended run is delivered whatever else has happened: it is the best evidence there is."""
    if now.view.outcome is not None:
        return Step.DELIVER
    if now.gone:
        return Step.LEAVE
    if now.terminated_for is not None and now.terminated_for >= limits.termination:
        return Step.GIVE_UP
    if now.view.dead or now.silence.seconds >= limits.worker_silence:
        return Step.VANISHED
    return Step.GO_ON
