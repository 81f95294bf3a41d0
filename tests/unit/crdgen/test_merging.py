"""What the keys beside a marker do to the schema that the marker stands for."""

import pytest

from crdgen.merging import merged


def test_objects_merge_and_other_values_replace() -> None:
    """One key is changed without repeating the rest."""
    schema = {"type": "array", "items": {"type": "string", "minLength": 1}, "maxItems": 9}
    assert merged(schema, {"items": {"minLength": 2}, "maxItems": 3}) == {
        "type": "array",
        "items": {"type": "string", "minLength": 2},
        "maxItems": 3,
    }


def test_null_takes_a_key_away() -> None:
    """A volume of ours needs no name."""
    assert merged({"type": "object", "required": ["name"]}, {"required": None}) == {"type": "object"}


def test_rules_add_up() -> None:
    """Those of the type still hold where one more is needed."""
    assert merged({"x-kubernetes-validations": [1]}, {"x-kubernetes-validations": [2]}) == {
        "x-kubernetes-validations": [1, 2]
    }


def test_properties_are_chosen_by_name() -> None:
    """Some of them, or all but some."""
    schema: dict[str, object] = {"properties": {"a": {}, "b": {}}}
    assert merged(schema, {"$only": ["a"]}) == {"properties": {"a": {}}}
    assert merged(schema, {"$without": ["a"]}) == {"properties": {"b": {}}}


def test_the_empty_text_can_be_one_of_an_enum() -> None:
    """For values that are the same empty and absent."""
    assert merged({"enum": ["A"]}, {"$empty": True}) == {"enum": ["", "A"]}


@pytest.mark.parametrize("over", [{"properties": {"c": {}}}, {"$only": ["c"]}, {"$without": ["c"]}])
def test_a_change_to_a_property_that_is_not_there_is_an_error(over: dict[str, object]) -> None:
    """A newer Kubernetes may have renamed it."""
    with pytest.raises(ValueError, match="no property c"):
        merged({"properties": {"a": {}}}, over)


def test_neither_argument_is_changed() -> None:
    """A refinement is used in many places."""
    schema, over = {"items": {"a": 1}}, {"items": {"b": {"c": 1}}}
    merged(schema, over)["items"]["b"]["c"] = 2
    assert (schema, over) == ({"items": {"a": 1}}, {"items": {"b": {"c": 1}}})
