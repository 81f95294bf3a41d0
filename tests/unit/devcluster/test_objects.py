"""What is installed: its order, what is left out, and where the hooks point."""

from typing import Any

from devcluster.kubectl import parse
from devcluster.objects import arrange, redirected

ENDPOINT = "http://127.0.0.1:20001"


def _object(kind: str, name: str = "x", api_version: str = "v1", **fields: object) -> dict[str, Any]:
    return {"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, **fields}


def _controller(**hooks: object) -> dict[str, Any]:
    return _object("DecoratorController", api_version="metacontroller.k8s.io/v1alpha1", spec={"hooks": hooks})


def test_definitions_and_namespaces_go_before_what_needs_them_and_hooks_last() -> None:
    """The order of the files does not matter."""
    controller = _controller()
    role, definition, namespace = _object("Role"), _object("CustomResourceDefinition"), _object("Namespace")
    found = arrange([controller, role, namespace, definition], ENDPOINT)
    assert found.definitions == (definition,)
    assert found.namespaces == (namespace,)
    assert found.others == (role,)
    assert found.hooks == (controller,)


def test_the_deployment_is_left_out_because_the_operator_is_a_process() -> None:
    """Nothing would run it."""
    assert arrange([_object("Deployment"), _object("Service")], ENDPOINT).others == (_object("Service"),)


def test_an_object_that_two_files_bring_is_installed_once() -> None:
    """A kustomization may include what is also read by itself."""
    assert (
        len(arrange([_object("Service"), _object("Service"), _object("Service", "y")], ENDPOINT).others) == 2
    )


def test_a_hook_url_keeps_its_path_and_changes_its_address() -> None:
    """Only the host differs between a cluster and this machine."""
    changed = redirected(
        _controller(sync={"webhook": {"url": "http://svc.ns:8080/sync/worker", "timeout": "5s"}}), ENDPOINT
    )
    assert changed["spec"]["hooks"]["sync"]["webhook"] == {"url": f"{ENDPOINT}/sync/worker", "timeout": "5s"}


def test_a_hook_given_as_a_service_becomes_a_url() -> None:
    """There is no cluster network for a Service to be reached by."""
    webhook = {"path": "/customize/worker", "service": {"name": "svc", "namespace": "ns", "port": 8080}}
    changed = redirected(_controller(customize={"webhook": webhook, "version": "v2"}), ENDPOINT)
    assert changed["spec"]["hooks"]["customize"] == {
        "webhook": {"url": f"{ENDPOINT}/customize/worker"},
        "version": "v2",
    }


def test_redirecting_leaves_the_original_as_it_was() -> None:
    """Documents may be shared."""
    original = _controller(sync={"webhook": {"url": "http://svc/sync"}})
    redirected(original, ENDPOINT)
    assert original["spec"]["hooks"]["sync"]["webhook"]["url"] == "http://svc/sync"


def test_lists_and_empty_documents_of_a_stream_are_taken_apart() -> None:
    """Kustomize and hand-written files differ in that."""
    text = "---\n---\nkind: List\nitems: [{kind: A}, {kind: B}]\n---\nkind: C\n"
    assert [document["kind"] for document in parse(text)] == ["A", "B", "C"]
