"""The client, the informer and the Events against a real API server."""

from __future__ import annotations

import re
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from app.cluster import errors
from app.cluster.client import KubernetesApi
from app.cluster.events import EventRecorder
from app.cluster.informer import Informer
from app.cluster.resources import CONTROLLER_REVISIONS, EVENTS, PODS, SECRETS, WORKERS, Resource
from devcluster.cluster import Cluster

CONFIG_MAPS = Resource("", "v1", "configmaps")
NAMESPACES = Resource("", "v1", "namespaces", namespaced=False)
SERVICE_ACCOUNT_TOKENS = Resource("", "v1", "serviceaccounts")


def config_map(name: str, **labels: str) -> dict[str, Any]:
    """Return the smallest object that holds anything."""
    metadata = {"name": name, "labels": labels}
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"n": "0"}}


def eventually(condition: Callable[[], object], seconds: float = 30) -> None:
    """Wait until it is true."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "the condition did not become true in time"
        time.sleep(0.01)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Return a control plane without anything of ours in it."""
    with Cluster(tmp_path_factory.mktemp("cluster"), components={"controlplane"}) as running:
        yield running


@pytest.fixture(scope="module")
def api(cluster: Cluster) -> Iterator[KubernetesApi]:
    """Return a client with the administrator's rights."""
    client = KubernetesApi.connect(str(cluster.kubeconfig))
    yield client
    client.close()


@pytest.fixture
def namespace(api: KubernetesApi, request: pytest.FixtureRequest) -> str:
    """Return a namespace for one test."""
    name = request.node.name.replace("_", "-")[:50].strip("-")
    api.create(NAMESPACES, None, {"metadata": {"name": name}})
    return str(name)


def test_an_object_is_created_read_patched_and_deleted(api: KubernetesApi, namespace: str) -> None:
    """Each verb answers with the object as the server has it, and the field manager is ours."""
    created = api.create(CONFIG_MAPS, namespace, config_map("a"))
    assert created["metadata"]["managedFields"][0]["manager"] == "workerpool-controller"
    patched = api.merge_patch(CONFIG_MAPS, namespace, "a", {"data": {"n": None, "m": "1"}})
    assert patched["data"] == {"m": "1"}
    assert api.get(CONFIG_MAPS, namespace, "a")["metadata"]["uid"] == created["metadata"]["uid"]
    api.delete(CONFIG_MAPS, namespace, "a", uid=created["metadata"]["uid"])
    with pytest.raises(errors.NotFound):
        api.get(CONFIG_MAPS, namespace, "a")


def test_refusals_of_the_real_server_are_typed(api: KubernetesApi, namespace: str) -> None:
    """Every error that the agent decides by comes from where it should."""
    first = api.create(CONFIG_MAPS, namespace, config_map("a"))
    with pytest.raises(errors.AlreadyExists, match="already exists"):
        api.create(CONFIG_MAPS, namespace, config_map("a"))
    api.merge_patch(CONFIG_MAPS, namespace, "a", {"data": {"n": "1"}})
    old = {"metadata": {"resourceVersion": first["metadata"]["resourceVersion"]}, "data": {"n": "2"}}
    with pytest.raises(errors.Conflict, match="modified"):
        api.merge_patch(CONFIG_MAPS, namespace, "a", old)
    with pytest.raises(errors.Conflict, match="UID"):
        api.delete(CONFIG_MAPS, namespace, "a", uid="another")
    with pytest.raises(errors.NotFound, match=r"could not find|page not found"):
        api.list(WORKERS, namespace)
    with pytest.raises(errors.Invalid, match="Invalid value") as invalid:
        api.create(SECRETS, namespace, {"metadata": {"name": "UPPER"}})
    assert invalid.value.details["causes"]


def test_a_dry_run_hears_the_refusal_and_leaves_nothing(api: KubernetesApi, namespace: str) -> None:
    """How the agent learns why a run Pod can't be created: here, a quota."""
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
    quota = {"metadata": {"name": "none"}, "spec": {"hard": {"pods": "0"}}}
    api.create(Resource("", "v1", "resourcequotas"), namespace, quota)

    def refused_by_quota() -> bool:
        try:
            api.create(PODS, namespace, pod, dry_run=True)
        except errors.Forbidden as error:
            return "exceeded quota" in error.message
        except errors.ApiError:
            return False
        return False

    eventually(refused_by_quota)
    assert api.list(PODS, namespace).items == []


def test_rbac_says_forbidden_and_a_wrong_token_unauthorized(
    cluster: Cluster, api: KubernetesApi, namespace: str, tmp_path: Path
) -> None:
    """A service account without rights, and somebody whom nobody knows."""
    api.create(SERVICE_ACCOUNT_TOKENS, namespace, {"metadata": {"name": "nobody"}})
    token = cluster.kubectl("create", "token", "nobody", "-n", namespace).strip()
    for value, kind in ((token, errors.Forbidden), ("not-a-token", errors.Unauthorized)):
        kubeconfig = _with_token(cluster, tmp_path, value)
        client = KubernetesApi.connect(kubeconfig)
        with pytest.raises(kind):
            client.list(SECRETS, namespace)
        client.close()


def test_lists_are_paged_and_consistent(api: KubernetesApi, namespace: str) -> None:
    """More than a page, chosen by label, with the kind on each."""
    with ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda n: _revision(api, namespace, n), range(620)))
    pages = list(api.pages(CONTROLLER_REVISIONS, namespace))
    assert [len(page.items) for page in pages] == [500, 120]
    assert len({page.resource_version for page in pages}) == 1
    listing = api.list(CONTROLLER_REVISIONS, namespace, "part=1")
    assert len(listing.items) == 310
    assert {(item["apiVersion"], item["kind"]) for item in listing.items} == {
        ("apps/v1", "ControllerRevision")
    }


def test_the_informer_follows_over_tls_and_stops_at_once(api: KubernetesApi, namespace: str) -> None:
    """Changes by others, read-your-writes, the label selector, and closing a TLS socket that waits."""
    told: list[tuple[str, str]] = []
    changes = Informer(
        api,
        CONFIG_MAPS,
        [namespace],
        "mine=yes",
        lambda kind, old, new: told.append((kind, (new or old or {})["data"]["n"])),
    )
    api.create(CONFIG_MAPS, namespace, config_map("a", mine="yes"))
    changes.start()
    assert changes.wait_synced(10)
    api.create(CONFIG_MAPS, namespace, config_map("other"))
    answer = api.merge_patch(CONFIG_MAPS, namespace, "a", {"data": {"n": "1"}})
    changes.remember(answer)
    assert (changes.get(namespace, "a") or {})["data"] == {"n": "1"}
    api.delete(CONFIG_MAPS, namespace, "a")
    eventually(lambda: ("DELETED", "1") in told)
    assert told == [("ADDED", "0"), ("MODIFIED", "1"), ("DELETED", "1")]
    assert len(changes) == 0
    started = time.monotonic()
    assert changes.stop(5)
    assert time.monotonic() - started < 1
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("informer-")]


def test_the_informer_survives_a_restart_of_the_api_server(
    cluster: Cluster, api: KubernetesApi, namespace: str
) -> None:
    """A restart of the server: the cache catches up with what happened around it."""
    cache = Informer(api, CONFIG_MAPS, [namespace])
    cache.start()
    assert cache.wait_synced(10)
    server = cluster.component("kube-apiserver")
    server.stop()
    eventually(lambda: cache.errors >= 2)
    server.start()

    def created() -> bool:
        try:
            api.create(CONFIG_MAPS, namespace, config_map("after"))
        except errors.AlreadyExists:
            return True
        except (errors.Unavailable, errors.Forbidden):
            return False
        return True

    eventually(created, 60)
    eventually(lambda: cache.get(namespace, "after"), 60)
    assert cache.stop(5)
    # The new process remembers nothing from before its start.
    with pytest.raises(errors.Gone, match="too old"):
        next(api.watch(CONFIG_MAPS, namespace, "1"))


def test_kubectl_describe_shows_the_events_with_their_count(
    cluster: Cluster, api: KubernetesApi, namespace: str
) -> None:
    """Reason, source, message and how often, as a user sees them."""
    item = api.create(CONFIG_MAPS, namespace, config_map("a"))
    now = [time.time() - 7]
    recorder = EventRecorder(api, "workerpool-controller", lambda: now[0])
    recorder.start()
    recorder.emit(item, "Warning", "WorkerPoolCannotRegister", "Unable to register worker pool: no key")
    now[0] += 7
    recorder.emit(item, "Warning", "WorkerPoolCannotRegister", "Unable to register worker pool: no key")
    assert recorder.stop(10)
    assert recorder.dropped == 0
    described = cluster.kubectl("describe", "configmap", "a", "-n", namespace)
    assert re.search(r"\(x2 over \d+s\)", described)
    assert "workerpool-controller  Unable to register worker pool: no key" in described
    assert len(api.list(EVENTS, namespace).items) == 1


def _revision(api: KubernetesApi, namespace: str, number: int) -> None:
    metadata = {"name": f"r{number}", "labels": {"part": str(number % 2)}}
    api.create(CONTROLLER_REVISIONS, namespace, {"metadata": metadata, "revision": 1, "data": {}})


def _with_token(cluster: Cluster, directory: Path, token: str) -> str:
    """Return a kubeconfig for the cluster with this token and nothing else to be known by."""
    path = directory / "kubeconfig"
    path.write_text(cluster.kubectl("config", "view", "--raw", "--minify"))
    kubectl = [str(cluster.site.tools / "kubectl"), "--kubeconfig", str(path), "config"]
    subprocess.run([*kubectl, "set-credentials", "it", f"--token={token}"], check=True, capture_output=True)
    subprocess.run([*kubectl, "set-context", "--current", "--user=it"], check=True, capture_output=True)
    return str(path)
