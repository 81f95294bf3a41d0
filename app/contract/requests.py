"""Requests that Metacontroller sends to the hooks (version v1 of its hook contract), parsed at the edge.

A body that isn't one raises HookRequestError with the field named. Observed objects stay as they came: their
meaning belongs to ``app.reconcile``, and copying a thousand of them would be the hook's cost.
"""

from __future__ import annotations

from dataclasses import dataclass

import orjson

from app.contract.fields import (
    JsonObject,
    as_object,
    object_at,
    optional_bool_at,
    optional_object_at,
    text_at,
)
from app.errors import HookRequestError
from app.vocabulary import API_VERSION


@dataclass(frozen=True, slots=True)
class CompositeRequest:
    """Sync or finalize call of a CompositeController: the parent and the children observed for it."""

    parent: JsonObject
    children: tuple[JsonObject, ...]
    finalizing: bool


@dataclass(frozen=True, slots=True)
class DecoratorRequest:
    """Sync or finalize call of a DecoratorController: the object, its attachments, and related objects by name."""

    parent: JsonObject
    attachments: tuple[JsonObject, ...]
    related: dict[str, JsonObject]
    finalizing: bool


@dataclass(frozen=True, slots=True)
class CustomizeRequest:
    """Question of which objects are related to a parent."""

    parent: JsonObject


def parse_composite(body: bytes, kind: str, child_group: str) -> CompositeRequest:
    """Read a CompositeController's call for a parent of `kind` with children of `child_group`."""
    data = _parse_body(body)
    children = object_at(data, "children", "children")
    return CompositeRequest(
        parent=_parse_parent(data, "parent", kind),
        children=_objects_of(children, child_group, "children"),
        finalizing=optional_bool_at(data, "finalizing", "finalizing"),
    )


def parse_decorator(body: bytes, kind: str, attachment_group: str, related_group: str) -> DecoratorRequest:
    """Read a DecoratorController's call for an object of `kind`."""
    data = _parse_body(body)
    attachments = object_at(data, "attachments", "attachments")
    related = optional_object_at(data, "related", "related")
    return DecoratorRequest(
        parent=_parse_parent(data, "object", kind),
        attachments=_objects_of(attachments, attachment_group, "attachments"),
        related={_name_of(item): item for item in _objects_of(related, related_group, "related")},
        finalizing=optional_bool_at(data, "finalizing", "finalizing"),
    )


def parse_customize(body: bytes, kind: str) -> CustomizeRequest:
    """Read a customize call for a parent of `kind`."""
    return CustomizeRequest(parent=_parse_parent(_parse_body(body), "parent", kind))


def _parse_body(body: bytes) -> JsonObject:
    try:
        data = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise HookRequestError("(body)", f"is not JSON: {error.msg} at character {error.pos}") from error
    return as_object(data, "(body)")


def _parse_parent(data: JsonObject, key: str, kind: str) -> JsonObject:
    parent = object_at(data, key, key)
    for name, expected in (("apiVersion", API_VERSION), ("kind", kind)):
        if text_at(parent, name, f"{key}.{name}") != expected:
            raise HookRequestError(f"{key}.{name}", f"must be {expected}")
    metadata = object_at(parent, "metadata", f"{key}.metadata")
    for name in ("name", "namespace", "uid"):
        text_at(metadata, name, f"{key}.metadata.{name}")
    for name in ("labels", "annotations"):
        optional_object_at(metadata, name, f"{key}.metadata.{name}")
    optional_object_at(parent, "spec", f"{key}.spec")
    return parent


def _objects_of(groups: JsonObject, group: str, field: str) -> tuple[JsonObject, ...]:
    """Return the objects of one kind; other kinds can't come, since the controllers ask for one only."""
    path = f"{field}['{group}']"
    named = optional_object_at(groups, group, path)
    for name, item in named.items():
        _check_object(item, f"{path}['{name}']")
    return tuple(named.values())


def _check_object(item: object, field: str) -> None:
    # One look at the shape that every Kubernetes object has: this runs for each of a thousand Workers.
    if isinstance(item, dict):
        metadata = item.get("metadata")
        if isinstance(metadata, dict) and isinstance(metadata.get("name"), str):
            return
    text_at(
        object_at(as_object(item, field), "metadata", f"{field}.metadata"), "name", f"{field}.metadata.name"
    )


def _name_of(item: JsonObject) -> str:
    name: str = item["metadata"]["name"]
    return name
