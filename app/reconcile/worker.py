"""The Worker hooks: which run Pods should exist, and when a deleted Worker may go.

Called by ``app.web`` for every sync, finalize and customize of the DecoratorController. The answer never has a
status: that is the agent's alone.
"""

from __future__ import annotations

from app.children.order import RunPodOrder
from app.children.revision import read_revision
from app.children.run_pod import build_run_pod
from app.contract.fields import JsonObject
from app.contract.requests import CustomizeRequest, DecoratorRequest
from app.contract.responses import CustomizeResponse, DecoratorResponse, RelatedRule
from app.errors import PodSettingsError
from app.reconcile.letting_go import may_go
from app.reconcile.worker_view import PodView, RunView, WorkerView, view_pod, view_worker
from app.vocabulary import (
    PHASE_FINISHED,
    PHASE_SCHEDULED,
    POD_KIND,
    POOL_LABEL,
    REGISTRATION_GONE,
    SETTINGS_API_VERSION,
    SETTINGS_RESOURCE,
)


def sync_worker(request: DecoratorRequest) -> DecoratorResponse:
    """Answer a sync: the run Pods that should exist."""
    worker = view_worker(request.parent)
    pods = [view_pod(pod) for pod in request.attachments]
    return DecoratorResponse(attachments=_desired(worker, pods, request.related))


def finalize_worker(request: DecoratorRequest) -> DecoratorResponse:
    """Answer the call for a deleted Worker: the same Pods, and whether nothing holds it any more."""
    worker = view_worker(request.parent)
    pods = [view_pod(pod) for pod in request.attachments]
    return DecoratorResponse(
        attachments=_desired(worker, pods, request.related), finalized=_may_be_finalized(worker, pods)
    )


def customize_worker(request: CustomizeRequest) -> CustomizeResponse:
    """Relate the settings revisions of the Worker's pool.

    Metacontroller caches the answer by the Worker's generation, so it may depend on nothing that changes.
    """
    worker = view_worker(request.parent)
    if not worker.pool_ulid:
        return CustomizeResponse(related=[])
    rule = RelatedRule(
        SETTINGS_API_VERSION, SETTINGS_RESOURCE, worker.namespace, {POOL_LABEL: worker.pool_ulid}
    )
    return CustomizeResponse(related=[rule])


def run_pod_of(worker_object: JsonObject, revision: JsonObject) -> JsonObject | None:
    """Return the Pod that the hook asks for while the Worker's run is Scheduled, or None when it asks for none.

    For the agent's dry run: it must send exactly what Metacontroller would. Raises PodSettingsError.
    """
    worker = view_worker(worker_object)
    return _scheduled_pod(worker, {worker.run.settings: revision}) if worker.run else None


def _desired(worker: WorkerView, pods: list[PodView], revisions: dict[str, JsonObject]) -> list[JsonObject]:
    kept = [_as_it_is(worker, pod) for pod in pods if not may_go(pod, worker)]
    scheduled = _wished_pod(worker, revisions)
    # A Pod of that name is there already, in whatever state: the name can't be used twice.
    if scheduled is None or any(pod.name == scheduled["metadata"]["name"] for pod in pods):
        return kept
    return [*kept, scheduled]


def _as_it_is(worker: WorkerView, pod: PodView) -> JsonObject:
    """Return no more than the Pod's name: the update strategy OnDelete then changes nothing in it."""
    return {
        "apiVersion": "v1",
        "kind": POD_KIND,
        "metadata": {"name": pod.name, "namespace": worker.namespace},
    }


def _wished_pod(worker: WorkerView, revisions: dict[str, JsonObject]) -> JsonObject | None:
    """Return the Pod of a scheduled run, or None when there is none to ask for or its settings make none.

    An error would hold up the Worker's other Pods and end nothing. The agent, which builds the same Pod for its
    dry run, finds the same error and makes it the run's verdict.
    """
    try:
        return _scheduled_pod(worker, revisions)
    except PodSettingsError:
        return None


def _scheduled_pod(worker: WorkerView, revisions: dict[str, JsonObject]) -> JsonObject | None:
    """Return the Pod of a run in phase Scheduled; from Starting on a missing Pod is a verdict, not a wish."""
    run = worker.run
    if run is None or run.phase != PHASE_SCHEDULED or not worker.readable:
        return None
    revision = revisions.get(run.settings)
    order = _order(worker, run)
    # The revision may not have reached Metacontroller's cache yet.
    if revision is None or order is None:
        return None
    settings = read_revision(revision)
    return build_run_pod(order, settings.pod, native_sidecars=settings.native_sidecars)


def _order(worker: WorkerView, run: RunView) -> RunPodOrder | None:
    """Return what the Pod is built from, or None when the ledger lacks a part of it."""
    texts = (run.stage, run.runner_image, run.launcher_image, run.secret_name, run.secret_uid)
    if not all(texts) or not worker.ulid or not worker.pool_ulid:
        return None
    return RunPodOrder(
        namespace=worker.namespace,
        pool_name=worker.pool_name,
        pool_ulid=worker.pool_ulid,
        worker_ulid=worker.ulid,
        run_id=run.attempt.run_id,
        stage=run.stage,
        sequence=run.attempt.sequence,
        assignment=run.attempt.assignment,
        runner_image=run.runner_image,
        launcher_image=run.launcher_image,
        secret_name=run.secret_name,
        secret_uid=run.secret_uid,
    )


def _may_be_finalized(worker: WorkerView, pods: list[PodView]) -> bool:
    """Tell whether the mothership has forgotten the Worker, no attempt is open, and no live Pod is left."""
    if worker.registration != REGISTRATION_GONE or not worker.readable:
        return False
    if worker.run is not None and worker.run.phase != PHASE_FINISHED:
        return False
    # With no attempt open, an ended Pod holds nobody up: the garbage collector takes kept ones along.
    return all(pod.terminal for pod in pods)
