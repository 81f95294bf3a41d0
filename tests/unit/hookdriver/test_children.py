"""The plan that turns observed children into desired ones."""

from devcluster.hookdriver.apply import LAST_APPLIED, with_last_applied
from devcluster.hookdriver.children import Method, Plan, Unchanged, Verb, plan
from devcluster.hookdriver.objects import Json, Object, controller_reference, grouped, with_metadata

PARENT: Object = {
    "apiVersion": "example.com/v1",
    "kind": "Pool",
    "metadata": {"name": "pool", "namespace": "ns", "uid": "parent"},
}


def child(name: str, data: str = "x", **metadata: Json) -> Object:
    """Return a desired child."""
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": name, "namespace": "ns", **metadata},
        "data": {"text": data},
    }


def observed_child(name: str, data: str = "x", **metadata: Json) -> Object:
    """Return a child as it was created for the same desire."""
    made = with_last_applied(child(name, data), child(name, data))
    system = {"uid": f"uid-{name}", "resourceVersion": "1", **metadata}
    return with_metadata(made, ownerReferences=[controller_reference(PARENT)], **system)


def planned(
    observed: list[Object],
    desired: list[Object],
    method: Method = Method.IN_PLACE,
    memory: Unchanged | None = None,
) -> Plan:
    """Return the plan for these children."""
    return plan(PARENT, grouped(observed), grouped(desired), lambda _: method, memory)


def test_deletions_come_before_creations() -> None:
    """What isn't desired goes first, then what is missing comes."""
    result = planned([observed_child("old")], [child("new")])

    assert [(step.verb, step.child["metadata"]["name"]) for step in result.operations] == [
        (Verb.DELETE, "old"),
        (Verb.CREATE, "new"),
    ]


def test_equal_children_are_left_alone() -> None:
    """A child made for the same desire needs nothing, with or without memory."""
    memory = Unchanged()

    assert planned([observed_child("a")], [child("a")], memory=memory).operations == ()
    assert planned([observed_child("a")], [child("a")], memory=memory).operations == ()


def test_memory_does_not_hide_a_change_of_either_side() -> None:
    """A child that was equal before is compared again when it, or what is desired, changed."""
    memory = Unchanged()
    planned([observed_child("a")], [child("a")], memory=memory)
    by_hand = observed_child("a", resourceVersion="2") | {"data": {"text": "by hand"}}

    assert planned([observed_child("a")], [child("a", "y")], memory=memory).operations[0].verb is Verb.UPDATE
    assert planned([by_hand], [child("a")], memory=memory).operations[0].verb is Verb.UPDATE


def test_on_delete_never_updates() -> None:
    """The default strategy waits until somebody deletes the child."""
    assert planned([observed_child("a")], [child("a", "y")], Method.ON_DELETE).operations == ()


def test_recreate_deletes_first() -> None:
    """The new child comes with the next sync, when the old one is gone."""
    result = planned([observed_child("a")], [child("a", "y")], Method.RECREATE)

    assert [step.verb for step in result.operations] == [Verb.DELETE]


def test_terminating_children_are_neither_updated_nor_deleted_again() -> None:
    """Whatever is on its way out is waited for."""
    leaving = observed_child("a", deletionTimestamp="2026-01-01T00:00:00Z")

    assert planned([leaving], [child("a", "y")]).operations == ()
    assert planned([leaving], []).operations == ()


def test_the_parent_joins_the_owners_that_the_hook_gave() -> None:
    """It comes last, as the controller; what is remembered as applied has the hook's owners only."""
    secret = {"apiVersion": "v1", "kind": "Secret", "name": "s", "uid": "u"}

    created = planned([], [child("a", ownerReferences=[secret])]).operations[0].child

    assert created["metadata"]["ownerReferences"] == [secret, controller_reference(PARENT)]
    assert "parent" not in created["metadata"]["annotations"][LAST_APPLIED]


def test_one_bad_child_does_not_stop_the_others() -> None:
    """What can't be merged is reported beside the plan for the rest."""
    broken = observed_child("a", annotations={LAST_APPLIED: "no JSON"})

    result = planned([broken], [child("a"), child("b")])

    assert [step.child["metadata"]["name"] for step in result.operations] == ["b"]
    assert "ns/a" in result.errors[0]
