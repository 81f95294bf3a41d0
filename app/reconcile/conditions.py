"""Conditions of a pool: a copy of what the agent said about its connection.

The agent writes state, reason, message and time into an annotation; so conditions exist although the hook has
no clock. A missing or broken annotation is no knowledge, and no knowledge changes nothing.
"""

from __future__ import annotations

import calendar
import re
from dataclasses import dataclass
from typing import Final

from app.contract.fields import JsonObject, object_in
from app.reconcile.pool_view import PoolView
from app.vocabulary import (
    CONDITION_FALSE,
    CONDITION_TRUE,
    CONDITION_UNKNOWN,
    CONNECTION_CREDENTIALS_INVALID,
    CONNECTION_LOST_EVENT,
    CONNECTION_PENDING_REASON,
    CONNECTION_READY,
    CREDENTIALS_CONDITION,
    READY_CONDITION,
)

MESSAGE_LIMIT: Final = 32768
"""Characters of a condition's message, as the API conventions bound them."""

ACCEPTED_MESSAGE: Final = "The mothership accepted token and private key"
"""Message of CredentialsValid while it is True: the annotation's own is about the connection."""

_TYPES: Final = (READY_CONDITION, CREDENTIALS_CONDITION)
_RFC3339 = re.compile(
    r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])T([01]\d|2[0-3]):[0-5]\d:[0-5]\d(\.\d+)?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)",
    re.ASCII,
)
_REASON = re.compile(r"[A-Za-z](?:[A-Za-z0-9_,:]{0,1022}[A-Za-z0-9_])?")
_PENDING_MESSAGE = "Waiting for the operator's first report on this pool"


@dataclass(frozen=True, slots=True)
class Connection:
    """What the annotation says, in the form that a condition may have."""

    state: str
    reason: str
    message: str
    time: str


def pool_conditions(pool: PoolView) -> list[JsonObject]:
    """Return the pool's conditions; each one's transition time is kept while its status stays what it was."""
    connection = _parse(pool.connection)
    if connection is None:
        found = (_former(pool, type_) or _pending(pool, type_) for type_ in _TYPES)
        return [condition for condition in found if condition is not None]
    ready = CONDITION_TRUE if connection.state == CONNECTION_READY else CONDITION_FALSE
    credentials = _credentials(connection)
    message = ACCEPTED_MESSAGE if credentials == CONDITION_TRUE else connection.message
    return [
        _condition(pool, connection, READY_CONDITION, ready, connection.message),
        _condition(pool, connection, CREDENTIALS_CONDITION, credentials, message),
    ]


def _credentials(connection: Connection) -> str:
    """Return whether the credentials are good: only an answer of the mothership shows that, and one that came counts."""
    if connection.state == CONNECTION_CREDENTIALS_INVALID:
        return CONDITION_FALSE
    if connection.state == CONNECTION_READY or connection.reason == CONNECTION_LOST_EVENT:
        return CONDITION_TRUE
    return CONDITION_UNKNOWN


def _condition(pool: PoolView, connection: Connection, type_: str, status: str, message: str) -> JsonObject:
    former = _former(pool, type_)
    return {
        "type": type_,
        "status": status,
        "reason": connection.reason,
        "message": message,
        "lastTransitionTime": _transition_time(former, status) or connection.time,
    }


def _former(pool: PoolView, type_: str) -> JsonObject | None:
    return next((item for item in pool.conditions if item.get("type") == type_), None)


def _pending(pool: PoolView, type_: str) -> JsonObject | None:
    if not _RFC3339.fullmatch(pool.created_at):
        return None
    return {
        "type": type_,
        "status": CONDITION_UNKNOWN,
        "reason": CONNECTION_PENDING_REASON,
        "message": _PENDING_MESSAGE,
        "lastTransitionTime": pool.created_at,
    }


def _transition_time(former: JsonObject | None, status: str) -> str | None:
    if former is None or former.get("status") != status:
        return None
    return _text(former, "lastTransitionTime") or None


def _parse(annotation: str | None) -> Connection | None:
    """Return what the annotation says, None when its state, reason or time can't be used.

    The CRD refuses a status with a malformed condition, and with it everything else in that status.
    """
    found = object_in(annotation)
    if found is None:
        return None
    state, time = _text(found, "state"), _text(found, "time")
    reason = _text(found, "reason") or state
    if not state or not _REASON.fullmatch(reason) or not _is_time(time):
        return None
    return Connection(state, reason, _text(found, "message")[:MESSAGE_LIMIT], time)


def _is_time(text: str) -> bool:
    """Return whether `text` is an RFC 3339 time of a day that exists: the API server refuses 30 February."""
    if not _RFC3339.fullmatch(text):
        return False
    year, month, day = int(text[:4]), int(text[5:7]), int(text[8:10])
    return year > 0 and day <= calendar.monthrange(year, month)[1]


def _text(container: JsonObject, key: str) -> str:
    value = container.get(key)
    return value if isinstance(value, str) else ""
