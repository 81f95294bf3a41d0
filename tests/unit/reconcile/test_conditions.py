"""Facts about the conditions of a pool."""

import json
from typing import Any

import pytest

from app.reasons import CONDITIONS
from app.reconcile.workerpool import sync_pool
from tests.unit.builders import pool, pool_request

READY = {"state": "Ready", "reason": "WorkerPoolRegistered", "message": "", "time": "2026-01-02T05:00:00Z"}
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


def one(
    condition: str, connection: dict[str, str] | str | None, former: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    """Return the one condition of that type."""
    (found,) = [each for each in conditions(connection, former) if each["type"] == condition]
    return found


def test_the_annotation_is_copied_into_the_condition() -> None:
    """State Ready is True; every other state is False with its reason and message."""
    ready = one("Ready", READY)
    assert (ready["type"], ready["status"], ready["reason"]) == ("Ready", "True", "WorkerPoolRegistered")
    bad = one("Ready", BAD)
    assert (bad["status"], bad["reason"], bad["message"]) == ("False", BAD["reason"], BAD["message"])
    assert bad["lastTransitionTime"] == "2026-01-02T06:00:00Z"


def test_the_transition_time_stays_while_the_status_does() -> None:
    """A later report of the same status isn't a transition; another status is."""
    former = conditions(READY)
    again = one("Ready", READY | {"time": "2026-01-02T09:00:00Z"}, former)
    assert again["lastTransitionTime"] == "2026-01-02T05:00:00Z"
    broken = one("Ready", BAD, former)
    assert broken["lastTransitionTime"] == BAD["time"]


def test_a_pool_nobody_reported_on_is_unknown_since_its_creation() -> None:
    """The only time that the request itself holds."""
    found = conditions(None)
    assert [each["type"] for each in found] == ["Ready", "CredentialsValid"]
    for unknown in found:
        assert (unknown["status"], unknown["reason"]) == ("Unknown", "ConnectionPending")
        assert unknown["lastTransitionTime"] == "2026-01-02T03:04:05Z"


@pytest.mark.parametrize(
    "annotation",
    [
        "",
        "{",
        "[]",
        "3",
        '{"state": 3}',
        '{"state": "Ready"}',
        '{"state": "Ready", "time": "today"}',
        '{"state": "Ready", "time": "2026-13-01T00:00:00Z"}',
        '{"state": "not a reason", "time": "2026-01-02T05:00:00Z"}',
        '{"state": "Ready", "reason": "-", "time": "2026-01-02T05:00:00Z"}',
    ],
)
def test_a_broken_annotation_changes_nothing(annotation: str) -> None:
    """No knowledge: what was said before still stands."""
    former = conditions(READY)
    assert conditions(annotation, former) == former
    assert conditions(annotation)[0]["status"] == "Unknown"


def test_a_day_that_does_not_exist_is_no_time() -> None:
    """The API server would refuse the whole status, sizes included."""
    assert conditions({**READY, "time": "2024-02-29T00:00:00Z"})[0]["status"] == "True"
    for time in ("2023-02-29T00:00:00Z", "2024-02-30T00:00:00Z", "0000-01-01T00:00:00Z"):
        assert conditions({**READY, "time": time})[0]["status"] == "Unknown"


def said(state: str, reason: str) -> dict[str, str]:
    """Return a connection in that state for that reason."""
    return {"state": state, "reason": reason, "message": "text", "time": "2026-01-02T05:00:00Z"}


@pytest.mark.parametrize(
    ("state", "reason", "ready", "valid"),
    [
        ("Ready", "WorkerPoolRegistered", "True", "True"),
        ("Connecting", "Connecting", "False", "Unknown"),
        ("Connecting", "WorkerPoolConnectionLost", "False", "True"),
        ("CannotRegister", "WorkerPoolCannotRegister", "False", "Unknown"),
        ("CannotRegister", "SchemaRevisionMismatch", "False", "Unknown"),
        ("CredentialsInvalid", "WorkerPoolCannotRegister", "False", "False"),
        ("CredentialsInvalid", "AutoRegistrationUnavailable", "False", "False"),
    ],
)
def test_every_state_has_its_two_conditions(state: str, reason: str, ready: str, valid: str) -> None:
    """CredentialsValid says what is known: only an answer of the mothership shows that they are good."""
    found = conditions(said(state, reason))
    assert [(each["type"], each["status"], each["reason"]) for each in found] == [
        ("Ready", ready, reason),
        ("CredentialsValid", valid, reason),
    ]
    for each in found:
        kind = ("WorkerPool", each["type"])
        assert (
            CONDITIONS[kind][reason].startswith(each["status"])
            or f" {each['status']}:" in (CONDITIONS[kind][reason])
        )


def test_each_condition_keeps_its_own_transition_time() -> None:
    """A lost connection says nothing new of the credentials."""
    lost = said("Connecting", "WorkerPoolConnectionLost") | {"time": "2026-01-02T09:00:00Z"}
    former = conditions(READY)
    assert one("Ready", lost, former)["lastTransitionTime"] == "2026-01-02T09:00:00Z"
    assert one("CredentialsValid", lost, former)["lastTransitionTime"] == READY["time"]


def test_a_pool_with_the_one_condition_of_an_older_operator_gets_the_other() -> None:
    """Without a word of the agent what stood before stands, and the rest is unknown."""
    former = [one("Ready", READY)]
    assert conditions(None, former)[0] == former[0]
    assert one("CredentialsValid", None, former)["status"] == "Unknown"


def test_a_message_is_cut_to_what_a_condition_may_hold() -> None:
    """The API server would refuse the whole status."""
    assert len(one("Ready", BAD | {"message": "x" * 40000})["message"]) == 32768
