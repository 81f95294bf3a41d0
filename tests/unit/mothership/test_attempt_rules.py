"""The pure rules of attempts: each row of the design's table of failures, without a database."""

from dataclasses import replace

import pytest

from mothership.decisions.attempts import (
    Refusal,
    accept,
    assign,
    bind_pod,
    cancel_queued,
    finish,
    reject,
    report,
    stop,
    worker_gone,
)
from mothership.decisions.backoff import PROMPT, RELAXED, delay
from mothership.decisions.claims import Verdict, claim, renew
from mothership.decisions.inventory import observe
from mothership.decisions.schedule import IdleWorker, QueuedRun, pair
from mothership.decisions.states import AttemptState, Case, Notice, Rules, Run, RunState
from mothership.decisions.timers import expire
from protocol.launcher_api import LeaseAction
from protocol.messages import InventoryWorker
from protocol.runs import Outcome, Reason, Rejection, Result

RULES = Rules()
SUCCEEDED = Outcome(Result.SUCCEEDED, Reason.COMPLETED)
LOST = Outcome(Result.LOST, Reason.POD_DELETED)


def assigned(now: float = 0.0) -> Case:
    """Return a run's first attempt."""
    run = Run("RUN", "POOL", RunState.QUEUED, position=0)
    return assign(run, pool_uid="pool", worker="WORKER", worker_uid="uid", assignment=3, now=now)


def bound(now: float = 0.0) -> Case:
    """Return an attempt whose Pod was reported."""
    return bind_pod(assigned(now), "pod", now)


def granted(now: float = 0.0) -> Case:
    """Return an attempt that `pod` holds."""
    return claim(bound(now), "pod", now).case


def seen(**fields: object) -> InventoryWorker:
    """Return an inventory's line of the worker."""
    values = {"worker": "WORKER", "worker_uid": "uid", "assignment": 3} | fields
    return InventoryWorker(**values)  # type: ignore[arg-type]


def test_sequence_is_the_position_of_the_stage_in_the_history() -> None:
    """The first attempt is 2 (queued 0, ready 1, preparing 2), the second 5."""
    first = assigned()
    assert first.attempt.sequence == 2
    again = reject(first, Refusal(Rejection.BUSY), 1, RULES)
    assert again.history == ("ready", "preparing", "queued")
    second = assign(again.run, pool_uid="pool", worker="W2", worker_uid="u2", assignment=1, now=2)
    assert second.attempt.sequence == 5


def test_first_reported_pod_stays() -> None:
    """A second report for the same sequence changes nothing, and the first counts as acceptance."""
    case = bind_pod(bound(), "other", 1)
    assert case.attempt.pod_uid == "pod"
    assert case.run.state is RunState.ACCEPTED


def test_claim_waits_for_the_report_and_is_for_that_pod_alone() -> None:
    """425 before run_pod, 409 for another UID, 200 again for the same one."""
    assert claim(assigned(), "pod", 0).verdict is Verdict.WAIT
    assert claim(bound(), "other", 0).verdict is Verdict.REFUSED
    case = granted()
    assert case.run.state is RunState.STARTED
    assert claim(case, "pod", 9).verdict is Verdict.GRANTED
    assert claim(case, "pod", 9).case is case
    assert claim(case, "other", 9).verdict is Verdict.REFUSED


@pytest.mark.parametrize(
    "close",
    [
        lambda case: stop(case, 1),
        lambda case: finish(case, "pod", LOST, 1, RULES),
        lambda case: worker_gone(case, 1, RULES),
        lambda case: expire(case, 1e6, hearing_since=0.0, serving_since=0.0, rules=RULES),
    ],
    ids=["cancel", "verdict", "worker gone", "time-out"],
)
def test_nothing_is_granted_once_the_attempt_is_closed(close: object) -> None:
    """Cancel, verdict, loss of the worker and time-out each close the sequence for good."""
    case = close(bound())  # type: ignore[operator]
    assert case.attempt.is_closed
    assert claim(case, "pod", 2).verdict is Verdict.REFUSED


def test_old_sequence_is_refused_after_a_new_assignment() -> None:
    """The counterexample of the model: timed out, assigned again, then the old Pod claims."""
    old = expire(bound(), 1e6, hearing_since=0.0, serving_since=0.0, rules=RULES)
    new = assign(old.run, pool_uid="pool", worker="W2", worker_uid="u2", assignment=1, now=1e6)
    assert claim(Case(new.run, replace(bound().attempt)), "pod", 1e6).verdict is Verdict.REFUSED


@pytest.mark.parametrize("reason", list(Rejection))
def test_late_rejection_after_a_grant_is_ignored(reason: Rejection) -> None:
    """Only the lease, the launcher or the worker's verdict end a granted attempt."""
    case = granted()
    assert reject(case, Refusal(reason), 1, RULES) is case


@pytest.mark.parametrize("reason", [Rejection.BUSY, Rejection.DRAINING, Rejection.UNKNOWN])
def test_rejections_that_lie_in_the_worker_queue_again_without_end(reason: Rejection) -> None:
    """They say nothing about the run, so they aren't counted."""
    case = reject(assigned(), Refusal(reason), 1, RULES)
    assert (case.run.state, case.run.requeues) == (RunState.QUEUED, 0)


@pytest.mark.parametrize(
    ("rejection", "reason"),
    [(Rejection.IMAGE_NOT_ALLOWED, Reason.IMAGE_NOT_ALLOWED), (Rejection.INVALID, Reason.CONFIG_ERROR)],
)
def test_rejections_that_lie_in_the_run_fail_it(rejection: Rejection, reason: Reason) -> None:
    """They would come again from every worker; the operator's words are kept."""
    case = reject(assigned(), Refusal(rejection, "no"), 1, RULES)
    assert case.run.state is RunState.FAILED
    assert case.run.outcome == Outcome(Result.FAILED, reason, "no")


@pytest.mark.parametrize(
    ("named", "reason"),
    [
        (Reason.INVALID_IMAGE, Reason.INVALID_IMAGE),
        (Reason.POLICY_DENIED, Reason.POLICY_DENIED),
        (Reason.COMPLETED, Reason.CONFIG_ERROR),
        (Reason.EVICTED, Reason.CONFIG_ERROR),
    ],
)
def test_invalid_run_fails_with_the_reason_that_the_worker_names(named: Reason, reason: Reason) -> None:
    """If it is one of failures that lie in the run or the pool's settings."""
    case = reject(assigned(), Refusal(Rejection.INVALID, "no", named), 1, RULES)
    assert case.run.outcome == Outcome(Result.FAILED, reason, "no")


def test_rejection_without_words_still_says_who_refused() -> None:
    """The message of run_rejected is optional."""
    case = reject(assigned(), Refusal(Rejection.INVALID), 1, RULES)
    assert case.run.outcome is not None
    assert case.run.outcome.message == "rejected by worker WORKER: invalid"


@pytest.mark.parametrize("result", [Result.LOST, Result.FAILED, Result.CANCELED, Result.STOPPED])
def test_ungranted_attempt_that_ends_is_queued_again_and_released(result: Result) -> None:
    """Never started, so nothing can happen twice."""
    case = finish(bound(), "pod", Outcome(result, Reason.EVICTED), 1, RULES)
    assert (case.run.state, case.run.requeues) == (RunState.QUEUED, 1)
    assert case.attempt.notice is Notice.RELEASED


@pytest.mark.parametrize(
    "reason", ["ImagePull", "InvalidImage", "ConfigError", "PolicyDenied", "Unschedulable", "ImageNotAllowed"]
)
def test_failures_that_would_repeat_are_final(reason: str) -> None:
    """An image that can't be pulled isn't pulled eleven times."""
    case = finish(bound(), "pod", Outcome(Result.FAILED, Reason(reason)), 1, RULES)
    assert case.run.state is RunState.FAILED


def test_automatic_attempts_are_bounded() -> None:
    """The eleventh end without a start fails the run with that reason."""
    case = bound()
    for number in range(RULES.requeue_limit):
        case = finish(case, "pod", Outcome(Result.LOST, Reason.EVICTED, "evicted"), 1, RULES)
        assert case.run.state is RunState.QUEUED, number
        case = assign(case.run, pool_uid="pool", worker="W", worker_uid="uid", assignment=9, now=1)
    case = finish(case, "pod", Outcome(Result.LOST, Reason.EVICTED, "evicted"), 1, RULES)
    assert case.run.state is RunState.FAILED
    assert case.run.outcome is not None
    assert case.run.outcome.message == "evicted (given up after 11 attempts)"
    assert case.run.outcome.reason is Reason.EVICTED


def failing(*outcomes: Outcome, now: float = 100.0) -> Case:
    """Return the case of a run whose attempts end like this without a start, one after the other."""
    case = bound()
    for number, outcome in enumerate(outcomes):
        if number:
            run = assign(
                case.run, pool_uid="pool", worker="W", worker_uid="uid", assignment=9 + number, now=now
            )
            case = bind_pod(run, "pod", now)
        case = finish(case, "pod", outcome, now, RULES)
    return case


OOM = Outcome(Result.FAILED, Reason.OOM_KILLED, "out of memory", {"init": 137})
BAD_INIT = Outcome(Result.FAILED, Reason.INIT_FAILED, "exit code 7", {"prepare": 7})
TOO_LONG = Outcome(Result.FAILED, Reason.DEADLINE_EXCEEDED, "too long")
EVICTED = Outcome(Result.FAILED, Reason.EVICTED, "evicted")


@pytest.mark.parametrize("outcome", [OOM, BAD_INIT, TOO_LONG])
def test_what_fails_twice_in_a_row_before_the_start_fails_a_third_time(outcome: Outcome) -> None:
    """One may be bad luck; the second says that it lies in the run or the pool's settings."""
    assert failing(outcome).run.state is RunState.QUEUED
    case = failing(outcome, outcome)
    assert case.run.state is RunState.FAILED
    assert case.attempt.notice is Notice.RELEASED
    text = f"{outcome.message} (given up after 2 attempts)"
    assert case.run.outcome == replace(outcome, message=text)


@pytest.mark.parametrize(
    "outcomes",
    [
        (OOM, BAD_INIT),
        (OOM, EVICTED, OOM),
        (EVICTED, EVICTED, EVICTED),
        (replace(BAD_INIT, exit_codes={}), replace(BAD_INIT, exit_codes={"other": 0})),
        (replace(OOM, result=Result.LOST), replace(OOM, result=Result.LOST)),
        (Outcome(Result.LOST, Reason.NODE_LOST), Outcome(Result.LOST, Reason.NODE_LOST)),
    ],
)
def test_what_may_be_the_clusters_fault_is_tried_again(outcomes: tuple[Outcome, ...]) -> None:
    """Different reasons, one of a node, or an init container that didn't end by itself."""
    assert failing(*outcomes).run.state is RunState.QUEUED


def test_a_worker_that_goes_between_two_failures_says_nothing_of_the_run() -> None:
    """In a row are the attempts that failed."""
    case = failing(OOM)
    case = worker_gone(
        assign(case.run, pool_uid="pool", worker="W", worker_uid="uid", assignment=4, now=1), 1, RULES
    )
    case = bind_pod(
        assign(case.run, pool_uid="pool", worker="W", worker_uid="uid", assignment=5, now=1), "pod", 1
    )
    assert finish(case, "pod", OOM, 1, RULES).run.state is RunState.FAILED


def test_a_failed_attempt_makes_the_run_wait_longer_each_time() -> None:
    """Two seconds, four, eight, up to a minute; a fault of the worker costs the run nothing."""
    waits = [failing(*[EVICTED] * times).run.not_before - 100.0 for times in range(1, 8)]
    assert waits == [2, 4, 8, 16, 32, 60, 60]
    assert reject(assigned(), Refusal(Rejection.BUSY), 100.0, RULES).run.not_before == 0.0
    assert worker_gone(assigned(), 100.0, RULES).run.not_before == 0.0


def test_the_words_of_the_worker_replace_a_silence() -> None:
    """The run stays lost, once, and everybody who asks hears the cause."""
    silent = expire(granted(), 181, hearing_since=0.0, serving_since=0.0, rules=RULES)
    assert silent.run.outcome is not None
    assert silent.run.outcome.reason is Reason.LEASE_LOST
    cause = Outcome(Result.FAILED, Reason.CONFIG_ERROR, "no secret", {"init": 0})
    case = finish(silent, "pod", cause, 200, RULES)
    assert case.run == replace(silent.run, outcome=replace(cause, result=Result.LOST))
    assert case.attempt.outcome == case.run.outcome
    assert (case.attempt.notice, case.history) == (Notice.RELEASED, silent.history)
    assert finish(case, "pod", OOM, 201, RULES).run == case.run


@pytest.mark.parametrize(("pod_uid", "outcome"), [("other", OOM), (None, OOM), ("pod", SUCCEEDED)])
def test_words_about_another_pod_or_another_end_replace_nothing(
    pod_uid: str | None, outcome: Outcome
) -> None:
    """What can't be true of this end stays out of it."""
    silent = expire(granted(), 181, hearing_since=0.0, serving_since=0.0, rules=RULES)
    assert finish(silent, pod_uid, outcome, 200, RULES).run == silent.run


def test_words_that_somebody_said_are_not_replaced() -> None:
    """The first verdict stays, whoever comes later."""
    case = finish(granted(), "pod", Outcome(Result.FAILED, Reason.OOM_KILLED, "", {"worker": 137}), 1, RULES)
    assert finish(case, "pod", OOM, 2, RULES).run == case.run


@pytest.mark.parametrize("result", [Result.SUCCEEDED, Result.FAILED, Result.STOPPED])
def test_proved_end_of_a_granted_attempt_is_final(result: Result) -> None:
    """The word of the worker on the granted Pod decides at once."""
    case = finish(granted(), "pod", Outcome(result, Reason.COMPLETED), 1, RULES)
    assert case.run.state.value == result.value


HEARSAY = [Reason.NODE_LOST, Reason.EVICTED, Reason.POD_DELETED]


@pytest.mark.parametrize("codes", [{"worker": 137}, {"worker": 0}, {"init": 1}])
@pytest.mark.parametrize("reason", HEARSAY)
def test_exit_code_proves_the_end_of_an_evicted_pod(reason: Reason, codes: dict[str, int]) -> None:
    """The kubelet has seen the container end, or it never began."""
    case = finish(granted(), "pod", Outcome(Result.FAILED, reason, "", codes), 1, RULES)
    assert case.run.state is RunState.FAILED


@pytest.mark.parametrize(
    ("pod_uid", "outcome"),
    [
        ("pod", LOST),
        (None, LOST),
        ("other", SUCCEEDED),
        *(("pod", Outcome(Result.FAILED, reason)) for reason in HEARSAY),
        ("pod", Outcome(Result.FAILED, Reason.NODE_LOST, "", {"init": 0, "launcher-grpc": 0})),
        ("pod", Outcome(Result.FAILED, Reason.OOM_KILLED, "", {"init": 0, "launcher-grpc": 137})),
    ],
)
def test_granted_attempt_isnt_lost_while_its_lease_runs(pod_uid: str | None, outcome: Outcome) -> None:
    """A vanished Pod object proves nothing about its container on a partitioned node."""
    case = finish(granted(), pod_uid, outcome, 10, RULES)
    assert case.run.state is RunState.STARTED
    assert renew(case, 11, RULES)[0] is LeaseAction.STOP
    assert expire(case, 180, hearing_since=0.0, serving_since=0.0, rules=RULES) is case
    case = expire(case, 181, hearing_since=0.0, serving_since=0.0, rules=RULES)
    assert case.run.state.value == outcome.result.value
    assert case.attempt.notice is Notice.RELEASED


def test_report_of_the_launcher_decides_when_the_worker_has_lost_the_pod() -> None:
    """Both orders: report before the worker's `lost`, and after it."""
    first = finish(report(granted(), SUCCEEDED, 1), "pod", LOST, 2, RULES)
    second = report(finish(granted(), "pod", LOST, 1, RULES), SUCCEEDED, 2)
    assert first.run.state is second.run.state is RunState.SUCCEEDED


def test_lease_that_runs_out_makes_the_run_lost_unless_there_is_a_report() -> None:
    """120 s after the last renewal plus 60 s of grace."""
    case = granted()
    assert expire(case, 180, hearing_since=None, serving_since=0.0, rules=RULES) is case
    late = {"hearing_since": None, "serving_since": 0.0, "rules": RULES}
    assert expire(case, 181, **late).run.state is RunState.LOST  # type: ignore[arg-type]
    reported = report(case, SUCCEEDED, 9)
    assert expire(reported, 181, **late).run.state is RunState.SUCCEEDED  # type: ignore[arg-type]


def test_restarted_mothership_gives_launchers_time_to_renew() -> None:
    """Its own absence is no proof against a launcher."""
    case = granted()
    assert expire(case, 1000, hearing_since=None, serving_since=990, rules=RULES) is case


def test_silence_counts_only_while_the_broker_can_be_heard() -> None:
    """Unanswered assignments wait while the connection is down, and from when it is up."""
    case = assigned()
    assert expire(case, 1000, hearing_since=None, serving_since=0, rules=RULES) is case
    assert expire(case, 1000, hearing_since=950, serving_since=0, rules=RULES) is case
    after = expire(case, 1000, hearing_since=900, serving_since=0, rules=RULES)
    assert (after.run.state, after.attempt.notice) == (RunState.QUEUED, Notice.CANCELED)


def test_finish_of_a_closed_attempt_is_released_however_old() -> None:
    """Otherwise one lost answer leaves a worker busy for ever."""
    closed = stop(bound(), 1)
    again = finish(closed, "pod", LOST, 1e9, RULES)
    assert again.run is closed.run
    assert (again.attempt.notice, again.attempt.due_at) == (Notice.RELEASED, 1e9)


def test_worker_that_holds_a_canceled_attempt_is_told_again() -> None:
    """Accepting or naming a Pod after the close shows that run_canceled didn't come through."""
    closed = replace(stop(assigned(), 1))
    quiet = replace(closed, attempt=replace(closed.attempt, notice=None, due_at=None))
    assert accept(quiet, 5).attempt.notice is Notice.CANCELED
    assert bind_pod(quiet, "pod", 5).attempt.due_at == 5


def test_stop_before_and_after_the_grant() -> None:
    """Before it the run is canceled; after it the lease carries the wish; a finished run stays."""
    assert stop(bound(), 1).run.state is RunState.CANCELED
    asked = stop(granted(), 1)
    assert asked.run.state is RunState.STARTED
    assert renew(asked, 2, RULES)[0] is LeaseAction.STOP
    done = finish(granted(), "pod", SUCCEEDED, 1, RULES)
    assert stop(done, 2) is done
    run, history = cancel_queued(Run("RUN", "POOL", RunState.QUEUED, position=0))
    assert (run.state, history) == (RunState.CANCELED, ("canceled",))


def test_frequent_renewals_are_not_written_down() -> None:
    """Launchers ask every few seconds to hear of a stop: only a third of the lease apart is stored."""
    case = granted()
    assert renew(case, 9, RULES)[1] is case
    assert renew(case, 10, RULES)[1].attempt.renewed_at == 10


def test_lease_before_the_grant_and_after_the_close() -> None:
    """There is nothing to renew, or nothing any more."""
    assert renew(bound(), 1, RULES)[0] is None
    assert renew(stop(bound(), 1), 2, RULES)[0] is LeaseAction.GONE


def test_inventory_without_an_answered_attempt_queues_it_again() -> None:
    """The worker answered number 3 and holds nothing: what never started is over there."""
    case = observe(bound(), seen(), 5, RULES)
    assert case.run.state is RunState.QUEUED


def test_inventory_older_than_the_assignment_changes_nothing() -> None:
    """Number 2 answered means that number 3 is still on its way."""
    case = assigned()
    assert observe(case, seen(assignment=2), 5, RULES) is case


def test_inventory_never_judges_a_granted_attempt() -> None:
    """Absence is no proof; the lease is."""
    case = granted()
    assert observe(case, seen(), 5, RULES) is case


def test_inventory_shows_acceptance_and_pod() -> None:
    """A lost run_accepted or run_pod is made good."""
    held = seen(run="RUN", sequence=2, phase="Starting", pod_uid="pod")
    case = observe(assigned(), held, 5, RULES)
    assert (case.attempt.state, case.attempt.pod_uid) == (AttemptState.ACCEPTED, "pod")


@pytest.mark.parametrize(
    ("phase", "notice"),
    [
        ("Scheduled", Notice.CANCELED),
        ("Starting", Notice.CANCELED),
        ("Running", None),
        ("Finished", Notice.RELEASED),
    ],
)
def test_inventory_with_a_closed_attempt_repeats_what_its_phase_obeys(
    phase: str, notice: Notice | None
) -> None:
    """run_canceled is obeyed in Scheduled and Starting, run_released in Finished."""
    closed = stop(bound(), 1)
    quiet = replace(closed, attempt=replace(closed.attempt, notice=None, due_at=None))
    assert observe(quiet, seen(run="RUN", sequence=2, phase=phase), 5, RULES).attempt.notice is notice


def test_inventory_confirms_a_close() -> None:
    """A worker that answered the number and holds nothing knows; one that never answered is believed after three."""
    closed = stop(assigned(), 1)
    assert observe(closed, seen(), 5, RULES).attempt.notice is None
    assert observe(closed, seen(assignment=2), 5, RULES) is closed
    tried = replace(closed, attempt=replace(closed.attempt, tries=3))
    assert observe(tried, seen(assignment=2), 5, RULES).attempt.notice is None


def test_oldest_run_goes_to_the_newest_worker_of_its_pool() -> None:
    """Each worker once; runs without a worker wait."""
    workers = [IdleWorker("P", "u", name, name, 0, at) for name, at in (("old", 1.0), ("new", 2.0))]
    pairs = pair(
        [QueuedRun("2", "P"), QueuedRun("1", "P"), QueuedRun("3", "P"), QueuedRun("0", "Q")], workers
    )
    assert [(run.id, worker.worker) for run, worker in pairs] == [("1", "new"), ("2", "old")]


def test_repeats_slow_down_to_a_bound() -> None:
    """1 s, 2 s, 5 s and so on, and never faster again."""
    assert [delay(number) for number in (1, 2, 3)] == [1, 2, 5]
    assert delay(1000) == PROMPT[-1]
    assert delay(1000, RELAXED) == RELAXED[-1]
