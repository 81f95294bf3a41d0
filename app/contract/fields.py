"""Readers for untrusted JSON: each returns a value of one type or names the field that isn't one."""

from __future__ import annotations

from typing import Any, TypeAlias

import orjson

from app.errors import HookRequestError

JsonObject: TypeAlias = dict[str, Any]
"""A JSON object as the parser gave it; Kubernetes objects travel in this form."""


def as_object(value: object, field: str) -> JsonObject:
    """Return `value` when it is a JSON object."""
    if not isinstance(value, dict):
        raise HookRequestError(field, f"must be an object, is {json_type(value)}")
    return value


def object_at(container: JsonObject, key: str, field: str) -> JsonObject:
    """Return the object at `key`; a missing one is an error."""
    if key not in container:
        raise HookRequestError(field, "is missing")
    return as_object(container[key], field)


def optional_object_at(container: JsonObject, key: str, field: str) -> JsonObject:
    """Return the object at `key`, or an empty one when it is missing or null."""
    value = container.get(key)
    return {} if value is None else as_object(value, field)


def text_at(container: JsonObject, key: str, field: str) -> str:
    """Return the non-empty string at `key`."""
    if key not in container:
        raise HookRequestError(field, "is missing")
    value = container[key]
    if not isinstance(value, str):
        raise HookRequestError(field, f"must be a string, is {json_type(value)}")
    if not value:
        raise HookRequestError(field, "must not be empty")
    return value


def optional_bool_at(container: JsonObject, key: str, field: str) -> bool:
    """Return the boolean at `key`, or False when it is missing or null."""
    value = container.get(key)
    if value is None:
        return False
    if not isinstance(value, bool):
        raise HookRequestError(field, f"must be a boolean, is {json_type(value)}")
    return value


def optional_count_at(container: JsonObject, key: str, field: str, default: int) -> int:
    """Return the integer (0 or more) at `key`, or `default` when it is missing or null."""
    value = container.get(key)
    if value is None:
        return default
    if not isinstance(value, int) or isinstance(value, bool):
        raise HookRequestError(field, f"must be an integer, is {json_type(value)}")
    if value < 0:
        raise HookRequestError(field, "must not be negative")
    return value


def object_in(annotation: str | None) -> JsonObject | None:
    """Return the JSON object that an annotation holds, None when there is none or somebody has made nonsense of it."""
    try:
        found = orjson.loads(annotation or "null")
    except orjson.JSONDecodeError:
        return None
    return found if isinstance(found, dict) else None


def json_type(value: object) -> str:
    """Name the JSON type of a parsed value, for messages."""
    match value:
        case None:
            return "null"
        case bool():
            return "a boolean"
        case int() | float():
            return "a number"
        case str():
            return "a string"
        case list():
            return "a list"
    return "an object"
