"""Laying one schema over another: how a marker's neighbours and a refinement change what Kubernetes publishes."""

from __future__ import annotations

import copy
from typing import Any, Final

Schema = dict[str, Any]

RULES: Final = "x-kubernetes-validations"
WITHOUT: Final = "$without"
"""Names of properties that are left out."""
ONLY: Final = "$only"
"""Names of the properties that stay."""
EMPTY: Final = "$empty"
"""True: the empty text counts as not given, so it is one of the enum."""
ONE: Final = "$one"
"""A union: of all properties but those `besides` exactly one is given, or none when it is `optional`; `message` if not."""


def merged(schema: Schema, over: Schema) -> Schema:
    """Return `schema` changed by `over`: objects merge, rules add up, null removes a key, all else replaces.

    Raise ValueError when `over` is about a property that `schema` doesn't have.
    """
    result = dict(schema)
    for key, value in over.items():
        if key in (WITHOUT, ONLY):
            result["properties"] = _selected(result["properties"], value, keep=key == ONLY)
        elif key == EMPTY:
            result["enum"] = ["", *result["enum"]]
        elif key == ONE:
            result[RULES] = [*result.get(RULES, ()), _union(result["properties"], value)]
        elif value is None:
            result.pop(key, None)
        elif key == RULES:
            result[key] = [*result.get(key, ()), *copy.deepcopy(value)]
        elif key == "properties":
            result[key] = _properties(result.get(key, {}), value)
        elif isinstance(value, dict) and isinstance(result.get(key), dict):
            result[key] = merged(result[key], value)
        else:
            result[key] = copy.deepcopy(value)
    return result


def _properties(properties: Schema, over: Schema) -> Schema:
    unknown = sorted(set(over) - set(properties))
    if unknown:
        raise ValueError(f"no property {', '.join(unknown)} to change: there are {', '.join(properties)}")
    return {
        name: merged(schema, over[name]) if name in over else schema for name, schema in properties.items()
    }


def _selected(properties: Schema, names: list[str], *, keep: bool) -> Schema:
    unknown = sorted(set(names) - set(properties))
    if unknown:
        raise ValueError(f"no property {', '.join(unknown)} to choose: there are {', '.join(properties)}")
    return {name: schema for name, schema in properties.items() if (name in names) is keep}


def _union(properties: Schema, union: Schema) -> Schema:
    """Return the rule of a union. Kubernetes publishes none, and a newer one has members that this one lacks."""
    members = sorted(set(properties) - set(union.get("besides", ())))
    given = ", ".join(f"has(self.{member})" for member in members)
    wanted = "<= 1" if union.get("optional") else "== 1"
    return {"rule": f"[{given}].filter(g, g).size() {wanted}", "message": union["message"]}
