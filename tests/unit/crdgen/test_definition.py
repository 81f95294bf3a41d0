"""From a source with markers to a CRD."""

from typing import Any

from crdgen.definition import accepting_nulls, expand
from tests.unit.crdgen.samples import kubernetes

Json = dict[str, Any]


def source(schema: Json, *others: Json) -> Json:
    """Return a source whose first version has the schema."""
    return {
        "kind": "X",
        "spec": {"group": "g", "versions": [{"name": "v1", "schema": schema, "served": True}, *others]},
    }


def schema_of(crd: Json, version: int = 0) -> Json:
    """Return a version's schema."""
    found: Json = crd["spec"]["versions"][version]["schema"]
    return found


def test_a_marker_becomes_the_schema_it_names_with_its_neighbours_laid_over() -> None:
    """Anywhere in the tree; the rest of the source stays as it is."""
    crd = expand(
        source({"properties": {"bag": {"$kubernetes": "Bag.tags", "description": "Mine."}}}), kubernetes()
    )
    assert schema_of(crd)["properties"]["bag"] == {
        "description": "Mine.",
        "type": "object",
        "additionalProperties": {"type": "string"},
    }
    assert (crd["kind"], crd["spec"]["group"]) == ("X", "g")


def test_a_marker_may_stand_in_what_changes_another() -> None:
    """Neighbours are expanded before they are laid over."""
    inner = {"items": {"properties": {"name": {"$kubernetes": "Bag.port"}}}}
    crd = expand(source({"$kubernetes": "Bag.things", **inner}), kubernetes())
    assert schema_of(crd)["items"]["properties"]["name"]["x-kubernetes-int-or-string"] is True


def test_a_version_like_another_has_its_schema_without_kubernetes_descriptions() -> None:
    """Those written here stay; its own keys go before the other's."""
    schema = {"properties": {"bag": {"$kubernetes": "Bag", "description": "Mine."}}}
    crd = expand(source(schema, {"name": "v0", "$like": "v1", "deprecated": True}), kubernetes())
    new, old = crd["spec"]["versions"]
    assert (old["name"], old["served"], old["deprecated"]) == ("v0", True, True)
    assert "description" in new["schema"]["properties"]["bag"]["properties"]["things"]
    assert "description" not in old["schema"]["properties"]["bag"]["properties"]["things"]
    assert old["schema"]["properties"]["bag"]["description"] == "Mine."


def test_optional_properties_accept_nulls_at_any_depth() -> None:
    """But neither required ones nor those with a default, which the API server fills in."""
    schema = accepting_nulls(
        {
            "type": "object",
            "required": ["must"],
            "properties": {
                "must": {"type": "object", "properties": {"may": {"type": "string"}}},
                "filled": {"type": "integer", "default": 1},
                "many": {
                    "type": "array",
                    "items": {"type": "object", "properties": {"may": {"type": "string"}}},
                },
            },
        }
    )
    must, filled, many = (schema["properties"][name] for name in ("must", "filled", "many"))
    assert "nullable" not in must
    assert "nullable" not in filled
    assert must["properties"]["may"]["nullable"] is True
    assert many["nullable"] is True
    assert "nullable" not in many["items"]
    assert many["items"]["properties"]["may"]["nullable"] is True


def test_an_optional_enum_becomes_a_pattern() -> None:
    """The API server finds a null in no enum, not even in one that lists it."""
    schema = accepting_nulls({"properties": {"a": {"type": "string", "enum": ["", "A+1"]}}})
    assert schema["properties"]["a"] == {"type": "string", "nullable": True, "pattern": r"^(|A\+1)$"}


def test_the_request_for_nulls_is_a_marker() -> None:
    """It doesn't appear in what is made."""
    crd = expand(source({"$nulls": True, "properties": {"bag": {"$kubernetes": "Bag"}}}), kubernetes())
    bag = schema_of(crd)["properties"]["bag"]
    assert bag["nullable"] is True
    assert bag["properties"]["size"]["nullable"] is True
    assert "nullable" not in bag["properties"]["things"]
    assert "$nulls" not in schema_of(crd)
