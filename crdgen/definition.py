"""From a source to a CustomResourceDefinition: markers replaced by schemas, versions that share one schema completed."""

from __future__ import annotations

import re
from typing import Any, Final

from crdgen.kubernetes import Kubernetes, Schema
from crdgen.merging import merged

MARKER: Final = "$kubernetes"
"""Name of a type or property of Kubernetes; the keys beside it are laid over its schema."""
NULLS: Final = "$nulls"
"""True: every optional field below may be null, which means the same as leaving it out."""
LIKE: Final = "$like"
"""In a version: the name of the version that it takes everything but its own keys from."""


def expand(source: Schema, kubernetes: Kubernetes) -> Schema:
    """Return the CRD that a source describes; raise UnknownTypeError or ValueError where it can't be followed."""
    written = {version["name"]: version for version in source["spec"]["versions"]}
    versions = [_version(version, written, kubernetes) for version in source["spec"]["versions"]]
    return {**source, "spec": {**source["spec"], "versions": versions}}


def _version(version: Schema, written: dict[str, Schema], kubernetes: Kubernetes) -> Schema:
    """Return a version with its schema.

    One that is like another goes without Kubernetes' descriptions: the whole CRD has to fit into one etcd request,
    and ``kubectl explain`` shows them for the version that people should use.
    """
    own = {key: value for key, value in version.items() if key != LIKE}
    base = written[version[LIKE]] if LIKE in version else {}
    return {key: _expanded(value, kubernetes, described=not base) for key, value in {**base, **own}.items()}


def _expanded(value: Any, kubernetes: Kubernetes, *, described: bool) -> Any:  # noqa: ANN401 - any YAML value
    if isinstance(value, list):
        return [_expanded(item, kubernetes, described=described) for item in value]
    if not isinstance(value, dict):
        return value
    neighbours = {
        key: _expanded(item, kubernetes, described=described)
        for key, item in value.items()
        if key not in (MARKER, NULLS)
    }
    if value.get(NULLS):
        return accepting_nulls(neighbours)
    if MARKER not in value:
        return neighbours
    return merged(kubernetes.schema(value[MARKER], described=described), neighbours)


def accepting_nulls(schema: Schema) -> Schema:
    """Return the schema with every optional property nullable.

    The API server drops nulls of other properties from what is created or updated, but not from a server-side apply,
    which it would refuse. A property with a default gets that instead of a null.
    """
    result = dict(schema)
    for key in ("items", "additionalProperties"):
        if isinstance(result.get(key), dict):
            result[key] = accepting_nulls(result[key])
    if "properties" in result:
        optional = set(result["properties"]) - set(result.get("required", ()))
        result["properties"] = {
            name: accepting_nulls(_nullable(each) if name in optional and "default" not in each else each)
            for name, each in result["properties"].items()
        }
    return result


def _nullable(schema: Schema) -> Schema:
    """Return the schema for a value or null; the API server finds a null in no enum, so that one becomes a pattern."""
    members = schema.get("enum")
    if members is None:
        return {**schema, "nullable": True}
    rest = {key: value for key, value in schema.items() if key != "enum"}
    return {**rest, "nullable": True, "pattern": f"^({'|'.join(re.escape(each) for each in members)})$"}
