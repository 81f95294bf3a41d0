"""Switches in the agent: what it claims, believes, answers and registers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from app.agent.decisions import outbox
from app.agent.decisions import verdict as verdicts
from app.agent.worker_state import WorkerView
from app.cluster.resources import WORKERPOOLS
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


@fence("`run_pod` is repeated until it shows", "Rule: repeats of the agent (run_pod)", "first-report-lost")
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
        def read(self: Any, letter: Any, *others: Any) -> Any:  # noqa: ANN401 - the reader's own
            import json

            return honest(self, replace(letter, pool_uid=json.loads(letter.payload)["poolUID"]), *others)

        return read

    def any_pool(honest: Any) -> Any:  # noqa: ANN401 - the product's method
        def answer(self: Any, ulid: str, message: Any, session: Any, *others: Any) -> None:  # noqa: ANN401 - the mail's own
            honest(self, ulid, message, session, *others)

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
        def read(self: Any, letter: Any, *others: Any) -> Any:  # noqa: ANN401 - the reader's own
            message = honest(self, letter, *others)
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
    with replaced("app.agent.engine.Engine._look_for_cause", lambda _self, worker, *_: (worker, None)):
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
