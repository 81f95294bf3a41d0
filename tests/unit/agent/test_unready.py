"""Pods that have a node and don't start: what their kubelet's Events tell, and what becomes of the run."""

from typing import Any

import pytest

from app.agent.decisions import unready
from app.agent.decisions.graces import DEFAULTS
from app.agent.decisions.unready import PodEvent
from app.cluster.errors import Forbidden
from app.cluster.resources import EVENTS
from protocol.messages import RunFinished
from protocol.runs import Reason, Result
from tests.unit.agent import builders as a
from tests.unit.agent.conftest import Material
from tests.unit.agent.steps import claim, show_pod
from tests.unit.agent.world import World

MOUNT = 'MountVolume.SetUp failed for volume "conf" : '
ATTACH = 'AttachVolume.Attach failed for volume "pvc-1" : '


def warning(message: str = MOUNT + 'configmap "gone" not found', **changes: Any) -> PodEvent:  # noqa: ANN401
    """Return a kubelet's Warning."""
    return PodEvent(
        **{"kind": "Warning", "reason": "FailedMount", "message": message, "last": 100.0, **changes}
    )


def event_object(message: str, reason: str = "FailedMount", number: int = 0, **changes: str) -> a.Json:
    """Return the Event as the API server has it."""
    return {
        "metadata": {"namespace": a.NAMESPACE, "name": f"event-{number}"},
        "involvedObject": {"kind": "Pod", "uid": a.POD_UID},
        "type": "Warning",
        "reason": reason,
        "message": message,
        "lastTimestamp": "2026-01-01T00:00:20Z",
        **changes,
    }


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        ("FailedMount", MOUNT + 'configmap "gone" not found'),
        ("FailedMount", MOUNT + 'secret "gone" not found'),
        ("FailedMount", MOUNT + "configmap references non-existent config key: gone"),
        ("FailedMount", MOUNT + "references non-existent secret key: gone"),
        ("FailedMount", 'error processing PVC default/gone: persistentvolumeclaims "gone" not found'),
        ("FailedMapVolume", 'MapVolume.SetUp failed for volume "conf" : secret "gone" not found'),
    ],
)
def test_what_does_not_exist_counts_after_the_grace_of_a_configuration(reason: str, message: str) -> None:
    """ConfigError with the kubelet's text, which names the volume."""
    found = unready.problem(a.pod(), [warning(message, reason=reason)])
    assert found is not None
    assert found.grace == DEFAULTS.container_config
    assert (found.outcome.result, found.outcome.reason) == (Result.FAILED, Reason.CONFIG_ERROR)
    assert found.outcome.message.endswith(f" on node node-1: {message}")


@pytest.mark.parametrize(
    ("reason", "message"),
    [
        (
            "FailedAttachVolume",
            'Multi-Attach error for volume "pvc-1" Volume is already exclusively attached',
        ),
        ("FailedAttachVolume", ATTACH + 'volumeattachments.storage.k8s.io "csi-1" not found'),
        (
            "FailedMount",
            MOUNT + "driver name ebs.csi.aws.com not found in the list of registered CSI drivers",
        ),
        ("FailedMount", MOUNT + "hostPath type check failed: /data is not a directory"),
        ("FailedCreatePodSandBox", 'Failed to create pod sandbox: plugin type="calico" failed: not found'),
    ],
)
def test_what_may_pass_gets_as_long_as_a_node(reason: str, message: str) -> None:
    """A disk takes minutes to come over; a new node's drivers and network come a moment after its kubelet."""
    found = unready.problem(a.pod(), [warning(message, reason=reason)])
    assert found is not None
    assert found.grace == DEFAULTS.unschedulable
    assert found.outcome.message.endswith(message)


def test_events_that_say_nothing_of_volumes_or_sandbox_are_nobodys_problem() -> None:
    """A probe, a taint, and what isn't a Warning."""
    others = [warning(reason="FailedScheduling"), warning(kind="Normal"), warning(reason="Unhealthy")]
    assert unready.problem(a.pod(), others) is None


@pytest.mark.parametrize("later", ["Pulling", "Pulled", "Created", "Started"])
def test_a_kubelet_that_pulls_has_mounted_everything(later: str) -> None:
    """A large image takes minutes without a word in the status; an old Warning must not end the run."""
    pulling = PodEvent("Normal", later, "", 101.0)
    assert unready.problem(a.pod(), [warning(), pulling]) is None


def test_a_pod_with_a_sandbox_waits_for_something_else() -> None:
    """The condition of newer kubelets says so."""
    ready = {"type": "PodReadyToStartContainers", "status": "True"}
    assert unready.problem(a.pod(conditions=[ready]), [warning()]) is None
    assert unready.problem(a.pod(conditions=[{**ready, "status": "False"}]), [warning()]) is not None


def test_a_pod_without_a_node_or_with_a_container_is_not_looked_at() -> None:
    """Scheduling has words of its own, and what runs was mounted."""
    assert not unready.is_worth_a_look(a.pod(node=""))
    assert not unready.is_worth_a_look(a.pod(init=a.running("init")))


def test_what_is_missing_goes_before_what_times_out_unless_it_is_long_over() -> None:
    """Older kubelets tell of both in turns; a ConfigMap that came meanwhile is told of no more."""
    slow = warning("Unable to attach or mount volumes: unmounted volumes=[conf]: timed out", last=100.0)
    found = unready.problem(a.pod(), [slow, warning(last=90.0)])
    assert found is not None
    assert "not found" in found.outcome.message
    found = unready.problem(a.pod(), [slow, warning(last=100.0 - unready.STALE - 1)])
    assert found is not None
    assert "timed out" in found.outcome.message


@pytest.mark.parametrize(
    "times",
    [
        {"lastTimestamp": "2026-01-01T00:00:20Z"},
        {"lastTimestamp": None, "series": {"lastObservedTime": "2026-01-01T00:00:20.000000Z"}},
        {"lastTimestamp": None, "eventTime": "2026-01-01T00:00:20.000000Z"},
        {"lastTimestamp": None, "metadata": {"creationTimestamp": "2026-01-01T00:00:20Z"}},
    ],
)
def test_an_event_has_its_time_in_one_of_four_places(times: a.Json) -> None:
    """By who wrote it and when."""
    seen = unready.parse_event(event_object("text") | times)
    assert seen == PodEvent("Warning", "FailedMount", "text", 1767225620.0)


def unstarted(world: World, material: Material, *texts: str) -> None:
    """Bring a run to a Pod that has a node and these Events, and starts nothing."""
    world.up(a.worker_object())
    claim(world, material)
    for number, text in enumerate(texts):
        world.api.put(EVENTS, event_object(text, number=number))
    show_pod(world)
    world.api.calls.clear()


def test_a_missing_config_map_ends_the_run_with_the_kubelets_text(world: World, material: Material) -> None:
    """After the grace; before it nobody asks."""
    unstarted(world, material, MOUNT + 'configmap "gone" not found: Bearer ' + "A" * 200)
    world.pass_time(DEFAULTS.container_config - 1.0)
    assert world.api.count("list", "events") == 0
    world.pass_time(2.0)
    outcome = world.status()["run"]["outcome"]
    assert (outcome["result"], outcome["reason"]) == ("failed", "ConfigError")
    assert 'volume "conf" : configmap "gone" not found' in outcome["message"]
    assert "AAAA" not in str(world.status())
    assert world.api.count("list", "events") == 1
    (finished,) = [each for each in world.link.take() if isinstance(each, RunFinished)]
    assert finished.outcome.message == outcome["message"]


def test_a_disk_that_is_not_attached_gets_its_time_and_few_looks(world: World, material: Material) -> None:
    """Each look costs a list, so they become rarer; the last comes when the grace is over."""
    unstarted(world, material, ATTACH + "rpc error: timeout")
    world.pass_time(DEFAULTS.unschedulable - 5.0)
    assert world.status()["run"]["phase"] == "Starting"
    assert 2 <= world.api.count("list", "events") <= 7
    world.pass_time(6.0)
    assert world.status()["run"]["outcome"]["reason"] == "ConfigError"


def test_events_that_may_not_be_read_end_nothing(world: World, material: Material) -> None:
    """A role from before this rule: the run waits as it did."""
    unstarted(world, material, MOUNT + 'configmap "gone" not found')

    def refuse(verb: str, plural: str, _name: str) -> None:
        if (verb, plural) == ("list", "events"):
            raise Forbidden("cannot list resource events", status=403)

    world.api.fail = refuse
    world.pass_time(400.0)
    assert world.status()["run"]["phase"] == "Starting"
