"""The smaller policies: history, revisions, refusals, inventory, reporting."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.agent.decisions import history, inventory, refusal, reporting, revisions
from app.agent.decisions.refusal import Refusal
from protocol.messages import INVENTORY_PART_WORKERS
from protocol.runs import Outcome, Reason, Result
from tests.unit.agent import builders as a

KEPT = st.lists(
    st.builds(
        history.KeptPod,
        st.sampled_from("ab"),
        st.text("xyz", min_size=1),
        st.booleans(),
        st.text("0123", max_size=2),
    ),
    unique_by=lambda pod: (pod.worker, pod.name),
)


@given(KEPT, st.integers(0, 4), st.integers(0, 4))
def test_history_keeps_the_newest_of_each_kind_up_to_its_limit(
    pods: list[history.KeptPod], failed: int, successful: int
) -> None:
    """The oldest go, and trimming what was kept changes nothing."""
    kept = history.plan(pods, failed_limit=failed, successful_limit=successful)
    for succeeded, limit in ((False, failed), (True, successful)):
        mine = [pod for pod in pods if pod.succeeded is succeeded]
        staying = [pod for pod in mine if (pod.worker, pod.name) in kept]
        going = [pod for pod in mine if (pod.worker, pod.name) not in kept]
        assert len(staying) == min(limit, len(mine))
        assert all(old.finished_at <= new.finished_at for old in going for new in staying)
    again = [pod for pod in pods if (pod.worker, pod.name) in kept]
    assert history.plan(again, failed_limit=failed, successful_limit=successful) == kept


def test_a_pod_with_a_running_sidecar_is_not_kept() -> None:
    """It would cost its requests for ever."""
    outcome = Outcome(Result.FAILED, Reason.NON_ZERO_EXIT)
    done = (a.ended("launcher-grpc"), a.ended("worker", 1))
    assert history.keepable(a.pod(*done), outcome)
    assert not history.keepable(a.pod(*done, a.running("redis")), outcome)
    assert not history.keepable(a.pod(*done, deleting=True), outcome)
    assert not history.keepable(a.pod(*done), Outcome(Result.CANCELED, Reason.CANCELED))


def test_limits_of_history_default_as_documented() -> None:
    """Five failed Pods, no successful one, all of them with keepSuccessfulPods."""
    assert (a.pool().failed_history, a.pool().successful_history) == (5, 0)
    assert a.pool(keepSuccessfulPods=True).successful_history > 10**6
    assert a.pool(keepSuccessfulPods=True, successfulPodsHistoryLimit=3).successful_history == 3
    assert a.pool(failedPodsHistoryLimit=0).failed_history == 0


def test_a_revisions_name_is_its_content() -> None:
    """Equal settings are one object in whatever order they were written; others are another."""
    first = revisions.revision_name(a.pool(pod={"a": 1, "b": {"c": 2, "d": 3}}))
    assert first == revisions.revision_name(a.pool(pod={"b": {"d": 3, "c": 2}, "a": 1}))
    assert first != revisions.revision_name(a.pool(pod={"a": 1, "b": {"c": 2, "d": 4}}))
    assert first.startswith(f"{a.POOL}-")
    body = revisions.revision_body(a.pool(pod={"a": 1}), a.POOL_ULID)
    assert body["data"] == {"pod": {"a": 1}, "pool": {"name": a.POOL, "uid": a.POOL_UID}}
    assert "ownerReferences" not in body["metadata"]


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
    assert reporting.event(first)[1] == "WorkerPoolConnectionLost"
    assert not reporting.differs(again, first.annotation("t"))


def test_the_annotation_is_written_only_when_it_changes() -> None:
    """Time alone is no change."""
    found = reporting.report(observed())
    assert found is not None
    assert json.loads(found.annotation("2026-01-01T00:00:00Z"))["state"] == "Ready"
    assert not reporting.differs(found, found.annotation("then"))
    for other in ("", "[]", "{", "{}"):
        assert reporting.differs(found, other)
