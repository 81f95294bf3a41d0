"""The lease in time: a granted Pod that renews, or can't, beside a mothership that waits; in steps of some seconds.

The run model only knows that work stops by itself before its lease is over. Here is why: the mothership's `renew`,
`lease_is_over` and `expire` are called with real times; the executor's part is what its shell script does, in numbers.
"""

from dataclasses import dataclass, field
from typing import NamedTuple

from launcher.lease import renewal_interval
from mothership.decisions import attempts, claims, timers
from mothership.decisions.states import Attempt, AttemptState, Case, Rules, Run, RunState
from tests.model.checker import Step

NOT_WHILE_WORKING = "a lease is never called over while the executor may work"

_GRANTED_AT = 10_000.0


@dataclass(frozen=True, slots=True)
class LeaseBounds:
    """Seconds: the step of time, the longest that a renewal or its answer may be on its way, how long the executor gives
    a command that it ends (`sl_hurried_grace` and its watch's second), and whether it does at all.
    """

    tick: int = 5
    delay: int = 30
    ending: int = 20
    self_stop: bool = True
    rules: Rules = field(default_factory=Rules)


class Lease(NamedTuple):
    """Ages in seconds: of the stored renewal, of the asking for the last one that the executor knows of, of a request
    and of an answer on their way (-1: none), and for how long the executor has been ending the command (-1: it works,
    -2: it has ended). `over`: the mothership has closed the attempt.
    """

    stored: int
    known: int
    request: int
    answer: int
    ending: int
    over: bool


class LeaseModel:
    """The model of `LeaseBounds`."""

    invariants: tuple[str, ...] = (NOT_WHILE_WORKING,)

    def __init__(self, bounds: LeaseBounds) -> None:
        self.bounds = bounds
        self.interval = renewal_interval(bounds.rules.lease)

    def initial(self) -> Lease:
        """Return the moment of the grant."""
        return Lease(0, 0, -1, -1, -1, False)

    def settled(self, state: Lease) -> bool:
        """Return whether both sides know that it is over."""
        return state.over and state.ending == -2

    def show(self, state: Lease) -> str:
        """Return a state in words."""
        return str(state)

    def steps(self, state: Lease) -> list[Step[Lease]]:
        """Return every transition."""
        found = [self._tick(state)] if self._may_pass(state) else []
        if state.over:
            return found
        if state.request < 0 and state.answer < 0 and state.known >= self.interval:
            found.append(Step(("launcher asks for a renewal",), state._replace(request=0)))
        if state.request >= 0:
            found.append(Step(("mothership gets the request",), self._renewed(state)))
            found.append(Step(("FAULT the request is lost",), state._replace(request=-1), False))
        if state.answer >= 0:
            # The launcher counts from its asking: the answer may have been long on its way.
            known = min(state.known, state.answer)
            found.append(Step(("launcher gets the answer",), state._replace(known=known, answer=-1)))
            found.append(Step(("FAULT the answer is lost",), state._replace(answer=-1), False))
        if self._expires(state):
            broken = (NOT_WHILE_WORKING,) if state.ending != -2 else ()
            found.append(Step(("mothership calls the lease over",), state._replace(over=True), True, broken))
        return found

    def _may_pass(self, state: Lease) -> bool:
        """Return whether time may pass: nothing stays on its way for longer than its sender waits."""
        if max(state.request, state.answer) >= self.bounds.delay:
            return False
        return not (state.over and state.ending == -2)

    def _tick(self, state: Lease) -> Step[Lease]:
        bounds = self.bounds
        far = int(bounds.rules.lost_after + bounds.rules.lost_grace) + 4 * bounds.tick
        stored, known = (min(age + bounds.tick, far) for age in (state.stored, state.known))
        request, answer = (age if age < 0 else age + bounds.tick for age in (state.request, state.answer))
        ending = state.ending
        if ending >= 0:
            ending = -2 if ending + bounds.tick >= bounds.ending else ending + bounds.tick
        elif ending == -1 and bounds.self_stop and known >= bounds.rules.lost_after:
            ending = 0
        after = Lease(stored, known, request, answer, ending, state.over)
        return Step((f"{bounds.tick} s pass",), after)

    def _case(self, state: Lease) -> tuple[Case, float]:
        attempt = Attempt(
            run="RUN",
            sequence=3,
            stage="preparing",
            pool="POOL",
            pool_uid="pool-uid",
            worker="WORKER",
            worker_uid="worker-uid",
            assignment=1,
            state=AttemptState.GRANTED,
            assigned_at=_GRANTED_AT,
            granted=True,
            pod_uid="pod-uid",
            renewed_at=_GRANTED_AT,
        )
        run = Run("RUN", "POOL", RunState.STARTED, position=3, sequence=3)
        return Case(run, attempt), _GRANTED_AT + state.stored

    def _renewed(self, state: Lease) -> Lease:
        case, now = self._case(state)
        _, after = claims.renew(case, now, self.bounds.rules)
        renewed = after.attempt.renewed_at
        assert renewed is not None
        return state._replace(stored=int(now - renewed), request=-1, answer=state.request)

    def _expires(self, state: Lease) -> bool:
        case, now = self._case(state)
        if not attempts.lease_is_over(case.attempt, now, self.bounds.rules):
            return False
        return (
            timers.expire(case, now, hearing_since=0.0, serving_since=0.0, rules=self.bounds.rules)
            is not case
        )
