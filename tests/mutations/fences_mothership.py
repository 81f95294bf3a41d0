"""Switches in the mothership: who may start, what a verdict means, and what is repeated."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from mothership.decisions import attempts
from mothership.decisions.claims import Claim, Verdict
from mothership.decisions.states import AttemptState, Case, RunState
from protocol.runs import Outcome, Reason, Result
from tests.mutations.registry import fence, instead, replaced


def _granting(case: Case, now: float) -> Claim:
    granted = replace(
        case.attempt, state=AttemptState.GRANTED, granted=True, granted_at=now, renewed_at=now, due_at=None
    )
    return Claim(
        Verdict.GRANTED, replace(case, run=replace(case.run, state=RunState.STARTED), attempt=granted)
    )


def _claim(decide: Any) -> Any:  # noqa: ANN401 - what decides instead, given the honest one
    return instead("mothership.api.launcher.claim", decide)


@fence(
    "only the run's current, open attempt is granted",
    "Fence 5: closed attempts",
    "ghost-beside-the-next-attempt",
)
def closed_refused() -> Iterator[None]:
    """Grant old attempts, too."""

    def decide(honest: Any) -> Any:  # noqa: ANN401 - the product's function
        def claim(case: Case, pod_uid: str, now: float) -> Claim:
            return _granting(case, now) if case.attempt.is_closed else honest(case, pod_uid, now)

        return claim

    with _claim(decide):
        yield


@fence(
    "only the Pod that the operator reported is granted",
    "Fence 5: another Pod",
    "ghost-beside-a-partitioned-pod",
)
def another_pod_refused() -> Iterator[None]:
    """Grant whatever Pod asks."""

    def decide(honest: Any) -> Any:  # noqa: ANN401 - the product's function
        def claim(case: Case, pod_uid: str, now: float) -> Claim:
            same = pod_uid if case.attempt.pod_uid is not None else None
            found: Claim = honest(replace(case, attempt=replace(case.attempt, pod_uid=same)), pod_uid, now)
            return found

        return claim

    with _claim(decide):
        yield


@fence("the first report of a Pod wins", "Fence 5: first report", "second-pod-reported")
def first_report_wins() -> Iterator[None]:
    """Let the last one win."""

    def bind_pod(honest: Any) -> Any:  # noqa: ANN401 - the product's function
        def bind(case: Case, pod_uid: str, now: float) -> Case:
            return honest(replace(case, attempt=replace(case.attempt, pod_uid=pod_uid)), pod_uid, now)  # type: ignore[no-any-return]

        return bind

    with instead("mothership.decisions.attempts.bind_pod", bind_pod):
        yield


@fence(
    "`init` waits until the operator has reported a Pod",
    "Fence 5: wait for the report",
    "two-pods-before-the-report",
)
def report_awaited() -> Iterator[None]:
    """Grant whoever comes before."""

    def decide(honest: Any) -> Any:  # noqa: ANN401 - the product's function
        def claim(case: Case, pod_uid: str, now: float) -> Claim:
            early = case.attempt.pod_uid is None and not case.attempt.is_closed
            return _granting(case, now) if early else honest(case, pod_uid, now)

        return claim

    with _claim(decide):
        yield


@fence("a grant repeats for the same Pod", "Fence 5: repeated grant", "grant-answer-lost")
def grant_repeats() -> Iterator[None]:
    """Grant once, whoever asks again."""

    def decide(honest: Any) -> Any:  # noqa: ANN401 - the product's function
        def claim(case: Case, pod_uid: str, now: float) -> Claim:
            return Claim(Verdict.REFUSED, case) if case.attempt.granted else honest(case, pod_uid, now)

        return claim

    with _claim(decide):
        yield


@fence("a grant counts as acceptance and start", "Fence 5: grant is acceptance", "long-run")
def grant_is_acceptance() -> Iterator[None]:
    """Grant, and go on waiting for the start."""

    def decide(honest: Any) -> Any:  # noqa: ANN401 - the product's function
        def claim(case: Case, pod_uid: str, now: float) -> Claim:
            found: Claim = honest(case, pod_uid, now)
            if found.case.attempt.state is not AttemptState.GRANTED:
                return found
            attempt = replace(found.case.attempt, state=AttemptState.ACCEPTED, granted=False)
            return replace(found, case=replace(found.case, attempt=attempt))

        return claim

    with _claim(decide):
        yield


@fence(
    "the grant is decided in the transaction that stores it",
    "Fence 5: one transaction",
    "cancel-between-look-and-grant",
)
def one_transaction() -> Iterator[None]:
    """Store what was decided before."""
    from mothership.api import launcher

    asked: dict[tuple[str, int], Case] = {}

    def load(honest: Any) -> Any:  # noqa: ANN401 - the product's function
        def loaded(conn: Any, run: str, sequence: int) -> Case:  # noqa: ANN401 - a connection
            case: Case = honest(conn, run, sequence)
            if case.attempt.is_closed:
                return asked.get((run, sequence), case)
            asked[run, sequence] = case
            return case

        return loaded

    with instead("mothership.api.launcher._load", load):
        assert launcher._load is not None
        yield


@fence("a granted run is called lost only after lease and grace", "Fence 7: lease and grace", "partition")
def lease_and_grace() -> Iterator[None]:
    """Call it lost when its lease is late."""

    def late(attempt: Any, now: float, rules: Any) -> bool:  # noqa: ANN401 - the rules' own
        return bool(now > (attempt.renewed_at or attempt.assigned_at) + rules.lease)

    with (
        replaced("mothership.decisions.timers.lease_is_over", late),
        replaced("mothership.decisions.attempts.lease_is_over", late),
        instead(
            "mothership.storage.runs.overdue",
            lambda honest: (
                lambda conn, now, rules, limit: honest(
                    conn, now, replace(rules, lost_after=rules.lease, lost_grace=0), limit
                )
            ),
        ),
    ):
        yield


@fence(
    "a vanished Pod object is no proof that its container ended",
    "Fence 7: proof",
    "partition-and-pod-removed",
)
def proof_of_the_end() -> Iterator[None]:
    """Take the operator's word."""
    with replaced("mothership.decisions.attempts._proves_end", lambda _: True):
        yield


@fence(
    "every `run_finished` of a closed attempt is answered",
    "Rule: run_finished is answered",
    "released-lost-for-hours",
)
def finished_answered() -> Iterator[None]:
    """Answer the first one only."""

    def finish(honest: Any) -> Any:  # noqa: ANN401 - the product's function
        return lambda case, *rest: case if case.attempt.is_closed else honest(case, *rest)

    with instead("mothership.decisions.attempts.finish", finish):
        yield


@fence(
    "`run_canceled` is repeated until the worker shows it", "Rule: repeats of the mothership", "cancels-lost"
)
def cancel_repeated() -> Iterator[None]:
    """Send everything once."""
    with instead(
        "mothership.storage.runs._next_repeat",
        lambda honest: lambda attempt, now: honest(attempt, now) | {"at": now + 1e9},
    ):
        yield


@fence(
    "the mothership forgets a worker that is unknown",
    "Rule: unknown Workers (forgotten)",
    "worker-gone-by-force",
)
def unknown_forgotten() -> Iterator[None]:
    """Keep it."""
    with replaced("mothership.desk.Desk._mind_rejection", lambda *_: None):
        yield


@fence("a rejection after the grant changes nothing", "Rule: after the grant (rejection)", "late-rejection")
def late_rejection_ignored() -> Iterator[None]:
    """Queue the run again."""

    def reject(case: Case, refusal: attempts.Refusal, now: float, rules: Any) -> Case:  # noqa: ANN401 - the rules' own
        outcome = Outcome(Result.CANCELED, Reason.REFUSED, refusal.message)
        return attempts.queue_again(case, outcome, None, now, rules, counted=False)

    with replaced("mothership.decisions.attempts.reject", reject):
        yield


@fence(
    "a granted attempt of a forgotten worker is left to its lease",
    "Rule: after the grant (worker gone)",
    "unregistered-while-running",
)
def gone_worker_after_the_grant() -> Iterator[None]:
    """Queue the run again."""

    def worker_gone(honest: Any) -> Any:  # noqa: ANN401 - the product's function
        return lambda case, *rest: honest(replace(case, attempt=replace(case.attempt, granted=False)), *rest)

    with instead("mothership.decisions.attempts.worker_gone", worker_gone):
        yield


@fence("a granted run is never queued again", "Rule: recovery by grant (granted)", "pod-gone-by-force")
def granted_never_again() -> Iterator[None]:
    """Take every end for one before the start."""

    def finish(honest: Any) -> Any:  # noqa: ANN401 - the product's function
        return lambda case, *rest: honest(replace(case, attempt=replace(case.attempt, granted=False)), *rest)

    with instead("mothership.decisions.attempts.finish", finish):
        yield


@fence(
    "a run that never started is queued again",
    "Rule: recovery by grant (never granted)",
    "evicted-before-the-start",
)
def ungranted_again() -> Iterator[None]:
    """Take every end for one of a started run."""

    def conclude(case: Case, outcome: Any, notice: Any, now: float, _rules: Any, *, counted: bool) -> Case:  # noqa: ANN401, ARG001 - as the honest one
        return attempts._conclude(case, outcome, notice, now)

    with replaced("mothership.decisions.attempts.queue_again", conclude):
        yield


@fence("another attempt is another sequence", "Rule: new sequences", "evicted-before-the-start")
def new_sequence() -> Iterator[None]:
    """Assign under the old number."""

    def assign(honest: Any) -> Any:  # noqa: ANN401 - the product's function
        def assigned(run: Any, **more: Any) -> Case:  # noqa: ANN401 - as the honest one
            found: Case = honest(run, **more)
            if run.sequence is None:
                return found
            attempt = replace(found.attempt, sequence=run.sequence)
            return replace(found, run=replace(found.run, sequence=run.sequence), attempt=attempt)

        return assigned

    with instead("mothership.scheduler.assign", assign):
        yield


@fence("only the attempt's own worker may speak of it", "Rule: strangers", "stranger-reports-the-end")
def strangers_ignored() -> Iterator[None]:
    """Believe anybody."""

    def load(honest: Any) -> Any:  # noqa: ANN401 - the product's function
        def load_case(conn: Any, run: str, sequence: int) -> Case | None:  # noqa: ANN401 - a connection
            case: Case | None = honest(conn, run, sequence)
            if case is None:
                return None
            from tests.mutations.fences_agent import _AnyWorker

            return replace(case, attempt=_AnyWorker.of(case.attempt))

        return load_case

    with instead("mothership.desk.runs.load_case", load):
        yield
