"""What happens to an attempt when nothing is heard: the three time-outs."""

from mothership.decisions.attempts import conclude_lease, lease_is_over, queue_again
from mothership.decisions.states import AttemptState, Case, Notice, Rules
from protocol.runs import Outcome, Reason, Result


def expire(
    case: Case, now: float, *, hearing_since: float | None, serving_since: float, rules: Rules
) -> Case:
    """Close the attempt if its time is over.

    `hearing_since` is when the broker connection came up (None while it is down): silence that is our own proves
    nothing. `serving_since` is when this process began to take calls, or when its clock jumped since: launchers get a
    grace to renew after it.
    """
    attempt = case.attempt
    if attempt.state is AttemptState.GRANTED:
        settled = now > serving_since + rules.lost_grace
        return conclude_lease(case, now) if settled and lease_is_over(attempt, now, rules) else case
    if attempt.is_closed or hearing_since is None:
        return case
    if attempt.state is AttemptState.ASSIGNED:
        silent = now - max(attempt.assigned_at, hearing_since) > rules.acceptance_timeout
        text = f"worker {attempt.worker} did not answer within {rules.acceptance_timeout:g} s"
        return _again(case, text, now, rules, counted=False) if silent else case
    accepted = attempt.accepted_at if attempt.accepted_at is not None else attempt.assigned_at
    if now - max(accepted, hearing_since) > rules.start_timeout:
        return _again(case, f"did not start within {rules.start_timeout:g} s", now, rules, counted=True)
    return case


def _again(case: Case, text: str, now: float, rules: Rules, *, counted: bool) -> Case:
    outcome = Outcome(Result.CANCELED, Reason.CANCELED, text)
    return queue_again(case, outcome, Notice.CANCELED, now, rules, counted=counted)
