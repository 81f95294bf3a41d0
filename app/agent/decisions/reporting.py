"""What is told about a pool's connection: the annotation that becomes its Ready condition, and Events; pure.

It is written only when it changes: a broker that is away for an hour costs two writes, not one for each attempt.
"""

import json
from dataclasses import dataclass

from app import vocabulary as words

FLAP_GRACE = 5.0
"""Seconds that a connection may be away before anybody is told."""


@dataclass(frozen=True, slots=True)
class Report:
    """State, reason and message of the connection annotation."""

    state: str
    reason: str
    message: str

    def annotation(self, time: str) -> str:
        """Return the annotation's JSON."""
        fields = {"state": self.state, "reason": self.reason, "message": self.message, "time": time}
        return json.dumps(fields, sort_keys=True)


@dataclass(frozen=True, slots=True)
class Observed:
    """What there is to tell: the fault of the credentials (empty: none), and the connection."""

    fault: str
    ready: bool
    broker: str
    error: str
    away_for: float
    was_ready: bool


def report(seen: Observed) -> Report | None:
    """Return what holds of the connection, None while it is too early to tell."""
    if seen.fault:
        return Report(words.CONNECTION_CREDENTIALS_INVALID, words.CANNOT_REGISTER_EVENT, seen.fault)
    if seen.ready:
        return Report(words.CONNECTION_READY, words.REGISTERED_EVENT, f"Connected to {seen.broker}")
    if seen.away_for < FLAP_GRACE:
        return None
    text = f"Not connected to {seen.broker}: {seen.error or 'no answer yet'}"
    reason = words.CONNECTION_LOST_EVENT if seen.was_ready else words.CANNOT_REGISTER_EVENT
    return Report(words.CONNECTION_CONNECTING, reason, text)


def differs(wanted: Report, annotation: str) -> bool:
    """Return whether the annotation says something else.

    The text of a connection error changes from attempt to attempt; that alone is not worth a write.
    """
    try:
        former = json.loads(annotation)
    except ValueError:
        return True
    if not isinstance(former, dict):
        return True
    same = (former.get("state"), former.get("reason")) == (wanted.state, wanted.reason)
    transient = wanted.state == words.CONNECTION_CONNECTING
    return not (same and (transient or former.get("message") == wanted.message))


def event(wanted: Report) -> tuple[str, str, str]:
    """Return type, reason and text of the Event that goes with a changed report."""
    if wanted.state == words.CONNECTION_READY:
        return words.EVENT_NORMAL, words.REGISTERED_EVENT, wanted.message
    if wanted.reason == words.CONNECTION_LOST_EVENT:
        return words.EVENT_WARNING, words.CONNECTION_LOST_EVENT, wanted.message
    return (
        words.EVENT_WARNING,
        words.CANNOT_REGISTER_EVENT,
        f"Unable to register worker pool: {wanted.message}",
    )
