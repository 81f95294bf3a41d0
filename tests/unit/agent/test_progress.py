"""The next step of an attempt."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from app.agent.decisions import progress
from app.agent.decisions.graces import DEFAULTS
from app.agent.pod_state import PodView
from app.agent.worker_state import Attempt
from protocol.runs import Phase, Reason, Result
from tests.unit.agent import builders as a

RUNNING = a.pod(a.running("launcher-grpc"), a.running("worker"), init=a.ended("init"), phase="Running")
ENDED = a.pod(a.ended("launcher-grpc"), a.ended("worker"), init=a.ended("init"))
ENDED_ALONE = a.pod(a.running("launcher-grpc"), a.ended("worker"), init=a.ended("init"), phase="Running")


def attempt(phase: str = "Scheduled", **changes: object) -> Attempt:
    """Return a recorded attempt."""
    run = a.busy(phase, **changes).run
    assert run is not None
    return run


def step(phase: str, *pods: PodView, held: float = 0.0) -> progress.Step:
    """Return the next step of an attempt in `phase`."""
    run = attempt(phase)
    return progress.decide(run, progress.situation(run, pods), held)


def test_a_seen_pod_makes_the_attempt_starting_with_its_uid() -> None:
    """The UID is what the mothership binds the start to."""
    assert step("Scheduled", a.pod()) == progress.Advance(Phase.STARTING, a.POD_UID)


def test_a_running_worker_container_makes_it_running_at_once() -> None:
    """A phase may be skipped when the agent was away."""
    assert step("Scheduled", RUNNING) == progress.Advance(Phase.RUNNING, a.POD_UID)
    assert step("Starting", RUNNING) == progress.Advance(Phase.RUNNING, a.POD_UID)


def test_the_end_is_the_worker_containers_end_with_the_launchers_report() -> None:
    """A sidecar that runs on doesn't matter."""
    pod = a.pod(
        a.ended("launcher-grpc"),
        a.ended("worker"),
        a.running("redis"),
        init=a.ended("init"),
        phase="Running",
    )
    found = step("Running", pod)
    assert isinstance(found, progress.Finish)
    assert found.outcome.result is Result.SUCCEEDED


def test_launcher_grpc_gets_a_grace_to_report() -> None:
    """As long as it is patient itself, then exit codes decide."""
    assert DEFAULTS.launcher_report > 60.0
    assert step("Running", ENDED_ALONE, held=DEFAULTS.launcher_report - 1) == progress.Wait(1.0)
    assert isinstance(step("Running", ENDED_ALONE, held=DEFAULTS.launcher_report), progress.Finish)


def test_a_worker_container_out_of_memory_is_not_waited_for_longer_than_the_log_takes() -> None:
    """The kubelet's word is the verdict; launcher-grpc's could not change it."""
    killed = a.ended("worker", 137, "OOMKilled")
    pod = a.pod(a.running("launcher-grpc"), killed, init=a.ended("init"), phase="Running")
    assert step("Running", pod, held=progress.OOM_REPORT - 1) == progress.Wait(1.0)
    found = step("Running", pod, held=progress.OOM_REPORT)
    assert isinstance(found, progress.Finish)
    assert found.outcome.reason is Reason.OOM_KILLED
    both = a.pod(a.ended("launcher-grpc"), killed, init=a.ended("init"), phase="Running")
    assert isinstance(step("Running", both), progress.Finish)


def beside_the_worker(grpc: a.Json) -> PodView:
    """Return a Pod whose worker container runs."""
    return a.pod(grpc, a.running("worker"), init=a.ended("init"), phase="Running")


@pytest.mark.parametrize(
    ("grpc", "reason", "text"),
    [
        (a.waiting("launcher-grpc", "ImagePullBackOff", "no such"), "ImagePull", "container launcher-grpc"),
        (
            a.waiting("launcher-grpc", "InvalidImageName", "no such"),
            "InvalidImage",
            "container launcher-grpc",
        ),
        (a.waiting("launcher-grpc", "CreateContainerConfigError", "no x"), "ConfigError", "no x"),
        (a.waiting("launcher-grpc", "CreateContainerError", "no x"), "ConfigError", "no x"),
        (a.ended("launcher-grpc", 128, "StartError", "no x"), "ConfigError", "could not be started: no x"),
        (a.ended("launcher-grpc", 137, "OOMKilled"), "OOMKilled", "container launcher-grpc"),
        (a.ended("launcher-grpc", 1, message="Traceback"), "LeaseLost", "exit code 1: Traceback"),
        (
            a.ended("launcher-grpc", 19, message='{"result":"lost","reason":"LeaseLost","message":"closed"}'),
            "LeaseLost",
            "closed",
        ),
    ],
)
def test_a_launcher_grpc_that_does_not_work_ends_the_run_although_its_worker_container_runs(
    grpc: a.Json, reason: str, text: str
) -> None:
    """Without it the executor only waits, or works until its lease is over: two minutes, and then for another reason."""
    pod = beside_the_worker(grpc)
    assert step("Starting", pod) in (progress.Advance(Phase.RUNNING, a.POD_UID), step("Running", pod))
    if reason != "InvalidImage":
        assert step("Running", pod, held=29.0) == progress.Wait(1.0)
    found = step("Running", pod, held=30.0)
    assert isinstance(found, progress.Finish)
    assert found.outcome.reason is Reason(reason)
    assert text in found.outcome.message


def test_a_launcher_grpc_that_was_told_to_end_waits_for_the_kubelets_cause() -> None:
    """Then its kubelet ends the whole Pod, and the worker container has all of the Pod's grace."""
    told = a.ended("launcher-grpc", 143, message='{"result":"failed","reason":"PodDeleted","message":""}')
    pod = beside_the_worker(told)
    assert isinstance(step("Running", pod, held=DEFAULTS.launcher_report - 1), progress.Wait)
    assert isinstance(step("Running", pod, held=DEFAULTS.launcher_report), progress.Finish)


def test_a_crash_of_launcher_grpc_is_lost_until_the_mothership_knows_that_the_executor_stopped() -> None:
    """Commands may still run: what only time can prove is for the lease."""
    found = step("Running", beside_the_worker(a.ended("launcher-grpc", 1)), held=30.0)
    assert isinstance(found, progress.Finish)
    assert found.outcome.result is Result.LOST


@pytest.mark.parametrize("phase", ["Starting", "Running"])
def test_a_missing_pod_is_looked_for_at_the_api_server(phase: str) -> None:
    """`lost` is never recorded from a watch cache."""
    assert step(phase) == progress.LookLive()
    assert step(phase, a.pod(uid="another")) == progress.LookLive()


def test_a_missing_pod_in_scheduled_is_waited_for_then_tried() -> None:
    """Hooks don't see what the API server refuses."""
    assert step("Scheduled", held=2.0) == progress.Wait(3.0)
    assert step("Scheduled", held=5.0) == progress.TryCreate()


def test_a_pod_of_another_attempt_is_not_this_ones() -> None:
    """(run, sequence) is the fencing token."""
    assert isinstance(step("Scheduled", a.pod(sequence=1)), progress.Wait)


def test_a_failed_init_ends_the_attempt() -> None:
    """The worker container will never start."""
    found = step("Starting", a.pod(init=a.ended("init", 1)))
    assert isinstance(found, progress.Finish)
    assert found.outcome.reason is Reason.INIT_FAILED


def test_an_image_that_cannot_be_pulled_fails_after_its_grace() -> None:
    """ErrImagePull and ImagePullBackOff take turns; together they count."""
    first, second = (
        a.pod(a.waiting("worker", reason), init=a.ended("init"))
        for reason in ("ErrImagePull", "ImagePullBackOff")
    )
    run = attempt("Starting")
    assert progress.situation(run, [first]).label == progress.situation(run, [second]).label
    assert step("Starting", first, held=29.0) == progress.Wait(1.0)
    found = step("Starting", second, held=30.0)
    assert isinstance(found, progress.Finish)
    assert found.outcome.reason is Reason.IMAGE_PULL


def test_a_deleted_pod_that_never_started_is_a_verdict_after_its_grace() -> None:
    """Nobody will report on it: the finalizer alone keeps the object."""
    pod = a.pod(deleting=True)
    assert isinstance(step("Starting", pod, held=39.0), progress.Wait)
    found = step("Starting", pod, held=40.0)
    assert isinstance(found, progress.Finish)
    assert found.outcome.reason is Reason.POD_DELETED


def test_a_deleted_pod_that_runs_is_lost_only_after_five_minutes() -> None:
    """Its kubelet may still report how it ended."""
    pod = a.pod(a.running("launcher-grpc"), a.running("worker"), init=a.ended("init"), deleting=True)
    assert isinstance(step("Running", pod, held=329.0), progress.Wait)
    found = step("Running", pod, held=330.0)
    assert isinstance(found, progress.Finish)
    assert (found.outcome.result, found.outcome.reason) == (Result.LOST, Reason.NODE_LOST)


def test_a_pod_that_does_not_begin_makes_the_agent_look_for_the_cause() -> None:
    """Without its Secret or a volume the Pod would wait until its deadline; containers say nothing of either."""
    grace = DEFAULTS.container_config
    assert step("Starting", a.pod(), held=grace - 1.0) == progress.Wait(1.0)
    assert step("Starting", a.pod(), held=grace) == progress.LookForCause()


def test_nothing_happens_after_the_verdict() -> None:
    """Finished is left by the mothership's word alone."""
    assert step("Finished", RUNNING) == progress.Wait()


PODS = st.sampled_from(
    [
        None,
        a.pod(),
        RUNNING,
        ENDED,
        ENDED_ALONE,
        a.pod(uid="ghost"),
        a.pod(deleting=True),
        a.pod(phase="Failed"),
    ]
)


@given(st.sampled_from(["Scheduled", "Starting", "Running", "Finished"]), PODS, st.floats(0, 1000))
def test_no_step_leads_backwards_or_to_another_pod(phase: str, pod: PodView | None, held: float) -> None:
    """Phases only grow, a recorded UID never changes, and only Scheduled asks for a Pod."""
    found = step(phase, *([pod] if pod else []), held=held)
    order = list(Phase)
    if isinstance(found, progress.Advance):
        assert order.index(found.phase) > order.index(Phase(phase))
        assert phase == "Scheduled" or found.pod_uid == a.POD_UID
    if isinstance(found, progress.Finish):
        assert phase != "Finished"
        assert phase == "Scheduled" or found.pod_uid == a.POD_UID
    if isinstance(found, progress.TryCreate):
        assert phase == "Scheduled"
    if isinstance(found, progress.Wait) and found.seconds is not None:
        assert found.seconds > 0
