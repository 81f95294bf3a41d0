"""Hook requests, hook responses and the controller objects they come from."""

import time

import pytest

from devcluster.hookdriver.children import Method
from devcluster.hookdriver.config import ControllerConfig, parse_controller
from devcluster.hookdriver.contract import parse_sync_response, sync_request
from devcluster.hookdriver.errors import ConfigError, HookError, SyncError
from devcluster.hookdriver.objects import Json, Object, grouped, identical
from devcluster.hookdriver.related import parse_rule
from devcluster.hookdriver.settings import parse_settings
from devcluster.hookdriver.webhook import retry_after

PARENT: Object = {
    "apiVersion": "example.com/v1",
    "kind": "Pool",
    "metadata": {"name": "p", "namespace": "ns"},
}
POD: Object = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "namespace": "ns"}}
SYNC = {"sync": {"webhook": {"url": "http://hooks/sync"}}}


def composite(**spec: Json) -> ControllerConfig:
    """Parse a CompositeController."""
    parent = {"apiVersion": "example.com/v1", "resource": "pools"}
    return parse_controller(
        {
            "kind": "CompositeController",
            "metadata": {"name": "c"},
            "spec": {"parentResource": parent, "hooks": SYNC, **spec},
        }
    )


def decorator() -> ControllerConfig:
    """Parse a DecoratorController."""
    rule = {"apiVersion": "example.com/v1", "resource": "pools"}
    return parse_controller(
        {
            "kind": "DecoratorController",
            "metadata": {"name": "d"},
            "spec": {"resources": [rule], "hooks": SYNC},
        }
    )


def test_a_request_names_children_by_kind_and_relative_name() -> None:
    """`Kind.group/version`, then the name alone below a namespaced parent."""
    request = sync_request(composite(), PARENT, grouped([POD]), {}, finalizing=False, version="v1")

    assert request["children"] == {"Pod.v1": {"a": POD}}
    assert (request["parent"], request["related"], request["finalizing"]) == (PARENT, {}, False)


def test_a_version_2_request_names_children_with_their_namespace() -> None:
    """So does version 1 below a cluster-scoped parent."""
    cluster_scoped = {**PARENT, "metadata": {"name": "p"}}
    second = sync_request(composite(), PARENT, grouped([POD]), {}, finalizing=False, version="v2")
    first = sync_request(composite(), cluster_scoped, grouped([POD]), {}, finalizing=False, version="v1")

    assert second["children"] == first["children"] == {"Pod.v1": {"ns/a": POD}}


def test_a_decorator_request_speaks_of_object_and_attachments() -> None:
    """The rest is as for a composite."""
    request = sync_request(decorator(), PARENT, {}, {}, finalizing=True, version="v1")

    assert set(request) == {"controller", "object", "attachments", "related", "finalizing"}


def test_children_get_the_namespace_of_their_parent() -> None:
    """Unless the hook named another."""
    body = b'{"children": [{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}}]}'

    assert parse_sync_response(body, composite(), PARENT, strict=False).children == [POD]


@pytest.mark.parametrize(
    "body",
    [
        b"no JSON",
        b"[]",
        b'{"children": {}}',
        b'{"children": [{"metadata": {"name": "kindless"}}]}',
        b'{"status": "text"}',
        b'{"finalized": "yes"}',
        b'{"resyncAfterSeconds": true}',
    ],
)
def test_what_is_no_response_is_an_error(body: bytes) -> None:
    """A malformed answer never leads to a write."""
    with pytest.raises(HookError):
        parse_sync_response(body, composite(), PARENT, strict=False)


def test_unknown_fields_matter_only_in_strict_mode() -> None:
    """Loose is the default of version 1."""
    assert parse_sync_response(b'{"more": 1}', composite(), PARENT, strict=False).children == []
    with pytest.raises(HookError, match="more"):
        parse_sync_response(b'{"more": 1}', composite(), PARENT, strict=True)


def test_no_status_differs_from_an_empty_one() -> None:
    """A decorator without a status in its answer leaves the parent's alone."""
    assert parse_sync_response(b"{}", decorator(), PARENT, strict=False).status is None
    assert parse_sync_response(b'{"status": {}}', decorator(), PARENT, strict=False).status == {}


def test_on_delete_is_the_default_strategy() -> None:
    """Children are never updated unless the controller says so."""
    rule = {"apiVersion": "v1", "resource": "pods"}

    assert composite(childResources=[rule]).children[0].method is Method.ON_DELETE


@pytest.mark.parametrize("method", ["RollingInPlace", "RollingRecreate"])
def test_rolling_strategies_are_refused_by_name(method: str) -> None:
    """What the stand-in can't do is said, not ignored."""
    rule = {"apiVersion": "v1", "resource": "pods", "updateStrategy": {"method": method}}
    with pytest.raises(ConfigError, match=method):
        composite(childResources=[rule])


def test_finalizers_are_named_after_kind_and_controller() -> None:
    """So that a real Metacontroller takes over where the stand-in stopped."""
    assert composite().finalizer == "metacontroller.io/compositecontroller-c"
    assert decorator().finalizer == "metacontroller.io/decoratorcontroller-d"


def test_a_service_becomes_a_cluster_url() -> None:
    """Without a port it is 80, as in Metacontroller."""
    service = {"name": "hooks", "namespace": "operators", "port": 8080}
    hook = {"sync": {"webhook": {"service": service, "path": "/sync", "timeout": "500ms"}}}
    sync = composite(hooks=hook).sync

    assert sync is not None
    assert (sync.url, sync.timeout_seconds) == ("http://hooks.operators:8080/sync", 0.5)


def test_numbers_and_truth_values_differ_as_in_go() -> None:
    """Python's equality would hide the change from 1 to true."""
    assert not identical({"a": 1}, {"a": True})
    assert not identical({"a": None}, {})
    assert identical({"a": 1, "b": [2]}, {"b": [2], "a": 1})


@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7), ("", 0), ("soon", 0), ("Sat, 21 Nov 2026 10:00:05 GMT", 5)],
)
def test_retry_after_is_seconds_or_a_date(header: str, seconds: int) -> None:
    """Nonsense means at once."""
    now = time.mktime(time.struct_time((2026, 11, 21, 10, 0, 0, 5, 325, 0))) - time.timezone

    assert retry_after(header, now) == seconds


def test_a_version_1_rule_never_looks_beyond_the_parents_namespace() -> None:
    """Another namespace in the rule is an error."""
    rule = parse_rule({"apiVersion": "v1", "resource": "configmaps", "labelSelector": {}})
    beyond = parse_rule({"apiVersion": "v1", "resource": "configmaps", "namespace": "other"})

    assert rule.namespace_for(PARENT, version="v1", namespaced=True) == "ns"
    assert beyond.namespace_for(PARENT, version="v2", namespaced=True) == "other"
    with pytest.raises(SyncError, match="differs from parent"):
        beyond.namespace_for(PARENT, version="v1", namespaced=True)


def test_lags_are_given_by_resource() -> None:
    """With or without the group, in seconds."""
    settings = parse_settings(["--lag", "pods=2", "--lag", "workers.workers.spacelift.io=0.5s"])

    assert settings.lags == {"pods": 2.0, "workers.workers.spacelift.io": 0.5}
    assert settings.workers == 5
