"""Names of components: groups, and what each needs."""

import pytest

from devcluster.components import (
    COMPONENTS,
    CONTROL_PLANE,
    GROUPS,
    NODE_PARTS,
    OBJECTS,
    STOP_ORDER,
    kind,
    replicas,
    resolve,
)


def test_the_control_plane_alone_is_three_programs() -> None:
    """Tests of single parts start no more than they need."""
    assert resolve({"controlplane"}) == set(CONTROL_PLANE)


def test_what_a_component_needs_comes_with_it() -> None:
    """The operator needs its roles, they need an API server, that needs etcd."""
    assert resolve({"operator"}) == {"operator", OBJECTS, *CONTROL_PLANE}
    assert resolve({"mothership"}) == {"mothership", "mosquitto"}


def test_all_is_everything() -> None:
    """The default cluster leaves nothing out."""
    assert resolve({"all"}) == set(GROUPS["all"])


def test_resolving_twice_changes_nothing() -> None:
    """Options may hold names or what they resolve to."""
    once = resolve({"node", "broker"})
    assert resolve(once) == once


def test_an_unknown_component_is_named_with_the_choices() -> None:
    """A misspelt part is an error, not an empty cluster."""
    with pytest.raises(ValueError, match=r"'brokr'.*mosquitto"):
        resolve({"brokr"})


def test_every_component_has_its_place_in_the_order_of_stopping() -> None:
    """One that were missing there would be left to the kernel."""
    assert sorted(name for row in STOP_ORDER for name in row) == sorted([*COMPONENTS, *NODE_PARTS])


def test_replicas_of_the_operator_have_names_of_their_own() -> None:
    """The first is called as the only one is."""
    assert replicas(1) == ("operator",)
    assert replicas(3) == ("operator", "operator-2", "operator-3")
    assert {kind(name) for name in replicas(3)} == {"operator"}
    assert kind("mosquitto") == "mosquitto"


@pytest.mark.parametrize("count", [0, -1, 10])
def test_too_many_replicas_or_none_are_refused(count: int) -> None:
    """Rather than started one by one."""
    with pytest.raises(ValueError, match=f"{count} replicas"):
        replicas(count)
