"""Our hooks under time travel: recordings of a running cluster, asked about in every pair of ages."""

from __future__ import annotations

from dataclasses import replace

import pytest

from app.contract.requests import DecoratorRequest
from app.reconcile import letting_go, worker
from app.reconcile.worker_view import PodView, WorkerView
from tests.replay import ours
from tests.replay.recording import Recording
from tests.replay.worker_rules import GONE_IN_FLIGHT, LIVE_POD_DROPPED, SECOND_POD_WISHED, live_pods

RECORDINGS = ours.recordings()


@pytest.mark.parametrize("name", RECORDINGS)
def test_no_age_of_the_views_drops_a_live_pod_or_wishes_for_a_second(name: str) -> None:
    """Old Worker with new Pod, the reverse, and everything between, as restarts bring them about."""
    report = ours.replay(RECORDINGS[name])
    assert report.violations == []
    assert report.calls > 100


@pytest.mark.parametrize("name", RECORDINGS)
def test_each_recording_shows_pods_without_a_verdict_and_the_verdict(name: str) -> None:
    """A recording without live Pods, or one that ends too early, would prove nothing."""
    histories = ours.workers_of(RECORDINGS[name])
    assert any(live_pods(moment) for history in histories for moment in history.moments)
    assert all(live_pods(history.moments[-1]) == [] for history in histories)


@pytest.fixture
def recording() -> Recording:
    """Return the recording of two runs, one after the other."""
    return RECORDINGS["one-run"]


def test_a_hook_that_drops_what_it_does_not_know_is_caught(
    recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The mistake that most hooks make: only what the parent asks for now is in the answer."""
    monkeypatch.setattr(worker, "may_go", lambda _pod, seen: seen.run is None)
    assert LIVE_POD_DROPPED in ours.replay(recording).signs


def test_a_hook_that_trusts_any_end_is_caught(recording: Recording, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Worker whose last assignment ended says nothing about a newer Pod's."""

    def over(_attempt: object, seen: WorkerView) -> bool:
        return seen.run is None

    monkeypatch.setattr(letting_go, "_is_behind", over)
    assert LIVE_POD_DROPPED in ours.replay(recording).signs


def test_a_hook_that_asks_for_a_pod_until_the_end_is_caught(
    recording: Recording, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From Starting on a missing Pod is a verdict."""
    honest = worker._scheduled_pod

    def eager(seen: WorkerView, revisions: dict[str, dict[str, object]]) -> object:
        if seen.run is not None and seen.run.phase in ("Starting", "Running"):
            seen = replace(seen, run=replace(seen.run, phase="Scheduled"))
        return honest(seen, revisions)

    monkeypatch.setattr(worker, "_scheduled_pod", eager)
    assert set(ours.replay(recording).signs) == {SECOND_POD_WISHED}


def test_a_hook_that_lets_a_busy_worker_go_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    """The finalize hook answers by what it positively knows, too."""

    def hasty(_worker: WorkerView, _pods: list[PodView]) -> bool:
        return True

    monkeypatch.setattr(worker, "_may_be_finalized", hasty)
    assert GONE_IN_FLIGHT in ours.replay(RECORDINGS["worker-deleted-while-busy"]).signs


def test_the_replay_asks_more_than_was_recorded(recording: Recording) -> None:
    """Most of the calls never happened on the cluster: that is the point."""
    asked: list[tuple[object, ...]] = []
    honest = worker.sync_worker

    def counting(request: DecoratorRequest) -> object:
        asked.append(
            tuple(item["metadata"]["resourceVersion"] for item in (request.parent, *request.attachments))
        )
        return honest(request)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(worker, "sync_worker", counting)
        ours.replay(recording)
    recorded = sum(call.path == "/sync/worker" for call in recording.calls)
    assert len(set(asked)) > 5 * recorded
