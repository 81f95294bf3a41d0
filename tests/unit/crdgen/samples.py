"""A very small Kubernetes for the tests of the generator."""

from __future__ import annotations

from typing import Any

from crdgen.kubernetes import Kubernetes

Json = dict[str, Any]


def reference(name: str) -> Json:
    """Return a reference as the API server publishes it."""
    return {"$ref": f"#/components/schemas/{name}"}


CORE = "io.k8s.api.core.v1."
TYPES: Json = {
    f"{CORE}Bag": {
        "description": "Bag holds things.",
        "type": "object",
        "required": ["things"],
        "properties": {
            "things": {
                "description": "What is in it.",
                "type": "array",
                "items": {"default": {}, "allOf": [reference(f"{CORE}Thing")]},
                "x-kubernetes-list-type": "map",
                "x-kubernetes-list-map-keys": ["name", "kind"],
                "x-kubernetes-patch-strategy": "merge",
                "x-kubernetes-patch-merge-key": "name",
            },
            "size": {"allOf": [reference("io.k8s.apimachinery.pkg.api.resource.Quantity")]},
            "port": reference("io.k8s.apimachinery.pkg.util.intstr.IntOrString"),
            "tags": {"type": "object", "additionalProperties": {"type": "string", "default": ""}},
        },
    },
    f"{CORE}Thing": {
        "description": "Thing is one of them.",
        "type": "object",
        "required": ["name"],
        "x-kubernetes-unions": [{"discriminator": "kind"}],
        "properties": {
            "name": {"description": "Its name.", "type": "string", "default": ""},
            "kind": {"type": "string", "default": "Small", "enum": ["Large", "Small"]},
            "since": {
                "allOf": [reference("io.k8s.apimachinery.pkg.apis.meta.v1.Time")],
                "description": "When.",
            },
        },
    },
    "io.k8s.apimachinery.pkg.api.resource.Quantity": {"oneOf": [{"type": "string"}, {"type": "number"}]},
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": {"format": "int-or-string"},
    "io.k8s.apimachinery.pkg.apis.meta.v1.Time": {"type": "string", "format": "date-time"},
}


def openapi(types: Json = TYPES) -> Json:
    """Return an OpenAPI document."""
    return {"components": {"schemas": types}}


def kubernetes(**refinements: Json) -> Kubernetes:
    """Return that Kubernetes, with refinements by the name of their type."""
    return Kubernetes.from_openapi(openapi(), refinements)
