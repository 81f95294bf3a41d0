"""Validation of messages against the published JSON Schemas of ``protocol/schemas/``.

The schemas are the contract for other implementations; validating with the same files means that they can't
drift from what this implementation accepts.
"""

import json
from functools import cache
from importlib import resources
from typing import Any

import jsonschema
from referencing import Registry, Resource

_BASE = "https://workers.spacelift.io/protocol/v1/"


def schema_names() -> list[str]:
    """Return the message types that have a schema, sorted."""
    names = [
        item.name.removesuffix(".json") for item in resources.files("protocol").joinpath("schemas").iterdir()
    ]
    return sorted(name for name in names if name != "common")


def load_schema(name: str) -> dict[str, Any]:
    """Return the JSON Schema of a message type; raise FileNotFoundError when there is none."""
    text = resources.files("protocol").joinpath("schemas", f"{name}.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema


def first_violation(message_type: str, data: Any) -> str | None:  # noqa: ANN401 - any JSON value
    """Return what is wrong with `data` as "field PATH RULE", or None when it fits its schema.

    The offending value is never repeated: it may be a secret.
    """
    error = jsonschema.exceptions.best_match(_validator(message_type).iter_errors(data))
    if error is None:
        return None
    path = ".".join(str(part) for part in error.absolute_path) or "(message)"
    if error.validator == "required":
        present = error.instance if isinstance(error.instance, dict) else {}
        missing = [name for name in error.validator_value if name not in present]
        return f"field {path}: {', '.join(missing)} missing"
    return f"field {path}: does not satisfy {error.validator} {json.dumps(error.validator_value)}"


@cache
def _validator(message_type: str) -> jsonschema.Draft202012Validator:
    common: Resource[Any] = Resource.from_contents(load_schema("common"))
    registry: Registry[Any] = Registry().with_resource(_BASE + "common.json", common)
    return jsonschema.Draft202012Validator(load_schema(message_type), registry=registry)
