"""Names of the operator's vocabulary in the sources."""

import pytest

from app import vocabulary
from crdgen.source import resolved, vocabulary_words


def test_a_name_in_a_text_is_replaced_by_its_value() -> None:
    """Several values become the members of a CEL list."""
    words = {"ONE": "x", "MANY": ("a", "b"), "NUMBER": 5}
    assert resolved({"rule": ["self != '{{ONE}}' && !(self in [{{MANY}}])"]}, words) == {
        "rule": ["self != 'x' && !(self in ['a', 'b'])"]
    }
    assert resolved({"text": "{{NUMBER}} tries"}, words) == {"text": "5 tries"}


def test_a_name_alone_keeps_its_type() -> None:
    """A default of an integer field is a number."""
    assert resolved({"default": "{{NUMBER}}"}, {"NUMBER": 5}) == {"default": 5}


def test_a_source_may_define_names_from_names() -> None:
    """In their order; they don't appear in the result."""
    document = {"$let": {"a": "<{{ONE}}>", "b": "{{a}}{{a}}"}, "x": "{{b}}"}
    assert resolved(document, {"ONE": "1"}) == {"x": "<1><1>"}


def test_an_unknown_name_is_an_error() -> None:
    """A rule about nothing would admit everything."""
    with pytest.raises(ValueError, match="NOBODY"):
        resolved({"x": "{{NOBODY}}"}, {})


def test_the_vocabularys_names_are_known() -> None:
    """A renamed constant breaks the generation instead of a rule."""
    assert vocabulary_words()["RESERVED_CONTAINERS"] == vocabulary.RESERVED_CONTAINERS
