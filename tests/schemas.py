"""Values that fit an openAPI schema of our CRDs, for property tests: mostly plausible ones, some at the edges."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml
from hypothesis import strategies as st

Schema = dict[str, Any]

CRDS: Final = Path(__file__).parent.parent / "crds"
_TEXTS: Final = st.sampled_from(
    [
        "a",
        "data",
        "workspace",
        "init",
        "example.com/image:1.0",
        "1",
        "500m",
        "/mnt/data",
        "/opt/spacelift",
        "Always",
        "x" * 64,
        "Upper_Case",
        "ünïcode",
        "",
        " ",
        "kubernetes.io/hostname",
        "True",
    ]
)
_QUANTITIES: Final = st.sampled_from(["1", "500m", "200Mi", "1e3", "0", "0.5", "-1", "1Gi"])
_SMALL: Final = st.integers(min_value=-1, max_value=70_000)


@cache
def workerpool_schema() -> Schema:
    """Return the schema of the stored version of WorkerPool."""
    crd = yaml.safe_load((CRDS / "workers.spacelift.io_workerpools.yaml").read_text())
    version = next(each for each in crd["spec"]["versions"] if each["storage"])
    schema: Schema = version["schema"]["openAPIV3Schema"]
    return schema


def values(schema: Schema, depth: int = 0) -> st.SearchStrategy[Any]:
    """Return a strategy for values that fit `schema`, as far as types, enums and bounds say."""
    if schema.get("x-kubernetes-int-or-string"):
        return st.one_of(_SMALL, _QUANTITIES)
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    match schema.get("type"):
        case "object":
            return _objects(schema, depth)
        case "array":
            return st.lists(
                values(schema.get("items", {}), depth + 1), max_size=min(schema.get("maxItems", 2), 2)
            )
        case "integer":
            return _integers(schema)
        case "number":
            return st.floats(allow_nan=False, allow_infinity=False)
        case "boolean":
            return st.booleans()
    return _texts(schema) if schema.get("type") == "string" else st.none()


def settings(fields: int = 4) -> st.SearchStrategy[dict[str, Any]]:
    """Return a strategy for ``spec.pod`` with up to `fields` of its fields, some of them null or empty."""
    properties: dict[str, Schema] = workerpool_schema()["properties"]["spec"]["properties"]["pod"][
        "properties"
    ]
    return st.lists(st.sampled_from(sorted(properties)), max_size=fields, unique=True).flatmap(
        lambda names: st.fixed_dictionaries(
            {name: st.one_of(values(properties[name]), st.none()) for name in names}
        )
    )


def _objects(schema: Schema, depth: int) -> st.SearchStrategy[dict[str, Any]]:
    properties: dict[str, Schema] = schema.get("properties", {})
    if not properties:
        items = schema.get("additionalProperties")
        return (
            st.dictionaries(_TEXTS, values(items, depth + 1), max_size=2)
            if isinstance(items, dict)
            else st.just({})
        )
    required = schema.get("required", [])
    optional = sorted(set(properties) - set(required))
    most = max(3 - depth // 2, 1)
    return (
        st.lists(st.sampled_from(optional), max_size=most, unique=True).flatmap(
            lambda names: st.fixed_dictionaries(
                {name: values(properties[name], depth + 1) for name in (*required, *names)}
            )
        )
        if optional
        else st.fixed_dictionaries({name: values(properties[name], depth + 1) for name in required})
    )


def _texts(schema: Schema) -> st.SearchStrategy[str]:
    pattern = schema.get("pattern")
    return st.one_of(_TEXTS, st.from_regex(pattern, fullmatch=True)) if pattern else _TEXTS


def _integers(schema: Schema) -> st.SearchStrategy[int]:
    low, high = schema.get("minimum", -1), schema.get("maximum", 70_000)
    return st.one_of(st.integers(low, max(high, low)), st.just(low))
