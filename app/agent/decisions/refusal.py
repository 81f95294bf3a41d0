"""What a refused dry run of a run Pod means: a verdict with the API server's own text, or patience; pure.

A Pod that the API server refuses (quota, policy, webhook) is invisible to hooks, so that without this a run
would wait for ever without a word.
"""

from enum import StrEnum

from app.agent.decisions.verdict import shorten
from protocol.runs import Outcome, Reason, Result

PATIENCE = 300.0
"""Seconds that a refusal which may pass (quota, an unreachable webhook) is waited for."""

NAME_PATIENCE = 60.0
"""Seconds that another object may hold the Pod's name."""


class Refusal(StrEnum):
    """The kind of the API server's answer."""

    FORBIDDEN = "forbidden"
    INVALID = "invalid"
    NOT_FOUND = "not-found"
    NAME_TAKEN = "name-taken"
    OTHER = "other"


def judge(kind: Refusal, text: str, waited: float) -> Outcome | None:
    """Return the verdict, or None when the refusal may still pass; `waited` is how long there was no Pod."""
    reason, patience = _meaning(kind, text)
    if reason is None or waited < patience:
        return None
    return Outcome(Result.FAILED, reason, shorten(f"the run's Pod was refused: {text}"))


def is_about_the_agent(kind: Refusal, text: str) -> bool:
    """Return whether the agent itself lacks the permission: that says nothing of the Pod."""
    return kind is Refusal.FORBIDDEN and "cannot create resource" in text


def _meaning(kind: Refusal, text: str) -> tuple[Reason | None, float]:
    if is_about_the_agent(kind, text):
        return None, 0.0
    if kind is Refusal.NOT_FOUND or "is being terminated" in text:
        return Reason.NAMESPACE_DELETED, 0.0
    if kind is Refusal.FORBIDDEN:
        quota = "exceeded quota" in text
        return (Reason.UNSCHEDULABLE, PATIENCE) if quota else (Reason.POLICY_DENIED, 0.0)
    if kind is Refusal.INVALID:
        return Reason.CONFIG_ERROR, 0.0
    if kind is Refusal.NAME_TAKEN:
        return Reason.CONFIG_ERROR, NAME_PATIENCE
    return Reason.POLICY_DENIED, PATIENCE
