"""The bodies of hook requests and responses. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import orjson

from devcluster.hookdriver.config import COMPOSITE, ControllerConfig
from devcluster.hookdriver.errors import HookError
from devcluster.hookdriver.objects import Json, Object, ObjectMap, as_hook_sees, namespace_of, with_metadata

_COMMON_FIELDS = frozenset({"status", "resyncAfterSeconds", "finalized"})


@dataclass(frozen=True)
class HookResponse:
    """What a sync or finalize hook wants. No status from a decorator's hook means: leave it as it is."""

    status: Object | None = None
    children: list[Object] = field(default_factory=list)
    resync_after_seconds: float = 0.0
    finalized: bool = False
    labels: Mapping[str, str | None] = field(default_factory=dict)
    annotations: Mapping[str, str | None] = field(default_factory=dict)


def sync_request(
    config: ControllerConfig,
    parent: Object,
    children: ObjectMap,
    related: ObjectMap,
    *,
    finalizing: bool,
    version: str,
) -> Object:
    """Return the body of a sync or finalize request."""
    composite = config.kind == COMPOSITE
    return {
        "controller": config.source,
        "parent" if composite else "object": parent,
        "children" if composite else "attachments": as_hook_sees(children, parent, version=version),
        "related": as_hook_sees(related, parent, version=version),
        "finalizing": finalizing,
    }


def customize_request(config: ControllerConfig, parent: Object) -> Object:
    """Return the body of a customize request."""
    return {"controller": config.source, "parent": parent}


def parse_sync_response(
    body: bytes, config: ControllerConfig, parent: Object, *, strict: bool
) -> HookResponse:
    """Parse the answer of a sync or finalize hook; children without a namespace get the parent's."""
    composite = config.kind == COMPOSITE
    children = "children" if composite else "attachments"
    own = {children} if composite else {children, "labels", "annotations"}
    answer = _load(body, _COMMON_FIELDS | own, strict=strict)
    return HookResponse(
        status=_typed(answer, "status", dict, None),
        children=[_child(child, parent) for child in _typed(answer, children, list, [])],
        resync_after_seconds=float(_typed(answer, "resyncAfterSeconds", (int, float), 0)),
        finalized=_typed(answer, "finalized", bool, False),
        labels={} if composite else _strings(answer, "labels"),
        annotations={} if composite else _strings(answer, "annotations"),
    )


def parse_customize_response(body: bytes, *, strict: bool) -> list[Object]:
    """Parse the answer of a customize hook: the rules that relate resources to the parent."""
    rules: list[Json] = _typed(
        _load(body, frozenset({"relatedResources"}), strict=strict), "relatedResources", list, []
    )
    for rule in rules:
        if not isinstance(rule, dict) or not rule.get("apiVersion") or not rule.get("resource"):
            raise HookError(f"a related resource rule needs apiVersion and resource: {rule}")
    return rules


def _load(body: bytes, known: frozenset[str], *, strict: bool) -> Object:
    try:
        answer = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise HookError(f"the hook's response isn't JSON: {error}") from error
    if answer is None:
        return {}
    if not isinstance(answer, dict):
        raise HookError("the hook's response isn't a JSON object")
    if strict and (unknown := sorted(answer.keys() - known)):
        raise HookError(f"unknown fields in the hook's response: {', '.join(unknown)}")
    return answer


def _typed(answer: Object, name: str, kind: type | tuple[type, ...], default: Json) -> Json:
    value = answer.get(name)
    if value is None:
        return default
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise HookError(f"field {name} of the hook's response has the wrong type")
    return value


def _strings(answer: Object, name: str) -> dict[str, str | None]:
    strings: dict[str, str | None] = _typed(answer, name, dict, {})
    if not all(value is None or isinstance(value, str) for value in strings.values()):
        raise HookError(f"field {name} of the hook's response must hold strings")
    return strings


def _child(child: Json, parent: Object) -> Object:
    if (
        not isinstance(child, dict)
        or not child.get("kind")
        or not isinstance(child.get("metadata", {}), dict)
    ):
        raise HookError("a child in the hook's response is no object with a kind")
    labels = (child.get("metadata") or {}).get("labels") or {}
    if not isinstance(labels, dict) or not all(isinstance(value, str) for value in labels.values()):
        raise HookError("invalid labels on a child in the hook's response")
    if namespace_of(child) or not namespace_of(parent):
        return child
    return with_metadata(child, namespace=namespace_of(parent))
