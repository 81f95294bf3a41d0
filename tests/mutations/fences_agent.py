"""Switches in the agent: claims, verdicts, what is deleted when, and what is said."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from app import vocabulary as words
from app.agent.decisions import outbox
from app.agent.decisions import verdict as verdicts
from app.agent.worker_state import WorkerView
from app.cluster.errors import ApiError
from app.cluster.resources import PODS, SECRETS, WORKERPOOLS
from protocol.runs import Phase
from tests.mutations.registry import fence, instead, replaced

Json = dict[str, Any]


@fence("an answered assignment number is never claimed again", "Fence 1", "replayed-schedule")
def assignment_numbers() -> Iterator[None]:
    """Forget which numbers were answered."""
    with instead(
        "app.agent.decisions.claim.decide",
        lambda honest: lambda worker, message, pool: honest(replace(worker, assignment=-1), message, pool),
    ):
        yield


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


@fence("`run_released` is obeyed in Finished alone", "Rule: run_released", "released-while-running")
def released_in_finished() -> Iterator[None]:
    """Obey it in any phase."""

    def releases(worker: WorkerView, message: Any) -> bool:  # noqa: ANN401 - a message
        return worker.run is not None and worker.run.key == (message.run, message.sequence)

    with replaced("app.agent.decisions.released.releases", releases):
        yield


@fence(
    "`run_canceled` is obeyed in Scheduled and Starting alone", "Rule: run_canceled", "canceled-while-running"
)
def canceled_before_running() -> Iterator[None]:
    """Obey it in any phase."""

    def cancels(worker: WorkerView, message: Any) -> bool:  # noqa: ANN401 - a message
        run = worker.run
        open_run = run is not None and run.phase is not Phase.FINISHED
        return run is not None and open_run and run.key == (message.run, message.sequence)

    with replaced("app.agent.decisions.released.cancels", cancels):
        yield


@fence("`run_finished` is repeated until it is answered", "Rule: repeats of the agent", "first-of-each-lost")
def finish_repeated() -> Iterator[None]:
    """Say it once."""
    with replaced("app.agent.decisions.outbox.FINISH_REPEATS", outbox.ONCE):
        yield


@fence("`run_pod` is repeated until it shows", "Rule: repeats of the agent (run_pod)", "first-of-each-lost")
def run_pod_repeated() -> Iterator[None]:
    """Say it once."""
    with replaced("app.agent.decisions.outbox.POD_REPEATS", outbox.ONCE):
        yield


@fence(
    "a message for a Worker that doesn't exist is answered `unknown`",
    "Rule: unknown Workers",
    "worker-gone-by-force",
)
def unknown_answered() -> Iterator[None]:
    """Drop it."""
    with replaced("app.agent.mail.Mail.answer_for_absent", lambda *_: None):
        yield


@fence("a message for another pool object is dropped", "Rule: one token, two clusters", "foreign-schedule")
def foreign_dropped() -> Iterator[None]:
    """Take it for ours."""

    def all_ours(honest: Any) -> Any:  # noqa: ANN401 - the product's method
        def read(self: Any, letter: Any) -> Any:  # noqa: ANN401 - the reader's own
            import json

            return honest(self, replace(letter, pool_uid=json.loads(letter.payload)["poolUID"]))

        return read

    def any_pool(honest: Any) -> Any:  # noqa: ANN401 - the product's method
        def answer(self: Any, ulid: str, message: Any, session: Any) -> None:  # noqa: ANN401 - the mail's own
            honest(self, ulid, message, session)

        return answer

    with (
        instead("app.agent.reader.LetterReader.read", all_ours),
        instead("app.agent.mail.Mail.answer_for_absent", any_pool),
    ):
        yield


@fence("an assignment names the Worker object's UID", "Rule: Worker UIDs", "worker-made-again")
def worker_uid_named() -> Iterator[None]:
    """Take a message for whatever Worker has the name now."""

    def renamed(honest: Any) -> Any:  # noqa: ANN401 - the product's method
        def read(self: Any, letter: Any) -> Any:  # noqa: ANN401 - the reader's own
            message = honest(self, letter)
            return None if message is None else _AnyWorker.of(message)

        return read

    with instead("app.agent.reader.LetterReader.read", renamed):
        yield


class _AnyWorker(str):
    """A UID that equals every other."""

    __slots__ = ()

    @classmethod
    def of(cls, message: Any) -> Any:  # noqa: ANN401 - a message
        """Return the message with such a UID in it."""
        return replace(message, worker_uid=cls(message.worker_uid))

    def __eq__(self, other: object) -> bool:
        return True

    def __ne__(self, other: object) -> bool:
        return False

    __hash__ = str.__hash__


@fence("`lost` is recorded on the API server's own word alone", "Rule: live GET", "old-pod-list")
def live_get() -> Iterator[None]:
    """Believe the watch cache."""

    def believing(self: Any, worker: WorkerView, run: Any, case: Any) -> Any:  # noqa: ANN401 - the engine's own
        return self._finish(worker, case, verdicts.vanished(run.pod_uid), run.pod_uid), None

    with replaced("app.agent.engine.Engine._look_live", believing):
        yield


@fence("the agent leaves alone what it can't read", "Rule: unreadable status", "unreadable-status")
def unreadable_counts_as_busy() -> Iterator[None]:
    """Take it for an idle Worker."""
    with instead(
        "app.agent.status.parse_worker", lambda honest: lambda found: replace(honest(found), understood=True)
    ):
        yield


@fence(
    "a claim without a Secret and without a Pod is closed",
    "Rule: claims without a Secret",
    "secret-gone-before-the-pod",
)
def claim_without_secret_closed() -> Iterator[None]:
    """Go on waiting."""
    with replaced("app.agent.refusals.Refusals._has_secret", lambda *_: True):
        yield


@fence(
    "a Pod that waits for a Secret that is gone is given up",
    "Rule: claims without a Secret (Pod)",
    "secret-gone-before-the-start",
)
def pod_without_secret_given_up() -> Iterator[None]:
    """Go on waiting."""
    with replaced("app.agent.engine.Engine._look_for_secret", lambda _self, worker, *_: (worker, None)):
        yield


@fence(
    "nothing is claimed on a Worker that is going", "Rule: leaving Workers", "deleted-worker-is-given-a-run"
)
def no_claim_while_leaving() -> Iterator[None]:
    """Claim all the same."""
    with replaced("app.agent.decisions.claim._leaving", lambda _: False):
        yield


@fence(
    "no Worker is registered before its finalizer is there",
    "Rule: leaving Workers (finalizer)",
    "worker-without-finalizer",
)
def registered_with_the_finalizer() -> Iterator[None]:
    """Register, and claim, without."""

    def managed(honest: Any) -> Any:  # noqa: ANN401 - the product's function
        return lambda found: replace(honest(found), managed=True)

    with (
        instead("app.agent.status.parse_worker", managed),
        instead("tests.unit.agent.world.parse_worker", managed),
    ):
        yield


@fence("in flight means until released", "Rule: in flight", "deleted-before-the-release")
def in_flight_until_released() -> Iterator[None]:
    """Take a verdict for the end."""

    def until_finished(self: WorkerView) -> bool:
        return self.run is not None and self.run.phase is not Phase.FINISHED

    with replaced("app.agent.worker_state.WorkerView.in_flight", property(until_finished)):
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
        def create_run_secret(
            api: Any, worker: WorkerView, scheduled: Any, payload: Any, authority: str
        ) -> Any:  # noqa: ANN401 - the API's own
            name = f"{scheduled.run.lower()}-{scheduled.stage}-{scheduled.sequence}"
            if ("secrets", worker.namespace, name) in api.objects:
                api.delete(SECRETS, worker.namespace, name)
            return honest(api, worker, scheduled, payload, authority)

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


@fence(
    "no more Workers are registered than the pool's size",
    "Identity: registered within the size",
    "surplus-workers",
)
def registered_within_the_size() -> Iterator[None]:
    """Register all there are."""
    with instead(
        "app.agent.decisions.registration.admissible",
        lambda honest: lambda roster, admitted, _size: honest(roster, admitted, 10**6),
    ):
        yield


@fence("the size is read live", "Identity: live read of the pool", "scaled-down-behind-the-cache")
def size_read_live() -> Iterator[None]:
    """Believe the watch cache."""

    def cached(honest: Any) -> Any:  # noqa: ANN401 - the product's method
        def admit(self: Any, key: Any, pool: Any, state: Any) -> None:  # noqa: ANN401 - the pools' own
            true = self._cluster

            class Believing:
                def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the API has
                    return getattr(true.api, name)

                def get(self, resource: Any, *of: str) -> Any:  # noqa: ANN401 - the API's own
                    return true.pools.get(*of) if resource is WORKERPOOLS else true.api.get(resource, *of)

            self._cluster = replace(true, api=Believing())
            try:
                honest(self, key, pool, state)
            finally:
                self._cluster = true

        return admit

    with instead("app.agent.pools.Pools._admit", cached):
        yield
