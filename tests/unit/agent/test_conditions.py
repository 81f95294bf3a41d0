"""What is told of a Worker: its conditions, and the texts of Events about it."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app import vocabulary as words
from app.agent import patches
from app.agent.decisions import conditions, worker_events
from app.agent.worker_state import WorkerView
from app.reasons import CONDITIONS, EVENTS
from protocol.runs import Outcome, Reason, Result
from tests.unit.agent import builders as a

NOW = "2026-06-01T12:00:00Z"
BEFORE = "2026-05-01T00:00:00Z"
OOM = Outcome(Result.FAILED, Reason.OOM_KILLED, "container worker used more memory than its limit of 512Mi")


def condition(kind: str, status: str, reason: str = "X", message: str = "") -> a.Json:
    """Return an observed condition."""
    return {
        "type": kind,
        "status": status,
        "reason": reason,
        "message": message,
        "lastTransitionTime": BEFORE,
    }


def idle(*observed: a.Json, draining: bool = False, deleting: bool = False, **status: Any) -> WorkerView:  # noqa: ANN401
    """Return a registered Worker with these conditions."""
    known = {"registration": "Registered", "registered": True, "state": "IDLE", "conditions": list(observed)}
    return a.worker(status={**known, **status}, draining=draining, deleting=deleting)


def told(worker: WorkerView, patch: a.Json) -> dict[str, a.Json]:
    """Return the conditions by type that a patch comes to carry."""
    found = conditions.with_conditions(worker, patch, NOW)["status"].get("conditions", worker.conditions)
    return {each["type"]: each for each in found}


READY: dict[str, tuple[WorkerView, Callable[[WorkerView], a.Json], tuple[str, str]]] = {
    "a Worker that is registered": (
        a.worker(status={}),
        lambda worker: patches.registered(worker, drained=False),
        ("True", "Registered"),
    ),
    "one that is registered and drained": (
        a.worker(status={}),
        lambda worker: patches.registered(worker, drained=True),
        ("False", "Drained"),
    ),
    "one that the mothership forgot": (idle(), patches.unknown_again, ("False", "RegistrationPending")),
    "one that is drained": (
        idle(),
        lambda worker: patches.drained(worker, drained=True),
        ("False", "Drained"),
    ),
    "one that is drained no more": (
        idle(drained=True),
        lambda worker: patches.drained(worker, drained=False),
        ("True", "Registered"),
    ),
    "a busy one that is drained": (
        a.busy("Running"),
        lambda worker: patches.drained(worker, drained=True),
        ("True", "Registered"),
    ),
    "a drained one whose run is over": (
        a.worker(status={**a.busy_status("Finished"), "drained": True}),
        patches.released,
        ("False", "Drained"),
    ),
    "one that the pool lets go after its run": (
        a.busy("Finished", worker_changes={"draining": True}),
        patches.released,
        ("False", "Drained"),
    ),
    "one whose run is over": (a.busy("Finished"), patches.released, ("True", "Registered")),
    "one that goes away": (idle(deleting=True), patches.deregistering, ("False", "Deregistering")),
    "one that is gone": (idle(deleting=True), patches.gone, ("False", "Deregistered")),
}


@pytest.mark.parametrize("name", READY)
def test_ready_of(name: str) -> None:
    """True while the Worker takes runs or carries one out; the reason is one of the documented table."""
    worker, change, wanted = READY[name]
    found = told(worker, change(worker))["Ready"]
    assert (found["status"], found["reason"]) == wanted
    assert found["reason"] in CONDITIONS[words.WORKER_KIND, words.READY_CONDITION]
    assert len(found["message"]) < 30


def test_a_claim_of_a_worker_whose_conditions_hold_carries_none() -> None:
    """The patch of each run stays as small as it was."""
    worker = idle(condition("Ready", "True", "Registered", "Takes runs"))
    facts = patches.ClaimFacts("secret", "uid", "settings", NOW)
    patch = patches.claimed(worker, a.scheduled(), facts)
    assert conditions.with_conditions(worker, patch, NOW) is patch


def test_a_verdict_is_told_in_the_patch_that_records_it() -> None:
    """Reason and text are those of the Outcome and of the Event; the rest of the list stays."""
    observed = [condition("Ready", "True", "Registered", "Takes runs"), condition("Mine", "True")]
    worker = a.worker(status={**a.busy_status("Running"), "conditions": observed})
    assert worker.run is not None
    found = told(worker, patches.finished(worker, worker.run, OOM, a.POD_UID, []))
    event = worker_events.run_ended(a.RUN, OOM)
    assert found["LastRunSucceeded"] == {
        "type": "LastRunSucceeded",
        "status": "False",
        "reason": "OOMKilled",
        "message": event[2],
        "lastTransitionTime": NOW,
    }
    assert [found["Ready"], found["Mine"]] == observed


@pytest.mark.parametrize(("before", "time"), [("True", NOW), ("False", BEFORE)])
def test_the_time_of_transition_changes_with_the_status_alone(before: str, time: str) -> None:
    """Two failures in a row are one state, with a new message."""
    observed = condition("LastRunSucceeded", before, "ImagePull", "Run X failed")
    worker = a.worker(status={**a.busy_status("Running"), "conditions": [observed]})
    assert worker.run is not None
    found = told(worker, patches.finished(worker, worker.run, OOM, None, []))["LastRunSucceeded"]
    assert (found["lastTransitionTime"], found["reason"]) == (time, "OOMKilled")


def test_a_run_that_cannot_be_read_leaves_the_conditions_alone() -> None:
    """A newer operator wrote that status."""
    worker = a.worker(status={"registration": "Registered", "run": {"phase": "Teleporting"}})
    patch = patches.answered(worker, 9)
    assert conditions.with_conditions(worker, patch, NOW) is patch


@pytest.mark.parametrize(
    ("worker", "stale"),
    [
        (idle(condition("Ready", "True"), draining=True), True),
        (idle(condition("Ready", "False")), True),
        (idle(condition("Ready", "True")), False),
        (idle(condition("Ready", "False"), drained=True), False),
        (idle(), False),
        (idle(condition("Ready", "True"), draining=True, deleting=True), False),
        (idle(condition("Ready", "True"), registration="Pending"), False),
        (a.worker(status={**a.busy_status(), "conditions": [condition("Ready", "False")]}), False),
    ],
    ids=["draining", "no more", "right", "drained", "never told", "goes", "comes", "busy"],
)
def test_ready_is_put_right_only_where_no_patch_is_due(worker: WorkerView, stale: bool) -> None:
    """The pool's wish alone changes without a patch of ours; nothing else costs a write of its own."""
    assert conditions.ready_is_stale(worker) is stale
    if stale:
        again = conditions.with_conditions(worker, patches.told(worker), NOW)["status"]["conditions"]
        assert again[0]["lastTransitionTime"] == NOW


JUNK = st.one_of(
    st.none(), st.text(max_size=3), st.integers(), st.lists(st.dictionaries(st.text(max_size=4), st.text()))
)


@given(JUNK)
def test_conditions_that_make_no_sense_are_replaced(junk: object) -> None:
    """A status that somebody else wrote by hand stops nothing."""
    worker = idle()
    worker = a.worker(status={"registration": "Registered", "conditions": junk})
    found = told(worker, patches.drained(worker, drained=True))
    assert found["Ready"]["status"] == "False"


# --- Events ---


@pytest.mark.parametrize(
    ("outcome", "wanted"),
    [
        (
            Outcome(Result.SUCCEEDED, Reason.COMPLETED),
            ("Normal", "RunFinished", f"Run {a.RUN} succeeded: Completed"),
        ),
        (
            OOM,
            ("Warning", "RunFailed", f"Run {a.RUN} failed: OOMKilled: {OOM.message}"),
        ),
        (
            Outcome(Result.LOST, Reason.NODE_LOST, "gone"),
            ("Warning", "RunFailed", f"Run {a.RUN} lost: NodeLost: gone"),
        ),
        (
            Outcome(Result.STOPPED, Reason.STOPPED, "on request"),
            ("Normal", "RunFinished", f"Run {a.RUN} stopped: Stopped: on request"),
        ),
        (
            Outcome(Result.CANCELED, Reason.CANCELED, "canceled before it started"),
            ("Normal", "RunFinished", f"Run {a.RUN} canceled: Canceled: canceled before it started"),
        ),
    ],
    ids=["succeeded", "failed", "lost", "stopped", "canceled"],
)
def test_a_verdicts_event(outcome: Outcome, wanted: tuple[str, str, str]) -> None:
    """Failed and lost are warnings, with the reason."""
    assert worker_events.run_ended(a.RUN, outcome) == wanted


def test_a_report_fits_an_event_whole() -> None:
    """Cut at the API's limit of bytes, and between characters."""
    long = Outcome(Result.FAILED, Reason.IMAGE_PULL, "é" * 1024)
    text = worker_events.report(a.RUN, long)
    assert 1020 <= len(text.encode()) <= 1024
    assert text.endswith("é...")


def test_every_event_about_a_worker_is_of_the_table() -> None:
    """Type and reason are documented."""
    busy = a.busy("Running")
    assert busy.run is not None
    events = [
        worker_events.run_started(busy.run, "node-1"),
        worker_events.run_released(busy.run),
        worker_events.pod_refused(OOM.message),
        worker_events.drain_changed(busy, drained=True),
        worker_events.drain_changed(a.worker(), drained=True),
        worker_events.drain_changed(busy, drained=False),
        worker_events.deregistration_unconfirmed(),
        worker_events.verdict_unreported(busy.run),
        worker_events.run_ended(a.RUN, OOM),
    ]
    for kind, reason, text in events:
        assert EVENTS[words.WORKER_KIND, reason][0] == kind
        assert text
    assert a.RUN in worker_events.drain_changed(busy, drained=True)[2]
    assert "node-1" in worker_events.run_started(busy.run, "node-1")[2]
