"""Whether a Pod fits the node, in the scheduler's and the kubelet's words."""

from decimal import Decimal
from typing import Any

import pytest

from devcluster.node.fit import Host, Load, amounts, failed_scheduling, misfit, rejection, requests

Json = dict[str, Any]
NO_DEAL = "no new claims to deallocate, preemption: 0/1 nodes are available: 1 "


def container(name: str = "c", **wanted: str) -> Json:
    """Return a container with requests."""
    return {"name": name, "resources": {"requests": wanted}}


def pod(*containers: Json, init: tuple[Json, ...] = (), **fields: object) -> Json:
    """Return a Pod."""
    return {"spec": {"containers": list(containers), "initContainers": list(init), **fields}}


def host(**fields: Any) -> Host:  # noqa: ANN401 - fields of Host
    """Return a node with 2 CPUs, 1 GiB and room for 2 Pods."""
    allocatable = amounts({"cpu": "2", "memory": "1Gi", "pods": "2"})
    return Host(
        **{"name": "here", "labels": {"disk": "ssd", "size": "5"}, "allocatable": allocatable, **fields}
    )


def text(body: Json, where: Host, load: Load | None = None) -> str:
    """Return the scheduler's text, empty when the Pod fits."""
    found = misfit(body, where, load or Load())
    return failed_scheduling(found) if found else ""


def test_a_pod_asks_for_its_containers_together_or_for_its_hungriest_init_container() -> None:
    """Sidecars count beside the containers and beside the init containers that follow them."""
    sidecar = {**container("side", cpu="100m"), "restartPolicy": "Always"}
    early, late = container("early", cpu="1"), container("late", cpu="1", memory="5Mi")
    body = pod(container(cpu="200m", memory="1Mi"), container(cpu="200m"), init=(early, sidecar, late))
    assert requests(body) == {"cpu": Decimal("1.1"), "memory": Decimal(5 * 2**20)}
    assert requests(pod(container(cpu="1"), overhead={"cpu": "500m"})) == {"cpu": Decimal("1.5")}


def test_requests_of_the_whole_pod_go_before_those_of_its_containers() -> None:
    """`spec.resources` is what the scheduler counts where it is set."""
    body = pod(container(cpu="100m", memory="1Mi"), resources={"requests": {"cpu": "1"}})
    assert requests(body) == {"cpu": Decimal(1), "memory": Decimal(2**20)}


def test_requests_beyond_the_node_are_named_by_resource() -> None:
    """What no preemption could help says so."""
    wanted = pod(container(cpu="64", memory="1Ti", **{"example.com/gpu": "1"}))
    assert text(wanted, host()) == (
        "0/1 nodes are available: 1 Insufficient cpu, 1 Insufficient example.com/gpu, 1 Insufficient memory. "
        f"{NO_DEAL}Preemption is not helpful for scheduling."
    )


def test_what_other_pods_hold_is_not_free() -> None:
    """A Pod that would fit an empty node is told apart from one that never fits."""
    load = Load(amounts({"cpu": "1500m"}), 1)
    assert text(pod(container(cpu="600m")), host(), load) == (
        f"0/1 nodes are available: 1 Insufficient cpu. {NO_DEAL}No preemption victims found for incoming pod."
    )
    assert text(pod(container(cpu="500m")), host(), load) == ""
    assert "1 Too many pods" in text(pod(container()), host(), Load({}, 2))


@pytest.mark.parametrize(
    ("tolerations", "fits"),
    [
        ([], False),
        ([{"key": "only", "operator": "Exists"}], True),
        ([{"key": "only", "value": "x", "effect": "NoSchedule"}], True),
        ([{"key": "only", "value": "y", "effect": "NoSchedule"}], False),
        ([{"key": "only", "value": "x", "effect": "NoExecute"}], False),
        ([{"operator": "Exists"}], True),
    ],
)
def test_taints_keep_pods_off_that_do_not_tolerate_them(tolerations: list[Json], fits: bool) -> None:
    """Key, value and effect of a toleration must match; a preference keeps nobody off."""
    taints = (
        {"key": "only", "value": "x", "effect": "NoSchedule"},
        {"key": "soft", "effect": "PreferNoSchedule"},
    )
    said = text(pod(container(), tolerations=tolerations), host(taints=taints))
    assert said == ("" if fits else _hopeless("node(s) had untolerated taint(s)"))


def test_a_cordoned_node_takes_nothing() -> None:
    """But for Pods that tolerate it."""
    cordoned = host(unschedulable=True)
    assert text(pod(container()), cordoned) == _hopeless("node(s) were unschedulable")
    tolerant = [{"key": "node.kubernetes.io/unschedulable", "operator": "Exists"}]
    assert text(pod(container(), tolerations=tolerant), cordoned) == ""


@pytest.mark.parametrize(
    ("requirement", "fits"),
    [
        ({"key": "disk", "operator": "In", "values": ["ssd", "nvme"]}, True),
        ({"key": "disk", "operator": "NotIn", "values": ["ssd"]}, False),
        ({"key": "gpu", "operator": "Exists"}, False),
        ({"key": "gpu", "operator": "DoesNotExist"}, True),
        ({"key": "size", "operator": "Gt", "values": ["4"]}, True),
        ({"key": "size", "operator": "Lt", "values": ["4"]}, False),
        ({"key": "disk", "operator": "Gt", "values": ["4"]}, False),
    ],
)
def test_required_node_affinity_selects_by_label(requirement: Json, fits: bool) -> None:
    """Every operator of a node selector requirement is understood."""
    assert (
        text(pod(container(), affinity=_affinity({"matchExpressions": [requirement]})), host()) == ""
    ) == fits


def test_node_selector_terms_are_alternatives() -> None:
    """One that matches is enough; an empty one matches nothing."""
    elsewhere = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["elsewhere"]}]}
    here = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["here"]}]}
    assert text(pod(container(), affinity=_affinity(elsewhere, here)), host()) == ""
    assert text(pod(container(), affinity=_affinity(elsewhere, {})), host()) == _hopeless(
        "node(s) didn't match Pod's node affinity/selector"
    )
    assert text(pod(container(), nodeSelector={"disk": "tape"}), host()) != ""


def test_a_kubelet_rejects_what_was_bound_past_the_scheduler() -> None:
    """OutOf<resource> with the figures, CPU in thousandths; NodeAffinity for labels."""
    found = rejection(pod(container(cpu="2")), host(), Load(amounts({"cpu": "500m"}), 1))
    assert found is not None
    assert (found.reason, found.rejected) == ("OutOfcpu", True)
    assert found.message == (
        "Pod was rejected: Node didn't have enough resource: cpu, requested: 2000, used: 500, capacity: 2000"
    )
    found = rejection(pod(container(), nodeSelector={"disk": "tape"}), host(), Load())
    assert found is not None
    assert found.reason == "NodeAffinity"
    assert rejection(pod(container(cpu="1")), host(unschedulable=True), Load()) is None


def _affinity(*terms: Json) -> Json:
    required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": list(terms)}}
    return {"nodeAffinity": required}


def _hopeless(reason: str) -> str:
    return f"0/1 nodes are available: 1 {reason}. {NO_DEAL}Preemption is not helpful for scheduling."
