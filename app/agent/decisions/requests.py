"""What a Pod requests in all, as the scheduler counts it; pure.

Source: Kubernetes, "Init containers", resource sharing: init containers run one after another, so the largest of
them counts, each together with the native sidecars that were started before it; the other containers and all native
sidecars add up; the larger of both counts, and the overhead of the runtime class comes on top.
"""

from collections.abc import Iterable, Mapping
from decimal import Decimal

from app.agent.pod_state import ContainerSpec, PodView
from app.agent.quantities import added, format_quantity, larger, parse_quantities

_FIRST = ("cpu", "memory", "ephemeral-storage")


def requested(pod: PodView) -> dict[str, Decimal]:
    """Return the sum for each resource that any container of the Pod requests."""
    return _effective(pod.specs, pod.overhead)


def in_words(pod: PodView) -> str:
    """Return the sums for people: ``cpu 2500m, memory 4Gi, nvidia.com/gpu 1``, or ``nothing``."""
    sums = requested(pod)
    others = sorted(name for name in sums if name not in _FIRST)
    told = [name for name in (*_FIRST, *others) if sums.get(name)]
    return ", ".join(f"{name} {format_quantity(name, sums[name])}" for name in told) or "nothing"


def _effective(specs: Iterable[ContainerSpec], overhead: Mapping[str, object]) -> dict[str, Decimal]:
    together: dict[str, Decimal] = {}
    sidecars: dict[str, Decimal] = {}
    largest: dict[str, Decimal] = {}
    for spec in specs:
        requests = parse_quantities(spec.requests)
        if spec.sidecar:
            sidecars = added(sidecars, requests)
        elif spec.init:
            largest = larger(largest, added(sidecars, requests))
        else:
            together = added(together, requests)
    return added(larger(added(together, sidecars), largest), parse_quantities(overhead))
