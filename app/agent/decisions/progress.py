"""How far an attempt has come, and the next step, from its Worker and its Pod; pure.

A phase is evidence, never authority (the mothership knows who started). A missing Pod is a wish only in phase
Scheduled, where the hook asks for it; from Starting on it is a verdict, after a look at the API server itself.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from app import vocabulary as words
from app.agent.decisions import starting, verdict
from app.agent.decisions.graces import DEFAULTS, Graces
from app.agent.pod_state import Container, ContainerView, PodView
from app.agent.worker_state import Attempt
from protocol.runs import Outcome, Phase

OOM_REPORT = 5.0
"""Seconds that launcher-grpc gets to deliver the log's end when the kubelet says that the worker container ran out of
memory: nothing that it could report would change the verdict."""


class Kind(StrEnum):
    """What is to be seen of an attempt's Pod."""

    NO_POD = "NoPod"
    PENDING = "Pending"
    STUCK = "Stuck"
    RUNNING = "Running"
    SERVER_ENDED = "ServerEnded"
    WORKER_ENDED = "WorkerEnded"
    CAUSE_AWAITED = "CauseAwaited"
    ENDED = "Ended"
    DELETED = "Deleted"


@dataclass(frozen=True, slots=True)
class Situation:
    """What was observed. `label` stays equal as long as nothing changed that matters to how long it may last."""

    kind: Kind
    pod: PodView | None = None
    problem: starting.Problem | None = None

    @property
    def label(self) -> str:
        """Name of the situation for measuring how long it has lasted."""
        detail = self.problem.outcome.reason if self.problem else ""
        return f"{self.kind}:{detail}:{self.pod.uid if self.pod else ''}"


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing to record; look again after `seconds`, or at the next change when that is None."""

    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Advance:
    """Record a later phase, and the UID of the Pod that was seen."""

    phase: Phase
    pod_uid: str


@dataclass(frozen=True, slots=True)
class Finish:
    """Record the verdict."""

    outcome: Outcome
    pod_uid: str | None


@dataclass(frozen=True, slots=True)
class LookLive:
    """Ask the API server for the Pod: the watch cache doesn't have it."""


@dataclass(frozen=True, slots=True)
class TryCreate:
    """Ask the API server, in a dry run, whether it would admit the Pod."""


@dataclass(frozen=True, slots=True)
class LookForCause:
    """Ask the API server what the Pod waits for: without the run's Secret or a volume it never starts."""


Step = Wait | Advance | Finish | LookLive | TryCreate | LookForCause


def pod_of(attempt: Attempt, pods: Iterable[PodView]) -> PodView | None:
    """Return the attempt's own Pod: the one of the recorded UID, else the first that was made for it."""
    own = [each for each in pods if each.key == attempt.key]
    if attempt.pod_uid is not None:
        own = [each for each in own if each.uid == attempt.pod_uid]
    return min(own, key=lambda each: each.created_at, default=None)


def situation(
    attempt: Attempt,
    pods: Iterable[PodView],
    graces: Graces = DEFAULTS,
    before: starting.Problem | None = None,
) -> Situation:
    """Return what is to be seen of the attempt; `before` is the problem that its Pod had when it was last looked at."""
    pod = pod_of(attempt, pods)
    if pod is None:
        return Situation(Kind.NO_POD)
    if _ended(pod):
        return Situation(Kind.CAUSE_AWAITED if verdict.awaits_cause(pod) else Kind.ENDED, pod)
    worker = pod.container(words.WORKER_CONTAINER)
    if worker is not None and worker.ended:
        return Situation(Kind.WORKER_ENDED, pod)
    if pod.deleting:
        return Situation(Kind.DELETED, pod)
    # Also while the worker container runs: without launcher-grpc nobody renews the lease, and the run has no future.
    problem = starting.with_the_cause(starting.problem(pod, graces), before)
    if problem:
        return Situation(Kind.STUCK, pod, problem)
    grpc = pod.container(words.GRPC_CONTAINER)
    if grpc is not None and grpc.ended:
        return Situation(Kind.SERVER_ENDED, pod)
    return Situation(Kind.RUNNING if _runs(worker) else Kind.PENDING, pod)


def decide(attempt: Attempt, seen: Situation, held: float, graces: Graces = DEFAULTS) -> Step:
    """Return the next step, given that the situation has lasted for `held` seconds."""
    if attempt.phase is Phase.FINISHED:
        return Wait()
    if seen.pod is None:
        return _without_pod(attempt, held, graces)
    finish = _finish(seen, seen.pod, held, graces)
    if finish is not None:
        return finish
    phase = _phase(attempt, seen)
    if phase is not attempt.phase or attempt.pod_uid is None:
        return Advance(phase, seen.pod.uid)
    return _watch(seen, seen.pod, held, graces)


def _runs(worker: ContainerView | None) -> bool:
    return worker is not None and worker.state is Container.RUNNING


def _ended(pod: PodView) -> bool:
    worker, grpc = pod.container(words.WORKER_CONTAINER), pod.container(words.GRPC_CONTAINER)
    if pod.terminal:
        return True
    if worker is not None and worker.ended:
        return grpc is None or grpc.ended
    return pod.init_failed


def _without_pod(attempt: Attempt, held: float, graces: Graces) -> Step:
    if attempt.phase is not Phase.SCHEDULED:
        return LookLive()
    return TryCreate() if held >= graces.run_pod else Wait(graces.run_pod - held)


def _finish(seen: Situation, pod: PodView, held: float, graces: Graces) -> Finish | None:
    patience = _patience(seen, pod, graces)
    if patience is None or held < patience:
        return None
    if seen.problem is not None:
        return Finish(seen.problem.outcome, pod.uid)
    if seen.kind is Kind.DELETED:
        return Finish(verdict.node_lost(pod) if pod.started else verdict.deleted(pod), pod.uid)
    if seen.kind is Kind.SERVER_ENDED:
        return Finish(verdict.server_ended(pod), pod.uid)
    return Finish(verdict.judge(pod), pod.uid)


def _patience(seen: Situation, pod: PodView, graces: Graces) -> float | None:
    """Return how long the situation may last until it is a verdict, None when it may last."""
    if seen.kind is Kind.ENDED:
        return 0.0
    if seen.kind is Kind.WORKER_ENDED:
        return OOM_REPORT if verdict.worker_out_of_memory(pod) else graces.launcher_report
    if seen.kind is Kind.SERVER_ENDED and not verdict.server_was_stopped(pod):
        return graces.container_config
    if seen.kind in (Kind.CAUSE_AWAITED, Kind.SERVER_ENDED):
        # The kubelet names the cause when the last container has ended, a user's sidecar among them.
        return graces.launcher_report + pod.termination_grace
    if seen.kind is Kind.DELETED:
        return pod.deletion_grace + (graces.node_lost if pod.started else graces.deleted_pod)
    return seen.problem.grace if seen.problem is not None else None


def _phase(attempt: Attempt, seen: Situation) -> Phase:
    worker = seen.pod.container(words.WORKER_CONTAINER) if seen.pod else None
    ran = seen.kind is Kind.CAUSE_AWAITED and worker is not None and worker.ended
    runs = seen.kind is not Kind.DELETED and _runs(worker)
    if runs or ran or seen.kind is Kind.WORKER_ENDED or attempt.phase is Phase.RUNNING:
        return Phase.RUNNING
    return Phase.STARTING


def _watch(seen: Situation, pod: PodView, held: float, graces: Graces) -> Step:
    patience = _patience(seen, pod, graces)
    if patience is not None:
        return Wait(patience - held)
    if seen.kind is Kind.PENDING and not pod.started:
        left = graces.container_config - held
        return LookForCause() if left <= 0 else Wait(left)
    return Wait()
