"""The Pod status that a kubelet would report for what was observed."""

from typing import Any

import pytest

from devcluster.node.observed import Observed, Running, Terminated, Verdict, Waiting
from devcluster.node.status import Situation, pod_status

Json = dict[str, Any]
NOW = "2026-01-01T00:00:10Z"
RUNS = Observed(Running("process://1", "sha256:1", "2026-01-01T00:00:01Z"))


def ended(code: int) -> Observed:
    """Return a container that has ended."""
    return Observed(Terminated(code, "Completed" if code == 0 else "Error", NOW))


def pod(init: bool = False, **fields: object) -> Json:
    """Return a Pod with two containers, and an init container if wanted."""
    spec: Json = {
        "containers": [{"name": "a", "image": "i"}, {"name": "b", "image": "i"}],
        "restartPolicy": "Never",
    }
    if init:
        spec["initContainers"] = [{"name": "init", "image": "i"}]
    return {"metadata": {"generation": 1}, "spec": spec | fields}


def situation(
    now: str = NOW, *, sandbox_ready: bool = True, over: bool = False, verdict: Verdict | None = None
) -> Situation:
    """Return a Pod's situation: its volumes are there and it isn't over."""
    return Situation("127.0.0.1", now, NOW, sandbox_ready, over, verdict)


def conditions(status: Json) -> dict[str, str]:
    """Return the conditions' values by type."""
    return {each["type"]: each["status"] for each in status["conditions"]}


def test_a_pod_whose_init_container_runs_is_pending_and_its_containers_are_initializing() -> None:
    """Kubectl makes Init:0/1 of this."""
    observed = {"init": RUNS, "a": Observed(), "b": Observed()}
    status = pod_status(pod(init=True), observed, situation(), {})
    assert status["phase"] == "Pending"
    assert status["containerStatuses"][0]["state"] == {"waiting": {"reason": "PodInitializing"}}
    assert conditions(status)["Initialized"] == "False"


def test_a_pod_without_init_containers_waits_for_container_creating() -> None:
    """The reason of a container that hasn't had its turn depends on init containers."""
    status = pod_status(pod(), {"a": Observed(), "b": Observed()}, situation(sandbox_ready=False), {})
    assert status["containerStatuses"][1]["state"] == {"waiting": {"reason": "ContainerCreating"}}
    assert "podIP" not in status


def test_a_pod_is_ready_when_all_its_containers_run() -> None:
    """Running 2/2."""
    status = pod_status(pod(), {"a": RUNS, "b": RUNS}, situation(), {})
    assert status["phase"] == "Running"
    assert conditions(status)["Ready"] == "True"


def test_a_pod_with_one_container_ended_is_running_and_not_ready() -> None:
    """A database sidecar that goes on keeps the Pod running."""
    status = pod_status(pod(), {"a": ended(0), "b": RUNS}, situation(), {})
    assert status["phase"] == "Running"
    ready = next(each for each in status["conditions"] if each["type"] == "Ready")
    assert ready["message"] == "containers with unready status: [a]"


@pytest.mark.parametrize(("codes", "phase"), [((0, 0), "Succeeded"), ((0, 1), "Failed")])
def test_a_pod_that_is_over_succeeded_if_all_containers_did(codes: tuple[int, int], phase: str) -> None:
    """One failure fails the Pod."""
    observed = {"a": ended(codes[0]), "b": ended(codes[1])}
    assert pod_status(pod(), observed, situation(over=True), {})["phase"] == phase


def test_a_terminal_phase_is_not_reported_while_something_runs() -> None:
    """A Pod past its deadline says so only when its containers have ended."""
    late = Verdict("DeadlineExceeded", "too long")
    still = pod_status(pod(), {"a": RUNS, "b": ended(0)}, situation(verdict=late), {})
    assert (still["phase"], "reason" in still) == ("Running", False)
    over = pod_status(pod(), {"a": ended(137), "b": ended(0)}, situation(verdict=late, over=True), {})
    assert (over["phase"], over["reason"]) == ("Failed", "DeadlineExceeded")


def test_a_failed_init_container_fails_the_pod_and_leaves_the_rest_waiting() -> None:
    """Init:Error."""
    observed = {"init": ended(1), "a": Observed(), "b": Observed()}
    status = pod_status(pod(init=True), observed, situation(over=True), {})
    assert status["phase"] == "Failed"
    assert status["containerStatuses"][0]["state"] == {"waiting": {"reason": "PodInitializing"}}


def test_a_running_native_sidecar_counts_as_initialized() -> None:
    """A sidecar that has started doesn't hold the Pod up."""
    body = pod(initContainers=[{"name": "init", "image": "i", "restartPolicy": "Always"}])
    status = pod_status(body, {"init": RUNS, "a": RUNS, "b": RUNS}, situation(), {})
    assert conditions(status)["Initialized"] == "True"
    assert status["initContainerStatuses"][0]["ready"] is True


def test_the_time_of_transition_stays_while_the_value_does() -> None:
    """Only a changed condition gets a new time."""
    first = pod_status(pod(), {"a": RUNS, "b": RUNS}, situation(now="2026-01-01T00:00:00Z"), {})
    second = pod_status(pod(), {"a": RUNS, "b": ended(0)}, situation(), first)
    times = {each["type"]: each["lastTransitionTime"] for each in second["conditions"]}
    assert times["Initialized"] == "2026-01-01T00:00:00Z"
    assert times["Ready"] == NOW


def test_a_waiting_reason_and_a_restart_count_are_shown() -> None:
    """A container that waits to be restarted shows how it ended."""
    last = Terminated(1, "Error", NOW)
    crashed = Observed(Waiting("CrashLoopBackOff", "back-off"), restarts=2, last=last)
    entry = pod_status(pod(), {"a": crashed, "b": RUNS}, situation(), {})["containerStatuses"][0]
    assert entry["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    assert (entry["restartCount"], entry["lastState"]["terminated"]["exitCode"]) == (2, 1)


def waiting_or_lost(status: Json) -> dict[str, str]:
    """Return the reason in each container's state by name."""
    entries = [*status.get("initContainerStatuses", []), *status["containerStatuses"]]
    return {each["name"]: next(iter(each["state"].values()))["reason"] for each in entries}


def test_containers_that_never_ran_are_lost_in_a_pod_that_had_come_to_them() -> None:
    """As a kubelet does it, with exit code 137: nobody reads a waiting state in a Pod that is over."""
    stuck = Observed(Waiting("ImagePullBackOff"))
    done = {"init": ended(0), "a": stuck, "b": ended(143)}
    status = pod_status(
        pod(init=True), done, situation(over=True, verdict=Verdict("DeadlineExceeded", "")), {}
    )
    assert waiting_or_lost(status) == {"init": "Completed", "a": "ContainerStatusUnknown", "b": "Error"}
    assert status["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 137
    assert status["phase"] == "Failed"


def test_containers_behind_an_unfinished_init_container_stay_waiting() -> None:
    """The init container that had its turn is lost, what comes after it never had one."""
    stuck = {"init": Observed(Waiting("ImagePullBackOff")), "a": Observed(), "b": Observed()}
    status = pod_status(pod(init=True), stuck, situation(over=True), {})
    assert waiting_or_lost(status) == {
        "init": "ContainerStatusUnknown",
        "a": "PodInitializing",
        "b": "PodInitializing",
    }


def test_a_sidecars_end_does_not_count_for_the_phase() -> None:
    """Whether the Pod succeeded is up to its containers."""
    body = pod(initContainers=[{"name": "side", "image": "i", "restartPolicy": "Always"}])
    observed = {"side": ended(137), "a": ended(0), "b": ended(0)}
    assert pod_status(body, observed, situation(over=True), {})["phase"] == "Succeeded"


def test_a_rejected_pod_has_a_reason_and_no_containers() -> None:
    """A kubelet that doesn't admit a Pod never looks at its containers."""
    verdict = Verdict("OutOfcpu", "Pod was rejected: ...", rejected=True)
    status = pod_status(pod(), {"a": Observed(), "b": Observed()}, situation(over=True, verdict=verdict), {})
    assert (status["phase"], status["reason"]) == ("Failed", "OutOfcpu")
    assert "containerStatuses" not in status
