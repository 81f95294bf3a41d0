"""The text of a generated file."""

import yaml

from crdgen.output import render

DEFINITION = {
    "kind": "X",
    "spec": {
        "versions": [
            {"served": True, "name": "v1", "schema": {"properties": {"b": {"type": "string"}, "a": {}}}}
        ]
    },
}


def test_the_header_says_how_to_make_the_file_and_from_what() -> None:
    """Command, source and version of Kubernetes."""
    text = render(DEFINITION, "x.yaml", "v9.9.9")
    header = text[: text.index("kind:")]
    assert all(part in header for part in ("python -m crdgen", "crdgen/x.yaml", "v9.9.9"))
    assert yaml.safe_load(text) == DEFINITION


def test_the_same_definition_gives_the_same_text() -> None:
    """Whatever order its keys came in; the fields of an API object stay in the source's order."""
    turned = {"spec": {"versions": [dict(reversed(DEFINITION["spec"]["versions"][0].items()))]}, "kind": "X"}  # type: ignore[index]
    assert render(turned, "x.yaml", "v1") == render(DEFINITION, "x.yaml", "v1")
    assert render(DEFINITION, "x.yaml", "v1").index("b:") < render(DEFINITION, "x.yaml", "v1").index("a: {}")


def test_values_that_share_an_object_are_written_out() -> None:
    """Anchors would make the file unreadable, and kubectl would have to resolve them."""
    shared = {"type": "string"}
    text = render({"a": shared, "b": shared, "text": "one\ntwo"}, "x.yaml", "v1")
    assert "&" not in text.split("\n", 2)[2]
    assert "text: |-\n  one\n  two\n" in text
