"""Switches in the hooks: what they wish for, what they let go, and what guards the Pods they make."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import Any

from app.reconcile.worker_view import PodView, WorkerView
from tests.mutations.registry import REPLAY, fence, instead, replaced

Json = dict[str, Any]


@fence("a Pod is asked for in phase Scheduled alone", "Fence 2", "pod-gone-by-force", REPLAY)
def pod_only_in_scheduled() -> Iterator[None]:
    """Ask for it until the run is Finished."""

    def eager(honest: Any) -> Any:  # noqa: ANN401 - the product's function
        def scheduled_pod(worker: WorkerView, revisions: dict[str, Json]) -> Json | None:
            if worker.run is not None and worker.run.phase != "Finished":
                worker = replace(worker, run=replace(worker.run, phase="Scheduled"))
            pod: Json | None = honest(worker, revisions)
            return pod

        return scheduled_pod

    with instead("app.reconcile.worker._scheduled_pod", eager):
        yield


@fence("run Pods carry the verdict finalizer", "Fence 3", "ended-pod-collected")
def verdict_finalizer() -> Iterator[None]:
    """Make Pods without it."""
    with instead(
        "app.children.run_pod.pod_metadata", lambda honest: lambda *args: honest(*args) | {"finalizers": []}
    ):
        yield


@fence(
    "the hook lets go of a Pod only when it knows the attempt to be over",
    "Rule: letting go",
    "old-worker-list",
    REPLAY,
)
def positive_knowledge() -> Iterator[None]:
    """Let go of every Pod that isn't the present run's."""

    def may_go(pod: PodView, worker: WorkerView) -> bool:
        return worker.run is None or worker.run.attempt != pod.attempt

    with replaced("app.reconcile.worker.may_go", may_go):
        yield


@fence(
    "assignment numbers tell the hook which attempts are behind",
    "Rule: letting go (assignments)",
    "old-worker-list-after-a-run",
    REPLAY,
)
def behind_by_assignment() -> Iterator[None]:
    """Take any Worker without a run for one that is past the Pod's attempt."""
    with replaced("app.reconcile.letting_go._is_behind", lambda _attempt, worker: worker.run is None):
        yield


@fence("what the hook can't read it leaves as it is", "Rule: letting go (unreadable)", "unreadable-status")
def unreadable_stays() -> Iterator[None]:
    """Take a status that makes no sense for an empty one."""

    def readable(honest: Any) -> Any:  # noqa: ANN401 - the product's function
        return lambda parent: replace(honest(parent), readable=True)

    with instead("app.reconcile.worker.view_worker", readable):
        yield


@fence("kept Pods stay", "Rule: letting go (kept Pods)", "kept-pod", REPLAY)
def kept_pods_stay() -> Iterator[None]:
    """Forget the list of kept Pods."""

    def forgetful(honest: Any) -> Any:  # noqa: ANN401 - the product's function
        return lambda parent: replace(honest(parent), kept_pods=frozenset())

    with instead("app.reconcile.worker.view_worker", forgetful):
        yield


@fence("a Worker is finalized only with no run on it", "Finalizer of Workers", "deleted-while-busy", REPLAY)
def worker_finalizer() -> Iterator[None]:
    """Finalize at once."""
    with replaced("app.reconcile.worker._may_be_finalized", lambda _worker, _pods: True):
        yield


@fence("a pool is finalized only without Workers", "Finalizer of pools", "pool-deleted-while-busy", REPLAY)
def pool_finalizer() -> Iterator[None]:
    """Finalize at once, with its busy Workers draining as before."""

    def hasty(honest: Any) -> Any:  # noqa: ANN401 - the product's function
        return lambda request: replace(honest(request), finalized=True)

    with instead("app.reconcile.workerpool.finalize_pool", hasty):
        yield


@fence("busy Workers are drained, not dropped", "Rule: scaling down", REPLAY)
def busy_are_drained() -> Iterator[None]:
    """Drop them with the idle ones."""
    with replaced("app.reconcile.scaling.busy_of", lambda _workers: []):
        yield


@fence("a run Pod is owned by its Secret, too", "Owner: the run Secret", "deleted-in-the-foreground")
def second_owner() -> Iterator[None]:
    """Make Pods that only their Worker owns."""
    with instead(
        "app.children.run_pod.pod_metadata",
        lambda honest: lambda *args: honest(*args) | {"ownerReferences": []},
    ):
        yield


@fence("H moves over the contiguous observed run only", "Identity: high-water mark", "gap-in-the-worker-list")
def contiguous_high_water_mark() -> Iterator[None]:
    """Take the highest number that is seen."""

    def highest(closed: int, observed: Collection[int]) -> int:
        return max([closed, *observed])

    with (
        replaced("app.reconcile.workerpool.high_water_mark", highest),
        instead(
            "app.reconcile.workerpool.next_sequences",
            lambda honest: lambda closed, seen, missing: honest(highest(closed, seen), seen, missing),
        ),
    ):
        yield


@fence(
    "hooks invent nothing: a ULID follows from pool and number", "Identity: ULIDs", "gap-in-the-worker-list"
)
def deterministic_ulids() -> Iterator[None]:
    """Invent one."""
    from ulid import ULID

    with replaced("app.reconcile.workerpool.worker_ulid", lambda _uid, _sequence: str(ULID())):
        yield
