"""What the node does next for a Pod."""

from typing import Any

from devcluster.node.decide import Decision, decide
from devcluster.node.observed import Containers, Observed, Running, Terminated, Waiting

Json = dict[str, Any]
RUNS = Observed(Running("", "", ""))
FRESH = Observed()
CRASHED = Observed(Waiting("CrashLoopBackOff"), 1, Terminated(1, "Error", ""))


def ended(code: int = 0) -> Observed:
    """Return a container that has ended for good."""
    return Observed(Terminated(code, "", ""))


def pod(*init: Json) -> Json:
    """Return a Pod with containers a and b."""
    return {"spec": {"initContainers": list(init), "containers": [{"name": "a"}, {"name": "b"}]}}


def next_step(body: Json, observed: Containers, stopping: bool = False, **pauses: float) -> Decision:
    """Return the decision at time 100."""
    return decide(body, observed, pauses, 100.0, stopping)


def test_init_containers_start_one_after_the_other() -> None:
    """The second waits for the first to end well."""
    body = pod({"name": "one"}, {"name": "two"})
    assert next_step(body, {"one": FRESH, "two": FRESH, "a": FRESH, "b": FRESH}).start == ("one",)
    assert next_step(body, {"one": RUNS, "two": FRESH, "a": FRESH, "b": FRESH}) == Decision()
    assert next_step(body, {"one": ended(), "two": FRESH, "a": FRESH, "b": FRESH}).start == ("two",)


def test_containers_start_together_after_init() -> None:
    """All containers start at once."""
    assert next_step(pod({"name": "one"}), {"one": ended(), "a": FRESH, "b": FRESH}).start == ("a", "b")


def test_a_failed_init_container_finishes_the_pod() -> None:
    """Nothing else is started."""
    assert next_step(pod({"name": "one"}), {"one": ended(1), "a": FRESH, "b": FRESH}) == Decision(
        finished=True
    )


def test_a_paused_container_names_the_time_to_look_again() -> None:
    """Its pause doesn't keep the other from starting."""
    decision = next_step(pod(), {"a": FRESH, "b": FRESH}, a=150.0)
    assert (decision.start, decision.wake_at) == (("b",), 150.0)


def test_a_pod_finishes_when_all_containers_have_ended() -> None:
    """One that still runs keeps it going."""
    assert not next_step(pod(), {"a": ended(), "b": RUNS}).finished
    assert next_step(pod(), {"a": ended(), "b": ended(3)}).finished


def test_sidecars_stop_last_and_in_reverse() -> None:
    """Containers first, then sidecars one by one."""
    body = pod({"name": "s1", "restartPolicy": "Always"}, {"name": "s2", "restartPolicy": "Always"})
    assert next_step(body, {"s1": RUNS, "s2": RUNS, "a": RUNS, "b": ended()}, stopping=True).stop == ("a",)
    assert next_step(body, {"s1": RUNS, "s2": RUNS, "a": ended(), "b": ended()}).stop == ("s2",)
    assert next_step(body, {"s1": RUNS, "s2": ended(), "a": ended(), "b": ended()}).stop == ("s1",)


def test_a_crashed_sidecar_does_not_hold_up_the_containers() -> None:
    """It is started again when its pause is over."""
    body = pod({"name": "s", "restartPolicy": "Always"})
    assert next_step(body, {"s": CRASHED, "a": FRESH, "b": RUNS}, s=150.0).start == ("a",)
    assert next_step(body, {"s": CRASHED, "a": RUNS, "b": RUNS}).start == ("s",)
    assert next_step(body, {"s": CRASHED, "a": RUNS, "b": RUNS}, s=150.0).wake_at == 150.0


def test_a_stopping_pod_starts_nothing() -> None:
    """What hasn't started never will."""
    assert next_step(pod(), {"a": FRESH, "b": FRESH}, stopping=True) == Decision(finished=True)


def test_a_crashed_sidecar_is_woken_for_while_an_init_container_runs() -> None:
    """Its pause ends whatever else the Pod is doing."""
    body = pod({"name": "s", "restartPolicy": "Always"}, {"name": "init"})
    observed = {"s": CRASHED, "init": RUNS, "a": FRESH, "b": FRESH}
    assert next_step(body, observed, s=150.0) == Decision(wake_at=150.0)
    assert next_step(body, observed, s=50.0).start == ("s",)
