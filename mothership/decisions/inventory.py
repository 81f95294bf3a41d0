"""The comparison of an attempt with what the operator says its worker holds."""

from mothership.decisions.attempts import accept, bind_pod, queue_again, release, remind, told
from mothership.decisions.recovery import started
from mothership.decisions.states import Case, Rules
from protocol.messages import InventoryWorker
from protocol.runs import Outcome, Phase, Reason, Result

CANCELS_BEFORE_SILENCE_COUNTS = 3
"""A worker that never answered an assignment can't show a higher number: so many cancels unseen are enough."""


def observe(case: Case, seen: InventoryWorker, now: float, rules: Rules) -> Case:
    """Bring an attempt in line with its worker's line of an inventory.

    A number above the one that the worker has answered is still on its way; only at or below it does absence mean
    that the attempt is over there. A granted attempt is never judged by absence: that is for its lease.
    """
    attempt = case.attempt
    if (seen.run, seen.sequence) == (attempt.run, attempt.sequence):
        return _observe_held(case, seen, now)
    answered = seen.assignment >= attempt.assignment
    if attempt.is_closed:
        return told(case) if answered or attempt.tries >= CANCELS_BEFORE_SILENCE_COUNTS else case
    if answered and not attempt.granted:
        outcome = Outcome(
            Result.CANCELED, Reason.CANCELED, f"worker {attempt.worker} does not hold the attempt any more"
        )
        return queue_again(case, outcome, None, now, rules, counted=False)
    return case


def _observe_held(case: Case, seen: InventoryWorker, now: float) -> Case:
    if not case.attempt.is_closed:
        if seen.phase == Phase.RUNNING and seen.pod_uid:
            case = started(case, seen.pod_uid, now)
        return bind_pod(case, seen.pod_uid, now) if seen.pod_uid else accept(case, now)
    if seen.phase == Phase.FINISHED:
        return release(case, now)
    if seen.phase in (Phase.SCHEDULED, Phase.STARTING):
        return remind(case, now)
    return case
