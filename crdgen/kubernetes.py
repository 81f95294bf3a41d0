"""Structural schemas of Kubernetes' own types, made from the API server's OpenAPI v3 document.

A CRD may hold no references, no unions and no formats of Go types; it needs a bound on each list for the cost of CEL
rules to be known. ``refinements.yaml`` adds what Kubernetes checks in code and so doesn't publish.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from crdgen.merging import merged

Schema = dict[str, Any]

LIST_BOUND: Final = 1024
"""``maxItems`` of a list that nobody bounded: more than any real Pod has."""

QUANTITY_PATTERN: Final = (
    r"^(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))"
    r"(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?$"
)
"""A quantity as controller-gen writes it."""

_INT_OR_STRING: Final[Schema] = {
    "anyOf": [{"type": "integer"}, {"type": "string"}],
    "x-kubernetes-int-or-string": True,
}
_SCALARS: Final = {
    "Quantity": {**_INT_OR_STRING, "pattern": QUANTITY_PATTERN},
    "IntOrString": _INT_OR_STRING,
    "Time": {"type": "string", "format": "date-time"},
}
"""Types whose OpenAPI schema is none that a CRD may have."""

_COPIED: Final = (
    "description",
    "type",
    "format",
    "enum",
    "required",
    "x-kubernetes-list-type",
    "x-kubernetes-list-map-keys",
    "x-kubernetes-map-type",
)
"""What is taken over; patch strategies and unions have no place in a CRD, defaults are set when the Pod is made."""


class UnknownTypeError(Exception):
    """A marker or a refinement names a type or a property that this Kubernetes doesn't have."""


@dataclass(frozen=True)
class Kubernetes:
    """The types of one API server."""

    types: Mapping[str, Schema]
    """Short name, for example ``Affinity`` -> its schema as published."""
    refinements: Mapping[str, Schema]
    """Short name -> what is laid over the schema wherever the type is used."""

    @classmethod
    def from_openapi(cls, document: Schema, refinements: Mapping[str, Schema]) -> Kubernetes:
        """Read ``/openapi/v3/api/v1``; raise UnknownTypeError when a refinement is about nothing."""
        types = {
            name.rsplit(".", 1)[-1]: schema for name, schema in document["components"]["schemas"].items()
        }
        _check(types, refinements)
        return cls(types, refinements)

    def schema(self, name: str, *, described: bool = True) -> Schema:
        """Return the structural schema of a type (``Affinity``) or of a property (``PodSpec.tolerations``)."""
        type_name, _, property_name = name.partition(".")
        if type_name not in self.types:
            raise UnknownTypeError(f"{name}: this Kubernetes has no type {type_name}")
        if not property_name:
            return self._type(type_name, described=described)
        properties = self._type(type_name, described=described, only=property_name)["properties"]
        return dict(properties[property_name])

    def _type(self, name: str, *, described: bool, only: str | None = None) -> Schema:
        if name in _SCALARS:
            return copy.deepcopy(_SCALARS[name])
        published, refinement = self.types[name], self.refinements.get(name, {})
        if only is not None:
            published, refinement = _narrowed(name, published, only), _narrowed(name, refinement, only)
        return merged(self._structural(published, described=described), refinement)

    def _structural(self, published: Schema, *, described: bool) -> Schema:
        """Return a published schema with its references inlined; its own description goes before the type's."""
        schema: Schema = {}
        for reference in _references(published):
            schema |= self._type(reference, described=described)
        schema |= {key: copy.deepcopy(published[key]) for key in _COPIED if key in published}
        if "properties" in published:
            schema["properties"] = {
                name: self._structural(published["properties"][name], described=described)
                for name in sorted(published["properties"])
            }
        for key in ("items", "additionalProperties"):
            if isinstance(published.get(key), dict):
                schema[key] = self._structural(published[key], described=described)
        if "items" in schema:
            schema["items"].pop("description", None)
            schema.setdefault("maxItems", LIST_BOUND)
            self._complete_keys(published, schema)
        if not described:
            schema.pop("description", None)
        elif "description" in schema:
            # True of a Pod, not of a pool: its next run gets a new one.
            schema["description"] = re.sub(
                r" ?(This field )?[Cc]annot be updated\.", "", schema["description"]
            )
        return schema

    def _complete_keys(self, published: Schema, schema: Schema) -> None:
        """Give the list's keys their defaults: the API server refuses keys that may be absent."""
        items = schema["items"]
        for key in schema.get("x-kubernetes-list-map-keys", ()):
            if key not in items.get("required", ()):
                (reference,) = _references(published["items"])
                items["properties"][key]["default"] = self.types[reference]["properties"][key]["default"]


def _references(schema: Schema) -> list[str]:
    return [
        str(each["$ref"]).rsplit(".", 1)[-1] for each in (schema, *schema.get("allOf", ())) if "$ref" in each
    ]


def _narrowed(name: str, schema: Schema, property_name: str) -> Schema:
    """Return an object's schema with one property alone: the others may be thousands of lines."""
    properties = schema.get("properties", {})
    if "type" in schema and property_name not in properties:
        raise UnknownTypeError(f"{name}.{property_name}: this Kubernetes has no such property")
    return {"properties": {property_name: properties[property_name]} if property_name in properties else {}}


def _check(types: Mapping[str, Schema], refinements: Mapping[str, Schema]) -> None:
    for name, refinement in refinements.items():
        if name not in types:
            raise UnknownTypeError(f"refinements: this Kubernetes has no type {name}")
        unknown = set(refinement.get("properties", {})) - set(types[name].get("properties", {}))
        if unknown:
            raise UnknownTypeError(f"refinements of {name}: no property {', '.join(sorted(unknown))}")
