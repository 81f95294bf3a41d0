"""The start claim and the lease: fences 5 and 7 of the design, section 6.

The claim carries "a run starts at most once". The caller stores the returned case in the transaction in which it
read it; nothing else may come between.
"""

from dataclasses import dataclass, replace
from enum import StrEnum

from mothership.decisions.states import AttemptState, Case, Rules, RunState
from protocol.launcher_api import LeaseAction


class Verdict(StrEnum):
    """The answer to a claim."""

    GRANTED = "granted"
    WAIT = "wait"
    REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Claim:
    """The answer, the case after it, and a sentence that says why."""

    verdict: Verdict
    case: Case
    why: str = ""


def claim(case: Case, pod_uid: str, now: float) -> Claim:
    """Decide who may start: the run's current attempt, once, for the Pod that the worker reported first."""
    attempt = case.attempt
    if attempt.is_closed or not case.is_current or case.run.state.is_final:
        return Claim(Verdict.REFUSED, case, "the attempt is closed")
    if attempt.pod_uid is None:
        return Claim(Verdict.WAIT, case, "the operator has not reported the Pod of this attempt yet")
    if attempt.pod_uid != pod_uid:
        return Claim(Verdict.REFUSED, case, "another Pod belongs to this attempt")
    if attempt.granted:
        return Claim(Verdict.GRANTED, case)
    granted = replace(
        attempt,
        state=AttemptState.GRANTED,
        granted=True,
        granted_at=now,
        renewed_at=now,
        accepted_at=attempt.accepted_at if attempt.accepted_at is not None else now,
        due_at=None,
        tries=0,
    )
    return Claim(
        Verdict.GRANTED, replace(case, run=replace(case.run, state=RunState.STARTED), attempt=granted)
    )


def renew(case: Case, now: float, rules: Rules) -> tuple[LeaseAction | None, Case]:
    """Renew the lease of a granted attempt; None for the action when there is no grant to renew yet.

    Renewals within a third of the lease change nothing: launchers ask every few seconds to hear of a stop, and the
    grace before `lost` is longer than what is lost by not writing each one down.
    """
    attempt = case.attempt
    if attempt.is_closed:
        return LeaseAction.GONE, case
    if not attempt.granted:
        return None, case
    if attempt.renewed_at is None or now - attempt.renewed_at >= rules.lease / 3:
        case = replace(case, attempt=replace(attempt, renewed_at=now))
    # The worker has already let go of a Pod that still calls: it must come to an end.
    ends = case.run.stop_requested or attempt.worker_outcome is not None
    return (LeaseAction.STOP if ends else LeaseAction.CONTINUE), case
