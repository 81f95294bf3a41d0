"""Kubernetes' published types become schemas that a CRD may hold."""

import json

import pytest

from crdgen.kubernetes import LIST_BOUND, QUANTITY_PATTERN, UnknownTypeError
from tests.unit.crdgen.samples import kubernetes


def test_references_are_inlined_with_descriptions_and_formats() -> None:
    """A property's own description goes before its type's."""
    things = kubernetes().schema("Bag.things")
    assert things["description"] == "What is in it."
    properties = things["items"]["properties"]
    assert properties["name"] == {"description": "Its name.", "type": "string"}
    assert properties["since"] == {"description": "When.", "type": "string", "format": "date-time"}


def test_quantities_and_ports_take_numbers_and_texts() -> None:
    """As controller-gen writes them."""
    either = {"anyOf": [{"type": "integer"}, {"type": "string"}], "x-kubernetes-int-or-string": True}
    assert kubernetes().schema("Bag.port") == either
    assert kubernetes().schema("Bag.size") == {**either, "pattern": QUANTITY_PATTERN}


def test_a_list_keeps_its_keys_and_those_that_may_be_absent_get_their_default() -> None:
    """The API server refuses list keys without; other defaults are left to it."""
    things = kubernetes().schema("Bag.things")
    assert (things["x-kubernetes-list-type"], things["x-kubernetes-list-map-keys"]) == (
        "map",
        ["name", "kind"],
    )
    properties = things["items"]["properties"]
    assert properties["kind"]["default"] == "Small"
    assert "default" not in properties["name"]
    assert "default" not in kubernetes().schema("Thing.kind")


def test_every_list_is_bounded_and_nothing_is_left_that_a_crd_may_not_hold() -> None:
    """Patch strategies, unions and references are the API server's own."""
    bag = kubernetes().schema("Bag")
    assert bag["properties"]["things"]["maxItems"] == LIST_BOUND
    text = json.dumps(bag)
    assert not any(
        word in text for word in ("$ref", "allOf", "oneOf", "x-kubernetes-patch", "x-kubernetes-unions")
    )


def test_descriptions_can_be_left_out() -> None:
    """For a version that nobody should write any more."""
    assert "description" not in json.dumps(kubernetes().schema("Bag", described=False))


def test_a_refinement_holds_wherever_the_type_is_used() -> None:
    """Also where it is reached through another one."""
    refined = kubernetes(Thing={"properties": {"name": {"maxLength": 63}}})
    assert refined.schema("Thing.name")["maxLength"] == 63
    assert refined.schema("Bag")["properties"]["things"]["items"]["properties"]["name"]["maxLength"] == 63


def test_asking_twice_gives_the_same_and_shares_nothing() -> None:
    """A caller may change what it got."""
    types = kubernetes(Thing={"properties": {"name": {"maxLength": 63}}})
    first = types.schema("Bag")
    first["properties"]["things"]["items"]["properties"]["name"]["maxLength"] = 1
    first["properties"]["things"]["x-kubernetes-list-map-keys"].append("more")
    assert types.schema("Bag")["properties"]["things"]["items"]["properties"]["name"]["maxLength"] == 63
    assert types.schema("Bag.things")["x-kubernetes-list-map-keys"] == ["name", "kind"]


@pytest.mark.parametrize("name", ["Sack", "Bag.colour"])
def test_an_unknown_type_or_property_is_named(name: str) -> None:
    """A newer Kubernetes may have dropped it."""
    with pytest.raises(UnknownTypeError, match=name):
        kubernetes().schema(name)


def test_a_refinement_of_nothing_is_an_error() -> None:
    """Otherwise a check would silently be gone with the next Kubernetes."""
    with pytest.raises(UnknownTypeError, match="Sack"):
        kubernetes(Sack={})
    with pytest.raises(UnknownTypeError, match="colour"):
        kubernetes(Bag={"properties": {"colour": {}}})
