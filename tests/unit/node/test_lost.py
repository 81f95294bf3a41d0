"""What a restarted node makes of Pods that it finds."""

from typing import Any

from devcluster.node.lost import recover
from devcluster.node.observed import Terminated

Json = dict[str, Any]
NOW = "2026-01-01T00:00:00Z"


def pod(**states: Json) -> Json:
    """Return a Pod with containers a and b and the states that the API server has of them."""
    entries = [{"name": name, "state": state} for name, state in states.items()]
    return {"spec": {"containers": [{"name": "a"}, {"name": "b"}]}, "status": {"containerStatuses": entries}}


def test_a_pod_of_which_nothing_started_is_not_lost() -> None:
    """It is simply run."""
    assert recover(pod(a={"waiting": {"reason": "ContainerCreating"}}), lambda _: False, NOW) is None


def test_a_running_container_is_lost_and_an_ended_one_is_kept() -> None:
    """The exit code that was reported stays."""
    found = recover(
        pod(a={"running": {"startedAt": NOW}}, b={"terminated": {"exitCode": 3}}), lambda _: False, NOW
    )
    assert found is not None
    states = [each.state for each in found.values()]
    assert all(isinstance(state, Terminated) for state in states)
    assert [(state.exit_code, state.reason) for state in states if isinstance(state, Terminated)] == [
        (137, "ContainerStatusUnknown"),
        (3, ""),
    ]


def test_a_start_that_was_never_reported_counts_as_started() -> None:
    """The node's own note keeps the work from running twice."""
    found = recover(pod(), lambda name: name == "a", NOW)
    assert found is not None
    assert isinstance(found["a"].state, Terminated)
