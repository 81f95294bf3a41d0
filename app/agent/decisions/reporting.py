"""What is told about a pool's connection: the annotation that becomes its conditions, and Events; pure.

It is written only when it changes: a broker that is away for an hour costs two writes, not one for each attempt.
"""

import datetime as dt
import json
from dataclasses import dataclass

from app import vocabulary as words
from app.reasons import EVENTS

FLAP_GRACE = 5.0
"""Seconds that a connection may be away before anybody is told."""

NO_CREDENTIALS = (
    "spec.token and spec.privateKey are missing, and this operator can't register pools by itself: create the pool at "
    "the mothership, put its token and private key into a Secret, and name that Secret and its keys in both fields"
)
"""What a pool without credentials of its own is told."""

_ANSWERLESS = frozenset({words.CONNECTING_REASON, words.CONNECTION_LOST_EVENT, words.CANNOT_REGISTER_EVENT})


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
    """What there is to tell of a pool.

    `fault` is the one of its credentials and `schema_fault` the one of the CRDs, empty: none; `own_credentials` whether
    the spec names any. The rest is of the connection: `failures` are the tries in a row that failed, `retries` how many
    of the first connection's may fail before the pool counts as unable to register, `away_for` in seconds, `limited`
    what the broker can't do.
    """

    fault: str
    ready: bool
    broker: str
    error: str
    away_for: float
    was_ready: bool
    failures: int = 0
    retries: int = words.DEFAULT_MQTT_RETRIES
    own_credentials: bool = True
    schema_fault: str = ""
    limited: str = ""


def report(seen: Observed) -> Report | None:
    """Return what holds of the pool, None while it is too early to tell."""
    if seen.schema_fault:
        return Report(words.CONNECTION_UNREGISTERED, words.SCHEMA_TOO_OLD_EVENT, seen.schema_fault)
    if not seen.own_credentials:
        reason = words.AUTO_REGISTRATION_REASON
        return Report(words.CONNECTION_CREDENTIALS_INVALID, reason, NO_CREDENTIALS)
    if seen.fault:
        return Report(words.CONNECTION_CREDENTIALS_INVALID, words.CANNOT_REGISTER_EVENT, seen.fault)
    if seen.ready:
        text = f"Connected to {seen.broker}"
        text = f"{text}; {seen.limited}" if seen.limited else text
        return Report(words.CONNECTION_READY, words.REGISTERED_EVENT, text)
    return _without_connection(seen)


def differs(wanted: Report, annotation: str) -> bool:
    """Return whether the annotation says something else.

    The text of a connection error changes from attempt to attempt; that alone is not worth a write.
    """
    try:
        former = json.loads(annotation)
    except (ValueError, RecursionError):
        return True
    if not isinstance(former, dict):
        return True
    if not _is_time(former.get("time")):
        # Somebody edited it: the hook can't use it, and the conditions would stay as they are.
        return True
    same = (former.get("state"), former.get("reason")) == (wanted.state, wanted.reason)
    return not (same and (_is_transient(wanted) or former.get("message") == wanted.message))


def _is_time(value: object) -> bool:
    try:
        return isinstance(value, str) and dt.datetime.fromisoformat(value).tzinfo is not None
    except ValueError:
        return False


def event(wanted: Report) -> tuple[str, str, str] | None:
    """Return type, reason and text of the Event that goes with a changed report, None when it is no news.

    A first connection that is still being tried is none.
    """
    if wanted.reason == words.CONNECTING_REASON:
        return None
    reason, text = wanted.reason, wanted.message
    if reason in (words.CANNOT_REGISTER_EVENT, words.AUTO_REGISTRATION_REASON):
        reason, text = words.CANNOT_REGISTER_EVENT, f"Unable to register worker pool: {text}"
    kind, _ = EVENTS[words.WORKER_POOL_KIND, reason]
    return kind, reason, text


def _without_connection(seen: Observed) -> Report | None:
    text = f"Not connected to {seen.broker}: {seen.error or 'no answer yet'}"
    # Failed tries are evidence of their own: they need no grace.
    if not seen.was_ready and seen.failures >= max(seen.retries, 1):
        text = f"{text} (failed tries: {seen.failures}; they go on)"
        return Report(words.CONNECTION_UNREGISTERED, words.CANNOT_REGISTER_EVENT, text)
    if seen.away_for < FLAP_GRACE:
        return None
    reason = words.CONNECTION_LOST_EVENT if seen.was_ready else words.CONNECTING_REASON
    return Report(words.CONNECTION_CONNECTING, reason, text)


def _is_transient(wanted: Report) -> bool:
    return wanted.reason in _ANSWERLESS and wanted.state != words.CONNECTION_CREDENTIALS_INVALID
