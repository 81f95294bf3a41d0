"""Facts about the conditions of a pool."""

import json
from typing import Any

import pytest

from app.reconcile.workerpool import sync_pool
from tests.unit.builders import pool, pool_request

READY = {"state": "Ready", "reason": "Connected", "message": "", "time": "2026-01-02T05:00:00Z"}
BAD = {
    "state": "CredentialsInvalid",
    "reason": "InvalidPrivateKey",
    "message": "unable to base64 decode privateKey",
    "time": "2026-01-02T06:00:00Z",
}


def conditions(
    connection: dict[str, str] | str | None, former: list[dict[str, Any]] | None = None
) -> list[dict[str, Any]]:
    """Return the conditions of a pool with that annotation and those former conditions."""
    text = connection if isinstance(connection, str) or connection is None else json.dumps(connection)
    status = {} if former is None else {"conditions": former}
    found: list[dict[str, Any]] = sync_pool(pool_request(pool(connection=text, status=status))).status[
        "conditions"
    ]
    return found


def test_the_annotation_is_copied_into_the_condition() -> None:
    """State Ready is True; every other state is False with its reason and message."""
    (ready,) = conditions(READY)
    assert (ready["type"], ready["status"], ready["reason"]) == ("Ready", "True", "Connected")
    (bad,) = conditions(BAD)
    assert (bad["status"], bad["reason"], bad["message"]) == ("False", BAD["reason"], BAD["message"])
    assert bad["lastTransitionTime"] == "2026-01-02T06:00:00Z"


def test_the_transition_time_stays_while_the_status_does() -> None:
    """A later report of the same status isn't a transition; another status is."""
    former = conditions(READY)
    (again,) = conditions(READY | {"time": "2026-01-02T09:00:00Z"}, former)
    assert again["lastTransitionTime"] == "2026-01-02T05:00:00Z"
    (broken,) = conditions(BAD, former)
    assert broken["lastTransitionTime"] == BAD["time"]


def test_a_pool_nobody_reported_on_is_unknown_since_its_creation() -> None:
    """The only time that the request itself holds."""
    (unknown,) = conditions(None)
    assert unknown["status"] == "Unknown"
    assert unknown["lastTransitionTime"] == "2026-01-02T03:04:05Z"


@pytest.mark.parametrize(
    "annotation",
    ["", "{", "[]", "3", '{"state": 3}', '{"state": "Ready"}', '{"state": "Ready", "time": "today"}'],
)
def test_a_broken_annotation_changes_nothing(annotation: str) -> None:
    """No knowledge: what was said before still stands."""
    former = conditions(READY)
    assert conditions(annotation, former) == former
    assert conditions(annotation)[0]["status"] == "Unknown"
