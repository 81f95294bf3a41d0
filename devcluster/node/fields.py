"""The downward API: the value of a Pod's or a container's field; pure. Used by environments and volumes."""

import json
import re
from dataclasses import dataclass

from devcluster.node.quantity import divided
from devcluster.node.shapes import Json

_SUBSCRIPT = re.compile(r"^metadata\.(labels|annotations)\['(.+)'\]$")


class FieldError(Exception):
    """A fieldRef or resourceFieldRef that the node can't resolve."""


@dataclass(frozen=True)
class NodeFacts:
    """What Pods may ask about their node; `allocatable` are quantities by resource name."""

    name: str
    address: str
    allocatable: dict[str, str]


def field_value(pod: Json, path: str, node: NodeFacts) -> str:
    """Return what a `fieldRef` with that path stands for."""
    metadata = pod["metadata"]
    if match := _SUBSCRIPT.match(path):
        return str((metadata.get(match[1]) or {}).get(match[2], ""))
    simple = {
        "metadata.name": metadata.get("name", ""),
        "metadata.namespace": metadata.get("namespace", ""),
        "metadata.uid": metadata.get("uid", ""),
        "metadata.labels": _listing(metadata.get("labels")),
        "metadata.annotations": _listing(metadata.get("annotations")),
        "spec.nodeName": pod["spec"].get("nodeName", node.name),
        "spec.serviceAccountName": pod["spec"].get("serviceAccountName", ""),
        "status.podIP": node.address,
        "status.podIPs": node.address,
        "status.hostIP": node.address,
        "status.hostIPs": node.address,
    }
    if path not in simple:
        raise FieldError(f"unsupported fieldPath: {path}")
    return str(simple[path])


def resource_value(pod: Json, container: str, reference: Json, node: NodeFacts) -> str:
    """Return what a `resourceFieldRef` stands for; without a limit the node's allocatable counts."""
    wanted = reference.get("containerName") or container
    kind, _, name = str(reference["resource"]).partition(".")
    spec = pod["spec"]
    for candidate in [*(spec.get("initContainers") or []), *spec["containers"]]:
        if candidate["name"] == wanted:
            resources = candidate.get("resources") or {}
            declared = (resources.get(kind) or {}).get(name)
            fallback = node.allocatable.get(name, "0") if kind == "limits" else "0"
            return divided(declared or fallback, reference.get("divisor") or "1")
    raise FieldError(f"container {wanted} not found")


def _listing(values: dict[str, str] | None) -> str:
    """Return labels or annotations as the downward API writes them into one value."""
    return "\n".join(
        f"{key}={json.dumps(value, ensure_ascii=False)}" for key, value in sorted((values or {}).items())
    )
