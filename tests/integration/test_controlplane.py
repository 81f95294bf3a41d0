"""The control plane of the local cluster, started for real."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from devcluster.background import BackgroundCluster
from devcluster.cluster import Cluster, Options
from devcluster.paths import REPOSITORY
from devcluster.progress import ClusterError, NotReadyError, wait_until
from devcluster.state import State
from devcluster.supervisor import Order, give

CONTROL_PLANE = {"controlplane"}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Return a control plane for the tests that do it no lasting harm."""
    with Cluster(tmp_path_factory.mktemp("controlplane") / "shared", components=CONTROL_PLANE) as running:
        yield running


def test_kubectl_of_the_same_version_works_with_the_printed_environment(cluster: Cluster) -> None:
    """The environment alone is enough, and server and client are one release."""
    shown = subprocess.run(
        ["kubectl", "version", "-o", "json"], env=cluster.env(), capture_output=True, text=True, check=True
    )
    versions = json.loads(shown.stdout)
    assert versions["serverVersion"]["gitVersion"] == versions["clientVersion"]["gitVersion"] == "v1.36.3"


def test_a_new_namespace_gets_its_service_account_and_certificate_bundle(cluster: Cluster) -> None:
    """The controllers work: Pods could be made in it."""
    cluster.kubectl("create", "namespace", "accounts")
    for kind, name in (("serviceaccount", "default"), ("configmap", "kube-root-ca.crt")):
        cluster.kubectl("wait", f"{kind}/{name}", "--for=create", "--namespace=accounts", "--timeout=20s")


def test_a_service_account_has_no_rights_until_it_is_granted_some(cluster: Cluster) -> None:
    """RBAC is on: a token alone lets one in and nothing more."""
    cluster.kubectl("create", "serviceaccount", "powerless")
    token = cluster.kubectl("create", "token", "powerless").strip()
    server, authority = cluster.site.url("kube-apiserver"), cluster.site.certs / "ca.crt"
    # The administrator's kubeconfig would add its client certificate, which goes before a token.
    as_account = [
        "--kubeconfig=/dev/null",
        f"--server={server}",
        f"--token={token}",
        f"--certificate-authority={authority}",
    ]
    assert "powerless" in cluster.kubectl(*as_account, "auth", "whoami")
    with pytest.raises(ClusterError, match="Forbidden"):
        cluster.kubectl(*as_account, "get", "secrets")


def test_a_pod_gets_its_service_account_token_mounted(cluster: Cluster) -> None:
    """The admission plugin is on, as in any cluster."""
    cluster.kubectl("run", "mounted", "--image=any", "--restart=Never")
    pod = json.loads(cluster.kubectl("get", "pod", "mounted", "-o", "json"))
    mounts = pod["spec"]["containers"][0]["volumeMounts"]
    assert [mount["mountPath"] for mount in mounts] == ["/var/run/secrets/kubernetes.io/serviceaccount"]
    cluster.kubectl("delete", "pod", "mounted", "--grace-period=0", "--force")


def test_deleting_an_owner_collects_what_it_owned(cluster: Cluster) -> None:
    """The garbage collector runs."""
    cluster.kubectl("create", "configmap", "owner")
    uid = cluster.kubectl("get", "configmap", "owner", "-o", "jsonpath={.metadata.uid}")
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": uid}
    owned = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "owned", "namespace": "default", "ownerReferences": [owner]},
    }
    cluster.kubectl.apply([owned])
    cluster.kubectl("delete", "configmap", "owner")
    cluster.kubectl("wait", "configmap/owned", "--for=delete", "--timeout=20s")


def test_objects_survive_the_death_of_etcd_and_of_the_api_server(cluster: Cluster) -> None:
    """Components restart with their ports, their certificates and their data."""
    cluster.kubectl("create", "configmap", "survivor")
    for name in ("kube-apiserver", "etcd"):
        cluster.component(name).kill(signal.SIGKILL)
    for name in ("etcd", "kube-apiserver"):
        cluster.component(name).start()
    assert "survivor" in cluster.kubectl("get", "configmaps", "-o", "name")


def test_two_clusters_start_side_by_side_and_leave_nothing_behind(tmp_path: Path) -> None:
    """They share no port and no object, and each takes its directory with it."""
    clusters = [Cluster(tmp_path / name, components=CONTROL_PLANE) for name in ("left", "right")]
    try:
        with ThreadPoolExecutor() as pool:
            list(pool.map(lambda one: one.up(), clusters))
        left, right = clusters
        left.kubectl("create", "configmap", "only-here")
        assert "only-here" not in right.kubectl("get", "configmaps", "-o", "name")
        assert not set(left.site.ports.values()) & set(right.site.ports.values())
        records = [record for one in clusters for record in _state(one.directory).components.values()]
    finally:
        for one in clusters:
            one.down()
    assert not any(record.alive for record in records)
    assert list(tmp_path.iterdir()) == []


def test_a_component_that_cannot_start_says_why_and_takes_the_rest_down(
    tmp_path: Path, noted: Callable[[str], None]
) -> None:
    """The end of its log is in the error; the logs stay for a closer look."""
    options = Options(metacontroller="/usr/bin/false", components=frozenset({"hookdriver"}))
    broken = Cluster(tmp_path / "c", options, say=noted)
    with pytest.raises(NotReadyError, match=r"(?s)hookdriver: ended instead of starting.*exited with 1"):
        broken.up()
    assert not any(record.alive for record in _state(broken.directory).components.values())
    assert (broken.logs_dir / "etcd.log").exists()


def test_a_cluster_in_the_background_takes_orders_and_goes_down(tmp_path: Path) -> None:
    """It outlives the command that started it, and `down` removes all of it."""
    deep = tmp_path / ("long-" * 20)
    background = BackgroundCluster(deep, Options(components=frozenset(CONTROL_PLANE)))
    background.up()
    try:
        first = _state(deep).components["etcd"]
        give(deep, Order("kill", "etcd"))
        assert not first.alive
        give(deep, Order("start", "etcd"))
        assert _state(deep).components["etcd"].alive
        with pytest.raises(ClusterError, match="already running"):
            give(deep, Order("start", "etcd"))
        records = [_state(deep).owner, *_state(deep).components.values()]
    finally:
        background.down()
    wait_until(lambda: not any(record.alive for record in records), "the end of every process", within=10)
    assert not deep.exists()


def test_killing_the_supervisor_kills_every_component_and_down_still_cleans_up(tmp_path: Path) -> None:
    """No process and no file is left, even of a cluster that could not say goodbye."""
    background = BackgroundCluster(tmp_path / "c", Options(components=frozenset(CONTROL_PLANE)))
    background.up()
    try:
        records = _state(background.directory).components.values()
        assert all(record.alive for record in records)
        os.kill(_state(background.directory).owner.pid, signal.SIGKILL)
        wait_until(
            lambda: not any(record.alive for record in records), "the end of every component", within=10
        )
    finally:
        background.down()
    assert list(tmp_path.iterdir()) == []


def test_a_cluster_ends_when_its_time_is_over(tmp_path: Path) -> None:
    """A forgotten one does not run for ever."""
    argv = [sys.executable, "-m", "devcluster", "supervise", "--dir", str(tmp_path / "c")]
    done = subprocess.run(
        [*argv, "--parts", "controlplane", "--lifetime", "0.1s"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "c").exists()


@pytest.fixture
def noted() -> Callable[[str], None]:
    """Return a place for progress that nobody reads."""
    return lambda _text: None


def _state(directory: Path) -> State:
    state = State.read(directory)
    assert state is not None
    return state
