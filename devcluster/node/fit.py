"""Whether a Pod fits a node, in the words of kube-scheduler and, at admission, of a kubelet; pure.

Looked at are cordons, taints, node selectors, required node affinity and requests. Affinity between Pods, spreading and
ports are not: with one node they hardly ever say no.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from devcluster.node.observed import Verdict, init_containers, is_sidecar
from devcluster.node.quantity import parse_quantity
from devcluster.node.shapes import Json

Amounts = Mapping[str, Decimal]

_UNSCHEDULABLE_TAINT = {"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}
_BASIC = ("cpu", "memory", "ephemeral-storage")


@dataclass(frozen=True)
class Host:
    """What Pods are fitted into: `allocatable` by resource name, `pods` among them."""

    name: str
    labels: Mapping[str, str]
    allocatable: Amounts
    taints: tuple[Json, ...] = ()
    unschedulable: bool = False


@dataclass(frozen=True)
class Load:
    """What other Pods of the node have asked for, and how many they are."""

    requested: Amounts = field(default_factory=dict)
    pods: int = 0


@dataclass(frozen=True)
class Misfit:
    """Why a Pod doesn't fit; `hopeless` when it wouldn't even if every other Pod went."""

    reasons: tuple[str, ...]
    hopeless: bool = True


def amounts(quantities: Mapping[str, str]) -> dict[str, Decimal]:
    """Return quantities as numbers."""
    return {name: parse_quantity(value) for name, value in quantities.items()}


def requests(pod: Json) -> dict[str, Decimal]:
    """Return what a Pod asks for: its containers with its sidecars, or an init container that asks for more.

    An init container runs beside the sidecars that are named before it. Requests of the Pod as a whole go before
    those of its containers.
    """
    spec = pod["spec"]
    steady: dict[str, Decimal] = {}
    peak: dict[str, Decimal] = {}
    for container in init_containers(pod):
        own = _container_requests(container)
        if is_sidecar(container):
            steady = _sum(steady, own)
            peak = _most(peak, steady)
        else:
            peak = _most(peak, _sum(steady, own))
    for container in spec["containers"]:
        steady = _sum(steady, _container_requests(container))
    whole = (spec.get("resources") or {}).get("requests") or {}
    return _sum(_most(steady, peak) | amounts(whole), amounts(spec.get("overhead") or {}))


def misfit(pod: Json, host: Host, load: Load) -> Misfit | None:
    """Return why a scheduler wouldn't bind the Pod to the node, None when it would; the first check that fails counts."""
    tolerations = pod["spec"].get("tolerations") or []
    if host.unschedulable and not _tolerated(_UNSCHEDULABLE_TAINT, tolerations):
        return Misfit(("node(s) were unschedulable",))
    keeping_off = [taint for taint in host.taints if taint.get("effect") in ("NoSchedule", "NoExecute")]
    if not all(_tolerated(taint, tolerations) for taint in keeping_off):
        return Misfit(("node(s) had untolerated taint(s)",))
    if not _selected(pod["spec"], host):
        return Misfit(("node(s) didn't match Pod's node affinity/selector",))
    short = _short(pod, host, load)
    if not short:
        return None
    wanted = requests(pod)
    hopeless = any(wanted.get(name, 0) > host.allocatable.get(name, 0) for name in short)
    return Misfit(tuple(_insufficient(name) for name in short), hopeless)


def failed_scheduling(found: Misfit) -> str:
    """Return kube-scheduler's text for a cluster of this one node."""
    reasons = ", ".join(sorted(f"1 {reason}" for reason in found.reasons))
    preemption = (
        "Preemption is not helpful for scheduling"
        if found.hopeless
        else "No preemption victims found for incoming pod"
    )
    return (
        f"0/1 nodes are available: {reasons}. no new claims to deallocate, "
        f"preemption: 0/1 nodes are available: 1 {preemption}."
    )


def rejection(pod: Json, host: Host, load: Load) -> Verdict | None:
    """Return why a kubelet wouldn't take a Pod that was bound past the scheduler, None when it would."""
    for name in _short(pod, host, load):
        wanted, used = (Decimal(1), Decimal(load.pods))
        if name != "pods":
            wanted, used = requests(pod)[name], load.requested.get(name, Decimal(0))
        figures = [wanted, used, host.allocatable.get(name, Decimal(0))]
        unit = 1000 if name == "cpu" else 1
        asked, taken, capacity = (int(figure * unit) for figure in figures)
        return _rejected(
            f"OutOf{name}",
            f"Node didn't have enough resource: {name}, requested: {asked}, used: {taken}, capacity: {capacity}",
        )
    if not _selected(pod["spec"], host):
        text = "Predicate NodeAffinity failed: node(s) didn't match Pod's node affinity/selector"
        return _rejected("NodeAffinity", text)
    return None


def _rejected(reason: str, text: str) -> Verdict:
    return Verdict(reason, f"Pod was rejected: {text}", rejected=True)


def _short(pod: Json, host: Host, load: Load) -> list[str]:
    """Return the resources that the node hasn't enough of."""
    short = ["pods"] if load.pods + 1 > host.allocatable.get("pods", Decimal(0)) else []
    for name, wanted in sorted(requests(pod).items(), key=lambda entry: (entry[0] not in _BASIC, entry[0])):
        free = host.allocatable.get(name, Decimal(0)) - load.requested.get(name, Decimal(0))
        if wanted > 0 and wanted > free:
            short.append(name)
    return short


def _insufficient(name: str) -> str:
    return "Too many pods" if name == "pods" else f"Insufficient {name}"


def _container_requests(container: Json) -> dict[str, Decimal]:
    return amounts((container.get("resources") or {}).get("requests") or {})


def _sum(one: Amounts, other: Amounts) -> dict[str, Decimal]:
    return {name: one.get(name, Decimal(0)) + other.get(name, Decimal(0)) for name in {*one, *other}}


def _most(one: Amounts, other: Amounts) -> dict[str, Decimal]:
    return {name: max(one.get(name, Decimal(0)), other.get(name, Decimal(0))) for name in {*one, *other}}


def _tolerated(taint: Mapping[str, str], tolerations: Iterable[Json]) -> bool:
    """Return whether a toleration covers the taint; one without a key covers every taint."""
    for each in tolerations:
        if each.get("effect") not in (None, "", taint["effect"]):
            continue
        operator = each.get("operator") or "Equal"
        if not each.get("key"):
            if operator == "Exists":
                return True
        elif each["key"] == taint["key"] and (
            operator == "Exists" or (each.get("value") or "") == (taint.get("value") or "")
        ):
            return True
    return False


def _selected(spec: Json, host: Host) -> bool:
    """Return whether node selector and required node affinity match; terms are alternatives."""
    selector = spec.get("nodeSelector") or {}
    if any(host.labels.get(key) != value for key, value in selector.items()):
        return False
    affinity = (spec.get("affinity") or {}).get("nodeAffinity") or {}
    required = affinity.get("requiredDuringSchedulingIgnoredDuringExecution")
    if required is None:
        return True
    return any(_term_matches(term, host) for term in required.get("nodeSelectorTerms") or [])


def _term_matches(term: Json, host: Host) -> bool:
    expressions, fields = term.get("matchExpressions") or [], term.get("matchFields") or []
    if not expressions and not fields:
        return False
    return all(_matches(each, host.labels) for each in expressions) and all(
        _matches(each, {"metadata.name": host.name}) for each in fields
    )


def _matches(requirement: Json, labels: Mapping[str, str]) -> bool:
    """Return whether one requirement of a node selector term holds."""
    value, wanted = labels.get(requirement["key"]), requirement.get("values") or []
    match requirement["operator"]:
        case "In":
            return value in wanted
        case "NotIn":
            return value not in wanted
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt" | "Lt" as operator:
            try:
                number, limit = int(value or ""), int(wanted[0])
            except (ValueError, IndexError):
                return False
            return number > limit if operator == "Gt" else number < limit
    return False
