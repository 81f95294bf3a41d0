"""The three-way merge."""

import json

import pytest

from devcluster.hookdriver.apply import LAST_APPLIED, go_json, last_applied, merge, updated, with_last_applied
from devcluster.hookdriver.errors import SyncError
from devcluster.hookdriver.objects import Object


def config_map(data: Object, **metadata: object) -> Object:
    """Return a ConfigMap."""
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a", **metadata}, "data": data}


def test_fields_no_longer_desired_go_and_foreign_ones_stay() -> None:
    """Only what was applied before and isn't desired now is taken out."""
    observed = {"ours": 1, "dropped": 2, "foreign": 3}

    merged = merge(observed, {"ours": 1, "dropped": 2}, {"ours": 9})

    assert merged == {"ours": 9, "foreign": 3}
    assert observed == {"ours": 1, "dropped": 2, "foreign": 3}


def test_lists_of_named_objects_merge_like_maps() -> None:
    """Containers are matched by name, keep their order, and fields set by others survive."""
    observed = [{"name": "b", "image": "1", "defaulted": True}, {"name": "a"}, {"name": "foreign"}]

    merged = merge(observed, [{"name": "b"}, {"name": "a"}], [{"name": "c"}, {"name": "b", "image": "2"}])

    assert merged == [{"name": "b", "image": "2", "defaulted": True}, {"name": "foreign"}, {"name": "c"}]


def test_items_with_one_key_become_copies_of_one_another() -> None:
    """Two ports of one number (TCP and UDP) can't be told apart: a sharp edge that is kept."""
    observed = [{"port": 53, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}]

    assert merge(observed, [], observed) == [observed[1], observed[1]]


def test_other_lists_are_replaced() -> None:
    """Lists of scalars have no keys to merge by."""
    assert merge(["a", "b"], ["a"], ["c"]) == ["c"]


def test_a_scalar_does_not_replace_an_object() -> None:
    """A desired value of another type than the observed object or map is passed over."""
    assert merge({"field": {"a": 1}}, {}, {"field": None}) == {"field": {"a": 1}}


def test_an_update_never_touches_status_and_system_fields() -> None:
    """What the server owns is as observed, whatever the hook returned."""
    observed = {**config_map({"k": "v"}, uid="u", resourceVersion="7"), "status": {"real": True}}
    desired = {**config_map({"k": "w"}, uid="other", generation=5), "status": {"real": False}}

    result = updated(observed, desired)

    assert result["status"] == {"real": True}
    assert (result["metadata"]["uid"], result["metadata"]["resourceVersion"]) == ("u", "7")
    assert "generation" not in result["metadata"]
    assert result["data"] == {"k": "w"}


def test_an_update_remembers_what_was_applied_without_the_memory_of_before() -> None:
    """A hook that returns the observed child doesn't nest the annotation in itself."""
    observed = with_last_applied(config_map({"k": "v"}), config_map({"k": "v"}))

    result = updated(observed, observed)

    assert LAST_APPLIED not in json.loads(result["metadata"]["annotations"][LAST_APPLIED])["metadata"].get(
        "annotations", {}
    )


def test_the_annotation_is_what_go_would_write() -> None:
    """Keys are sorted and HTML is escaped, so that a real Metacontroller finds nothing to change."""
    assert go_json({"b": "<&>\u2028é", "a": [1, True, None]}) == (
        '{"a":[1,true,null],"b":"\\u003c\\u0026\\u003e\\u2028é"}'
    )


def test_a_broken_annotation_is_an_error_of_the_sync() -> None:
    """Without knowing what was applied nothing can be merged."""
    with pytest.raises(SyncError, match="last-applied"):
        last_applied(config_map({}, annotations={LAST_APPLIED: "{"}))
