"""Letting go of run Pods: only when the hook's own view of the Worker says that the attempt is over.

Metacontroller deletes what a hook doesn't list. After a restart its Worker list can be older than its Pod list,
so absence of knowledge never deletes: a Pod that isn't understood, or newer than the view, stays.
"""

from __future__ import annotations

from app.reconcile.worker_view import Attempt, PodView, RunView, WorkerView
from app.vocabulary import PHASE_FINISHED


def may_go(pod: PodView, worker: WorkerView) -> bool:
    """Tell whether the Pod's attempt is positively over and nobody wants to look at the Pod any more."""
    return pod.name not in worker.kept_pods and _attempt_is_over(pod, worker)


def _attempt_is_over(pod: PodView, worker: WorkerView) -> bool:
    """Tell whether the Worker holds a verdict for the Pod's attempt, or has moved past it."""
    if pod.attempt is None or not worker.readable:
        return False
    if worker.run is not None and worker.run.attempt == pod.attempt:
        return _has_verdict(pod, worker.run)
    return _is_behind(pod.attempt, worker)


def _has_verdict(pod: PodView, run: RunView) -> bool:
    if run.phase != PHASE_FINISHED:
        return False
    if run.pod_uid is not None and pod.uid == run.pod_uid:
        return True
    # A second incarnation: refused at the start claim, it ends by itself.
    return pod.terminal and run.has_outcome


def _is_behind(attempt: Attempt, worker: WorkerView) -> bool:
    """Tell whether the attempt was released or superseded: assignments of a Worker only grow."""
    return worker.assignment is not None and attempt.assignment <= worker.assignment
