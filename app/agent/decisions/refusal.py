"""What a refused dry run of a run Pod means: a verdict with the API server's own text, or patience; pure.

A Pod that the API server refuses (quota, policy, webhook) is invisible to hooks, so that without this a run
would wait for ever without a word.
"""

import re
from enum import StrEnum
from typing import Final

from app.agent.decisions.graces import DEFAULTS, Graces
from app.agent.decisions.texts import shorten
from protocol.runs import Outcome, Reason, Result

NAME_PATIENCE = 60.0
"""Seconds that another object may hold the Pod's name."""


_NAMES_WHAT_IS_MISSING: Final = re.compile(
    r'error looking up service account|RuntimeClass "[^"]*" not found|no PriorityClass with name'
)


class Refusal(StrEnum):
    """The kind of the API server's answer."""

    FORBIDDEN = "forbidden"
    INVALID = "invalid"
    NOT_FOUND = "not-found"
    NAME_TAKEN = "name-taken"
    OTHER = "other"


def judge(kind: Refusal, text: str, waited: float, graces: Graces = DEFAULTS) -> Outcome | None:
    """Return the verdict, or None when the refusal may still pass; `waited` is how long there was no Pod."""
    reason, patience = _meaning(kind, text, graces)
    if reason is None or waited < patience:
        return None
    return Outcome(Result.FAILED, reason, in_words(text))


def in_words(text: str) -> str:
    """Return what is told of a refusal: the API server's own text."""
    return shorten(f"the run's Pod was refused: {text}")


def is_about_the_agent(kind: Refusal, text: str) -> bool:
    """Return whether the agent itself lacks the permission: that says nothing of the Pod."""
    return kind is Refusal.FORBIDDEN and "cannot create resource" in text


def _meaning(kind: Refusal, text: str, graces: Graces) -> tuple[Reason | None, float]:
    if is_about_the_agent(kind, text):
        return None, 0.0
    if "is being terminated" in text or (kind is Refusal.NOT_FOUND and text.startswith("namespaces ")):
        return Reason.NAMESPACE_DELETED, 0.0
    if kind is Refusal.FORBIDDEN:
        return _forbidden(text, graces)
    if "denied the request" in text:
        # The words of an admission webhook that answered; it may choose any status code for its no.
        return Reason.POLICY_DENIED, 0.0
    if kind is Refusal.INVALID:
        return Reason.CONFIG_ERROR, 0.0
    if kind is Refusal.NAME_TAKEN:
        return Reason.CONFIG_ERROR, NAME_PATIENCE
    return Reason.CONFIG_ERROR if kind is Refusal.NOT_FOUND else Reason.POLICY_DENIED, graces.refusal


def _forbidden(text: str, graces: Graces) -> tuple[Reason, float]:
    if "exceeded quota" in text:
        return Reason.UNSCHEDULABLE, graces.refusal
    if _NAMES_WHAT_IS_MISSING.search(text):
        # It may come a moment after the pool, when both are applied together.
        return Reason.CONFIG_ERROR, graces.container_config
    return Reason.POLICY_DENIED, 0.0
