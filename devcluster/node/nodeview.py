"""The node's own Node object as last seen: labels, taints and cordons are other people's to set."""

from collections.abc import Callable, Mapping
from decimal import Decimal

from devcluster.node.fit import Host, amounts
from devcluster.node.shapes import Json


class NodeView:
    """A handler for one Node; `on_change` is called after what Pods are fitted into has changed."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.on_change: Callable[[], None] = lambda: None

    def upsert(self, item: Json) -> None:
        """Take the Node as it is now."""
        seen = host_of(item, self.host.allocatable)
        if seen != self.host:
            self.host = seen
            self.on_change()

    def remove(self, item: Json) -> None:
        """Take no note: a Node that was deleted registers again."""


def host_of(node: Json, allocatable: Mapping[str, Decimal]) -> Host:
    """Return what a Node object says; `allocatable` stands in until it reports what it has."""
    spec, status = node.get("spec") or {}, node.get("status") or {}
    reported = status.get("allocatable")
    return Host(
        name=node["metadata"]["name"],
        labels=node["metadata"].get("labels") or {},
        allocatable=amounts(reported) if reported else allocatable,
        taints=tuple(spec.get("taints") or ()),
        unschedulable=bool(spec.get("unschedulable")),
    )
