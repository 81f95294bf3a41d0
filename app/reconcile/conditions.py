"""Conditions of a pool: a copy of what the agent said about its connection.

The agent writes state, reason, message and time into an annotation; so conditions exist although the hook has
no clock. A missing or broken annotation is no knowledge, and no knowledge changes nothing.
"""

from __future__ import annotations

import re

import orjson

from app.contract.fields import JsonObject
from app.reconcile.pool_view import PoolView
from app.vocabulary import (
    CONDITION_FALSE,
    CONDITION_TRUE,
    CONDITION_UNKNOWN,
    CONNECTION_PENDING_REASON,
    CONNECTION_READY,
    READY_CONDITION,
)

_RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)")
_PENDING_MESSAGE = "Waiting for the operator's first report on this pool"


def pool_conditions(pool: PoolView) -> list[JsonObject]:
    """Return the pool's conditions; the transition time is kept while the status stays what it was."""
    former = next((item for item in pool.conditions if item.get("type") == READY_CONDITION), None)
    connection = _parse(pool.connection)
    if connection is None:
        return [former] if former is not None else _pending(pool)
    status = CONDITION_TRUE if connection["state"] == CONNECTION_READY else CONDITION_FALSE
    return [
        {
            "type": READY_CONDITION,
            "status": status,
            "reason": _text(connection, "reason") or connection["state"],
            "message": _text(connection, "message"),
            "lastTransitionTime": _transition_time(former, status) or connection["time"],
        }
    ]


def _pending(pool: PoolView) -> list[JsonObject]:
    if not _RFC3339.fullmatch(pool.created_at):
        return []
    return [
        {
            "type": READY_CONDITION,
            "status": CONDITION_UNKNOWN,
            "reason": CONNECTION_PENDING_REASON,
            "message": _PENDING_MESSAGE,
            "lastTransitionTime": pool.created_at,
        }
    ]


def _transition_time(former: JsonObject | None, status: str) -> str | None:
    if former is None or former.get("status") != status:
        return None
    return _text(former, "lastTransitionTime") or None


def _parse(annotation: str | None) -> JsonObject | None:
    """Return the annotation's object when its state and time can be used."""
    try:
        connection = orjson.loads(annotation or "null")
    except orjson.JSONDecodeError:
        return None
    if not isinstance(connection, dict) or not _text(connection, "state"):
        return None
    # The CRD refuses a status with a broken time, and with it everything else in that status.
    return connection if _RFC3339.fullmatch(_text(connection, "time")) else None


def _text(container: JsonObject, key: str) -> str:
    value = container.get(key)
    return value if isinstance(value, str) else ""
