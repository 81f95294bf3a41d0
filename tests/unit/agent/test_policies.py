"""The smaller policies: revisions, refusals, inventory, reporting."""

import json

import pytest

from app.agent.decisions import inventory, refusal, reporting, revisions
from app.agent.decisions.refusal import Refusal
from app.reasons import CONDITIONS
from protocol.messages import INVENTORY_PART_WORKERS
from protocol.runs import Reason, Result
from tests.unit.agent import builders as a


def test_a_revisions_name_is_its_content() -> None:
    """Equal settings are one object in whatever order they were written; others are another."""
    first = revisions.revision_name(a.pool(pod={"a": 1, "b": {"c": 2, "d": 3}}))
    assert first == revisions.revision_name(a.pool(pod={"b": {"d": 3, "c": 2}, "a": 1}))
    assert first != revisions.revision_name(a.pool(pod={"a": 1, "b": {"c": 2, "d": 4}}))
    assert first.startswith(f"{a.POOL}-")
    body = revisions.revision_body(a.pool(pod={"a": 1}), a.POOL_ULID)
    assert body["data"] == {
        "pod": {"a": 1},
        "pool": {"name": a.POOL, "uid": a.POOL_UID},
        "cluster": {"nativeSidecars": False},
    }
    assert "ownerReferences" not in body["metadata"]


def test_what_the_cluster_can_do_is_part_of_a_revision() -> None:
    """A run keeps the Pod that it was scheduled with, also when the cluster is upgraded meanwhile."""
    pool = a.pool(pod={"a": 1})
    body = revisions.revision_body(pool, a.POOL_ULID, native_sidecars=True)
    assert body["data"]["cluster"] == {"nativeSidecars": True}
    assert body["metadata"]["name"] == revisions.revision_name(pool, native_sidecars=True)
    assert body["metadata"]["name"] != revisions.revision_name(pool, native_sidecars=False)


def test_only_old_unreferred_revisions_go() -> None:
    """The current one, those in use and young ones stay."""
    ages = {"current": 1e6, "used": 1e6, "young": 1.0, "old": 1e6}
    assert revisions.unused(ages, {"used"}, "current") == {"old"}


@pytest.mark.parametrize(
    ("kind", "text", "reason", "patience"),
    [
        (Refusal.FORBIDDEN, 'violates PodSecurity "restricted:latest"', Reason.POLICY_DENIED, 0),
        (Refusal.FORBIDDEN, "exceeded quota: runs, requested: pods=1", Reason.UNSCHEDULABLE, 300),
        (
            Refusal.FORBIDDEN,
            "unable to create new content in namespace x because it is being terminated",
            Reason.NAMESPACE_DELETED,
            0,
        ),
        (Refusal.NOT_FOUND, 'namespaces "x" not found', Reason.NAMESPACE_DELETED, 0),
        (Refusal.INVALID, "spec.containers[0].image: Required value", Reason.CONFIG_ERROR, 0),
        (Refusal.NAME_TAKEN, "already exists", Reason.CONFIG_ERROR, 60),
        (Refusal.OTHER, "failed calling webhook", Reason.POLICY_DENIED, 300),
    ],
)
def test_a_refusal_becomes_a_verdict_with_the_apis_text(
    kind: Refusal, text: str, reason: Reason, patience: int
) -> None:
    """At once when it can't pass, later when it may."""
    assert patience == 0 or refusal.judge(kind, text, patience - 1) is None
    outcome = refusal.judge(kind, text, patience)
    assert outcome is not None
    assert (outcome.result, outcome.reason) == (Result.FAILED, reason)
    assert text in outcome.message


def test_a_permission_that_the_agent_lacks_says_nothing_of_the_pod() -> None:
    """The run isn't failed for it."""
    text = 'pods is forbidden: User "system:serviceaccount:x:y" cannot create resource "pods" in API group ""'
    assert refusal.judge(Refusal.FORBIDDEN, text, 1e6) is None


def test_an_inventory_holds_what_the_mothership_may_know() -> None:
    """Registered Workers and those being registered; of a busy one its attempt."""
    busy = a.busy("Starting")
    stranger = a.worker(status={}, uid="never-introduced")
    (part,) = inventory.parts([busy, stranger], set(), a.POOL_UID, "r")
    (line,) = part.workers
    assert (line.run, line.sequence, line.phase, line.pod_uid) == (a.RUN, 2, "Starting", a.POD_UID)
    (part,) = inventory.parts([stranger], {"never-introduced"}, a.POOL_UID, "r")
    assert part.workers[0].run is None


def test_an_inventory_comes_in_parts() -> None:
    """A thousand Workers don't fit one message; an empty pool is one empty part."""
    parts = inventory.parts([a.worker()] * (INVENTORY_PART_WORKERS + 1), set(), a.POOL_UID, "r")
    assert [(part.part, part.parts, len(part.workers)) for part in parts] == [(1, 2, 200), (2, 2, 1)]
    (empty,) = inventory.parts([], set(), a.POOL_UID, "r")
    assert (empty.parts, empty.workers) == (1, ())


def test_there_is_no_inventory_while_a_run_cannot_be_read() -> None:
    """Leaving that Worker out, or calling it idle, would be untrue."""
    unreadable = a.worker(status={"registration": "Registered", "run": {"phase": "?"}})
    assert inventory.parts([unreadable, a.worker()], set(), a.POOL_UID, "r") == []


def observed(**changes: object) -> reporting.Observed:
    """Return a connection that stands."""
    known = {"fault": "", "ready": True, "broker": "b:1", "error": "", "away_for": 0.0, "was_ready": True}
    return reporting.Observed(**{**known, **changes})  # type: ignore[arg-type]


def test_the_event_about_bad_credentials_has_the_text_that_users_know() -> None:
    """Exactly."""
    fault = (
        "cannot retrieve workerpool token: unable to base64 decode privateKey: "
        "illegal base64 data at input byte 4364"
    )
    found = reporting.report(observed(fault=fault))
    assert found is not None
    assert reporting.event(found) == (
        "Warning",
        "WorkerPoolCannotRegister",
        f"Unable to register worker pool: {fault}",
    )


def test_a_short_absence_is_told_to_nobody() -> None:
    """A broker restart isn't news, a broker away is; the text of each attempt isn't again."""
    assert reporting.report(observed(ready=False, away_for=4.9)) is None
    first = reporting.report(observed(ready=False, away_for=5.0, error="refused"))
    again = reporting.report(observed(ready=False, away_for=50.0, error="timed out"))
    assert first is not None
    assert again is not None
    assert first.state == "Connecting"
    event = reporting.event(first)
    assert event is not None
    assert event[1] == "WorkerPoolConnectionLost"
    assert not reporting.differs(again, first.annotation("2026-01-01T00:00:00Z"))


@pytest.mark.parametrize(
    ("retries", "failures", "away_for", "told"),
    [
        (5, 0, 4.9, None),
        (5, 4, 4.9, None),
        (5, 0, 5.0, ("Connecting", "Connecting")),
        (5, 4, 600.0, ("Connecting", "Connecting")),
        (5, 5, 0.5, ("CannotRegister", "WorkerPoolCannotRegister")),
        (5, 50, 600.0, ("CannotRegister", "WorkerPoolCannotRegister")),
        (1, 1, 0.5, ("CannotRegister", "WorkerPoolCannotRegister")),
        (0, 0, 4.9, None),
        (0, 0, 5.0, ("Connecting", "Connecting")),
        (0, 1, 0.1, ("CannotRegister", "WorkerPoolCannotRegister")),
    ],
)
def test_a_first_connection_may_fail_a_few_times_before_it_is_news(
    retries: int, failures: int, away_for: float, told: tuple[str, str] | None
) -> None:
    """As many failed tries as `mqttReconnectRetryCount` says; with 0 the first one is told at once."""
    seen = observed(
        ready=False, was_ready=False, retries=retries, failures=failures, away_for=away_for, error="refused"
    )
    found = reporting.report(seen)
    assert (found and (found.state, found.reason)) == told
    if found is not None:
        assert "Not connected to b:1: refused" in found.message
        event = reporting.event(found)
        assert (event and event[:2]) == (
            ("Warning", "WorkerPoolCannotRegister") if failures >= max(retries, 1) else None
        )


def test_a_connection_that_stood_before_counts_no_tries() -> None:
    """It broke: that is another piece of news, however often it is tried since."""
    found = reporting.report(observed(ready=False, failures=50, away_for=60.0))
    assert found is not None
    assert (found.state, found.reason) == ("Connecting", "WorkerPoolConnectionLost")


def test_a_pool_without_credentials_is_told_what_to_do() -> None:
    """It would have to register itself, which no operator of this kind can."""
    found = reporting.report(observed(fault="spec.token must be there", ready=False, own_credentials=False))
    assert found is not None
    assert (found.state, found.reason) == ("CredentialsInvalid", "AutoRegistrationUnavailable")
    event = reporting.event(found)
    assert event is not None
    assert event[:2] == ("Warning", "WorkerPoolCannotRegister")
    assert event[2].startswith("Unable to register worker pool: spec.token and spec.privateKey are missing")
    assert "Secret" in event[2]


def test_crds_of_another_revision_are_every_pools_trouble() -> None:
    """Nothing is claimed, whatever the connection is like."""
    found = reporting.report(observed(schema_fault="CRD x has schema revision 1", fault="also bad"))
    assert found is not None
    assert (found.state, found.reason) == ("CannotRegister", "SchemaRevisionMismatch")
    assert reporting.event(found) == ("Warning", "SchemaRevisionMismatch", "CRD x has schema revision 1")
    later = reporting.report(observed(schema_fault="CRD x is not installed"))
    assert later is not None
    assert reporting.differs(later, found.annotation("t"))


def test_every_reason_that_is_told_is_documented() -> None:
    """For both conditions, in the one table."""
    reports = [
        observed(),
        observed(schema_fault="x"),
        observed(fault="x"),
        observed(own_credentials=False),
        observed(ready=False, away_for=9),
        observed(ready=False, away_for=9, was_ready=False),
        observed(ready=False, failures=9, was_ready=False),
    ]
    for seen in reports:
        found = reporting.report(seen)
        assert found is not None
        for condition in ("Ready", "CredentialsValid"):
            assert found.reason in CONDITIONS["WorkerPool", condition]


def test_the_annotation_is_written_only_when_it_changes() -> None:
    """Time alone is no change."""
    found = reporting.report(observed())
    assert found is not None
    assert json.loads(found.annotation("2026-01-01T00:00:00Z"))["state"] == "Ready"
    assert not reporting.differs(found, found.annotation("2026-02-03T04:05:06Z"))
    for other in ("", "[]", "{", "{}", found.annotation("then"), found.annotation("2024-02-30T00:00:00Z")):
        assert reporting.differs(found, other)
