"""A container's environment and command line."""

from typing import Any

import pytest

from devcluster.node.env import ConfigError, Scope, command_line, environment, expand
from devcluster.node.fields import NodeFacts

Json = dict[str, Any]
NODE = NodeFacts("node-1", "127.0.0.1", {"cpu": "2", "memory": "4Gi"})
POD: Json = {
    "metadata": {
        "name": "p",
        "namespace": "ns",
        "uid": "u",
        "labels": {"a/b": "c"},
        "annotations": {"x": 'q"'},
    },
    "spec": {
        "serviceAccountName": "sa",
        "containers": [{"name": "c", "resources": {"limits": {"cpu": "1500m"}}}],
    },
}
DATA = {("Secret", "s"): {"k": b"secret"}, ("ConfigMap", "m"): {"one": b"1"}}
SCOPE = Scope(POD, NODE, lambda kind, name: DATA.get((kind, name)))


def value_of(source: Json) -> str | None:
    """Return the value of a variable with that source, None when it isn't set."""
    container = {"name": "c", "env": [{"name": "V", "valueFrom": source}]}
    return environment(container, SCOPE, {}).get("V")


@pytest.mark.parametrize(
    ("text", "expanded"),
    [("$(A)-$(B)", "1-$(B)"), ("$$(A)", "$(A)"), ("$A", "$A"), ("$(", "$("), ("$$$(A)", "$1")],
)
def test_references_are_expanded_as_kubernetes_does(text: str, expanded: str) -> None:
    """Unknown names stay; a doubled dollar escapes."""
    assert expand(text, {"A": "1"}) == expanded


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("metadata.name", "p"),
        ("metadata.uid", "u"),
        ("metadata.labels['a/b']", "c"),
        ("metadata.annotations['none']", ""),
        ("metadata.annotations", 'x="q\\""'),
        ("spec.nodeName", "node-1"),
        ("spec.serviceAccountName", "sa"),
        ("status.podIP", "127.0.0.1"),
    ],
)
def test_fields_of_the_pod_are_available(path: str, value: str) -> None:
    """The downward API's fields, labels and annotations by key."""
    assert value_of({"fieldRef": {"fieldPath": path}}) == value


def test_resources_fall_back_to_what_the_node_has() -> None:
    """A limit is rounded up to the divisor; without one the node's allocatable counts."""
    assert value_of({"resourceFieldRef": {"resource": "limits.cpu"}}) == "2"
    assert value_of({"resourceFieldRef": {"resource": "limits.cpu", "divisor": "1m"}}) == "1500"
    assert value_of({"resourceFieldRef": {"resource": "limits.memory", "divisor": "1Mi"}}) == "4096"


def test_missing_keys_are_an_error_unless_optional() -> None:
    """The error names what is missing as a kubelet does."""
    with pytest.raises(ConfigError, match='secret "nope" not found'):
        value_of({"secretKeyRef": {"name": "nope", "key": "k"}})
    with pytest.raises(ConfigError, match="couldn't find key other in Secret ns/s"):
        value_of({"secretKeyRef": {"name": "s", "key": "other"}})
    assert value_of({"secretKeyRef": {"name": "nope", "key": "k", "optional": True}}) is None


def test_later_sources_win_and_earlier_ones_can_be_referred_to() -> None:
    """Env goes before envFrom, which goes before the image's."""
    container = {
        "name": "c",
        "envFrom": [{"prefix": "P_", "configMapRef": {"name": "m"}}, {"secretRef": {"name": "s"}}],
        "env": [{"name": "k", "value": "own"}, {"name": "X", "value": "$(k)$(P_one)"}],
    }
    assert environment(container, SCOPE, {"k": "image"}) == {"k": "own", "P_one": "1", "X": "own1"}


@pytest.mark.parametrize(
    ("fields", "argv"),
    [
        ({}, ["entry", "cmd"]),
        ({"args": ["$(A)"]}, ["entry", "1"]),
        ({"command": ["run"]}, ["run"]),
        ({"command": ["run"], "args": ["x"]}, ["run", "x"]),
    ],
)
def test_command_and_args_override_the_image(fields: Json, argv: list[str]) -> None:
    """A command also drops the image's default arguments."""
    assert command_line(fields, ["entry"], ["cmd"], {"A": "1"}) == argv
