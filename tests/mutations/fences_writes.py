"""Switches in what the agent writes: in which order, on which precondition, found by what."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Any

from app import vocabulary as words
from app.agent.worker_state import WorkerView
from app.cluster.errors import ApiError, NotFound
from app.cluster.resources import PODS, SECRETS
from tests.mutations.registry import fence, instead, replaced

Json = dict[str, Any]


@fence("the run Secret is deleted at the verdict", "Fence 4", "two-runs", "ghost")
def secret_deleted() -> Iterator[None]:
    """Leave it."""
    with replaced("app.agent.effects.delete_run_secret", lambda *_: None):
        yield


@fence(
    "`run_finished` is said after the Secret is gone",
    "Order: Secret, then run_finished",
    "secret-not-deletable",
)
def told_after_the_secret() -> Iterator[None]:
    """Say it whatever became of the Secret."""

    def careless(honest: Any) -> Any:  # noqa: ANN401 - the product's method
        def after_verdict(self: Any, worker: WorkerView, case: Any) -> None:  # noqa: ANN401 - the engine's own
            try:
                honest(self, worker, case)
            except ApiError:
                return

        return after_verdict

    def due(honest: Any) -> Any:  # noqa: ANN401 - the product's function
        return lambda worker, standing, *rest: honest(worker, replace(standing, secret_gone=True), *rest)

    with (
        instead("app.agent.engine.Engine._after_verdict", careless),
        instead("app.agent.decisions.outbox.due", due),
    ):
        yield


@fence("the verdict is stored before the Secret goes", "Order: verdict, then Secret", "two-runs")
def verdict_before_the_secret() -> Iterator[None]:
    """Delete the Secret first."""
    from app.agent import effects

    def reversed_order(honest: Any) -> Any:  # noqa: ANN401 - the product's method
        def finish(self: Any, worker: WorkerView, *rest: Any) -> WorkerView:  # noqa: ANN401 - the engine's own
            assert worker.run is not None
            effects.delete_run_secret(
                self._cluster.api, worker.namespace, worker.run.secret_name, worker.run.secret_uid
            )
            view: WorkerView = honest(self, worker, *rest)
            return view

        return finish

    with instead("app.agent.engine.Engine._finish", reversed_order):
        yield


@fence("the verdict and the Pods it keeps are one patch", "Order: verdict with kept Pods", "kept-pod")
def kept_with_the_verdict() -> Iterator[None]:
    """Store the verdict alone."""
    with instead(
        "app.agent.patches.finished",
        lambda honest: lambda worker, run, outcome, uid, _kept: honest(worker, run, outcome, uid, ()),
    ):
        yield


@fence(
    "a message is acknowledged after its effect is stored",
    "Order: claim before PUBACK",
    "api-away-at-the-claim",
)
def acknowledged_after_the_effect() -> Iterator[None]:
    """Acknowledge what was received."""

    def at_once(honest: Any) -> Any:  # noqa: ANN401 - the product's method
        def put(self: Any, key: Any, letter: Any) -> None:  # noqa: ANN401 - the inbox's own
            letter.acknowledge()
            honest(self, key, replace(letter, acknowledge=lambda: None))

        return put

    with instead("app.agent.inbox.Inbox.put", at_once):
        yield


@fence(
    "the verdict finalizer comes off only with a verdict", "Finalizer of run Pods: its removal", "two-runs"
)
def finalizer_until_the_verdict() -> Iterator[None]:
    """Take it off as soon as it is seen."""
    with replaced("app.agent.decisions.released.guards_nothing", lambda _worker, pod: pod.guarded):
        yield


@fence("run Pods are found by label, not by owner", "Owner: labels count", "deleted-in-the-foreground")
def found_by_label() -> Iterator[None]:
    """Find them by their controller."""

    def by_owner(pod: Json) -> str | None:
        owners = pod["metadata"].get("ownerReferences") or ()
        uid = next((owner["uid"] for owner in owners if owner.get("controller")), None)
        labels = pod["metadata"].get("labels") or {}
        name = f"{pod['metadata']['annotations'][words.POOL_NAME_ANNOTATION]}-{labels[words.WORKER_LABEL].lower()}"
        return name if uid else None

    def owned_only(honest: Any) -> Any:  # noqa: ANN401 - the product's method
        def pods(self: Any, worker: WorkerView) -> Any:  # noqa: ANN401 - the writer's own
            found = honest(self, worker)
            cached = (self._cluster.pods.get(pod.namespace, pod.name) for pod in found)
            return [pod for pod, seen in zip(found, cached, strict=True) if seen and by_owner(seen)]

        return pods

    with (
        replaced("app.agent.roster.worker_name_of", by_owner),
        instead("app.agent.status.StatusWriter.pods", owned_only),
    ):
        yield


@fence(
    "a status patch carries the resourceVersion it was decided on",
    "Precondition: resourceVersion",
    "replay-beside-a-run",
)
def status_precondition() -> Iterator[None]:
    """Patch whatever is there."""
    with instead(
        "app.agent.patches._patch",
        lambda honest: lambda worker, status: {"status": honest(worker, status)["status"]},
    ):
        yield


@fence("a run Secret is deleted by UID", "Precondition: UID of the Secret", "somebodys-secret-of-that-name")
def secret_by_uid() -> Iterator[None]:
    """Delete whatever has its name."""
    with instead(
        "app.agent.effects.delete_run_secret",
        lambda honest: lambda api, namespace, name, _uid: honest(api, namespace, name, ""),
    ):
        yield


@fence(
    "a Secret of the run's name is replaced only if it is the run's",
    "Precondition: labels of the Secret",
    "name-of-the-secret-is-taken",
)
def secret_by_labels() -> Iterator[None]:
    """Replace whatever is there."""

    def create(honest: Any) -> Any:  # noqa: ANN401 - the product's function
        def create_run_secret(api: Any, worker: Any, scheduled: Any, *rest: Any) -> Any:  # noqa: ANN401 - the API's own
            name = f"{scheduled.run.lower()}-{scheduled.stage}-{scheduled.sequence}"
            with suppress(NotFound):
                api.delete(SECRETS, worker.namespace, name)
            return honest(api, worker, scheduled, *rest)

        return create_run_secret

    with instead("app.agent.effects.create_run_secret", create):
        yield


@fence(
    "a finalizer is taken off the very Pod that was seen",
    "Precondition: resourceVersion of the Pod",
    "somebodys-finalizer",
)
def finalizer_precondition() -> Iterator[None]:
    """Write the rest of an old list."""

    def blind(api: Any, pod: Any) -> None:  # noqa: ANN401 - the API's own
        rest = [each for each in pod.finalizers if each != words.VERDICT_FINALIZER]
        api.merge_patch(PODS, pod.namespace, pod.name, {"metadata": {"finalizers": rest or None}})

    with replaced("app.agent.effects.remove_verdict_finalizer", blind):
        yield
