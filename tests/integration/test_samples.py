"""Every sample is taken by a real API server, without a word, and so is the run Pod that comes of it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from app.reconcile.worker import sync_worker
from app.vocabulary import API_VERSION, WORKER_POOL_KIND
from devcluster.cluster import Cluster
from devcluster.objects import wait_established
from devcluster.paths import REPOSITORY
from devcluster.progress import ClusterError
from tests.unit import builders
from tests.unit.docs import pages

Object = dict[str, Any]

SAMPLES = sorted((REPOSITORY / "manifests" / "samples").glob("*.yaml"))
MINIMAL = REPOSITORY / "manifests" / "samples" / "workerpool.yaml"
DOCKER = REPOSITORY / "manifests" / "samples" / "workerpool-docker-daemon.yaml"
MODES = {"client-side": (), "server-side": ("--server-side",)}
RESTRICTED = "restricted"

each_sample = pytest.mark.parametrize("sample", SAMPLES, ids=lambda path: path.stem)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Return an API server with our definitions, and a namespace for each way of applying."""
    with Cluster(tmp_path_factory.mktemp("cluster"), components={"kube-apiserver"}) as running:
        definitions = running.kubectl.documents(REPOSITORY / "crds")
        running.kubectl.apply(definitions)
        wait_established(running.kubectl, [each["metadata"]["name"] for each in definitions])
        for name in (*MODES, RESTRICTED):
            running.kubectl("create", "namespace", name)
            # No controller is there to make it, and no Pod is admitted without.
            running.kubectl("create", "serviceaccount", "default", "--namespace", name)
        running.kubectl("label", "namespace", RESTRICTED, "pod-security.kubernetes.io/enforce=restricted")
        yield running


def kubectl(cluster: Cluster, *arguments: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run kubectl as a user would, warnings included."""
    return subprocess.run(
        ["kubectl", *arguments], env=cluster.env(), input=stdin, capture_output=True, text=True, check=False
    )


def apply(cluster: Cluster, namespace: str, sample: Path) -> subprocess.CompletedProcess[str]:
    """Apply a sample the way that its namespace is named for."""
    return kubectl(cluster, "apply", *MODES[namespace], "--namespace", namespace, "-f", str(sample))


def expected_warnings(sample: Path) -> str:
    """Return what kubectl says about a sample: the warning of a deprecated version, else nothing."""
    return "".join(
        f"Warning: {version['deprecationWarning']}\n"
        for document in yaml.safe_load_all(sample.read_text(encoding="utf-8"))
        for version in pages.definition(WORKER_POOL_KIND)["spec"]["versions"]
        if version.get("deprecated") and document["apiVersion"].endswith(f"/{version['name']}")
    )


def pool_name(sample: Path) -> str:
    """Return the name of a sample's pool."""
    (name,) = [
        document["metadata"]["name"]
        for document in yaml.safe_load_all(sample.read_text(encoding="utf-8"))
        if document["kind"] == WORKER_POOL_KIND
    ]
    return str(name)


def stored_pool(cluster: Cluster, namespace: str, sample: Path) -> Object:
    """Return a sample's pool as the operator reads it."""
    name = pool_name(sample)
    stored: Object = json.loads(
        cluster.kubectl("get", "workerpool", name, "--namespace", namespace, "-o", "json")
    )
    assert stored["apiVersion"] == API_VERSION
    return stored


def applied_pool(cluster: Cluster, namespace: str, sample: Path) -> Object:
    """Apply a sample server-side and return its pool."""
    cluster.kubectl("apply", "--server-side", "--namespace", namespace, "-f", str(sample))
    return stored_pool(cluster, namespace, sample)


def run_pod(pool: Object, *, native_sidecars: bool = True) -> Object:
    """Return the Pod that the Worker hook asks for once a run was scheduled in the pool."""
    revision = builders.revision(pool["spec"].get("pod"))
    revision["data"]["cluster"] = {"nativeSidecars": native_sidecars}
    worker = builders.worker(
        registration="Registered", registered=True, state="BUSY", assignment=1, run=builders.run()
    )
    worker["metadata"]["namespace"] = pool["metadata"]["namespace"]
    (pod,) = sync_worker(builders.worker_request(worker, revisions=(revision,))).attachments
    return pod


def admit(cluster: Cluster, pod: Object) -> str:
    """Return what the API server says to a Pod in a dry run; raise ClusterError with its refusal."""
    return cluster.kubectl("create", "--dry-run=server", "-f", "-", stdin=json.dumps(pod))


@each_sample
@pytest.mark.parametrize("namespace", MODES)
def test_a_sample_is_applied_without_warnings_and_twice_is_as_good_as_once(
    cluster: Cluster, sample: Path, namespace: str
) -> None:
    """Client-side and server-side; only the old version of the API is warned about."""
    first = apply(cluster, namespace, sample)
    assert first.returncode == 0, first.stderr
    assert first.stderr == expected_warnings(sample)
    before = stored_pool(cluster, namespace, sample)
    again = apply(cluster, namespace, sample)
    assert again.returncode == 0, again.stderr
    # The same version: nothing was written, and no watcher was woken.
    assert stored_pool(cluster, namespace, sample) == before


def test_only_the_sample_of_the_old_version_is_warned_about() -> None:
    """And that one is, with the version to use instead."""
    warned = {sample.stem: text for sample in SAMPLES if (text := expected_warnings(sample))}
    assert list(warned) == ["workerpool-v1alpha1"]
    assert API_VERSION in warned["workerpool-v1alpha1"]


@each_sample
def test_the_run_pod_of_a_sample_is_admitted(cluster: Cluster, sample: Path) -> None:
    """By the API server's own validation and admission, from the pool as it was stored, with both kinds of sidecars."""
    pool = applied_pool(cluster, "server-side", sample)
    for native_sidecars in (True, False):
        pod = run_pod(pool, native_sidecars=native_sidecars)
        assert "created (server dry run)" in admit(cluster, pod)


def test_the_run_pod_of_the_smallest_pool_passes_the_restricted_standard(cluster: Cluster) -> None:
    """Nothing has to be set for a hardened namespace."""
    assert "created (server dry run)" in admit(cluster, run_pod(applied_pool(cluster, RESTRICTED, MINIMAL)))


@pytest.mark.parametrize("native_sidecars", [True, False], ids=["native-sidecars", "ordinary-sidecars"])
def test_a_privileged_sidecar_is_refused_there_with_the_servers_own_text(
    cluster: Cluster, native_sidecars: bool
) -> None:
    """What the user asked for is asked for, not quietly left out; the standard decides."""
    pool = applied_pool(cluster, RESTRICTED, DOCKER)
    with pytest.raises(ClusterError, match='violates PodSecurity "restricted:latest"') as refusal:
        admit(cluster, run_pod(pool, native_sidecars=native_sidecars))
    assert 'container "docker" must not set securityContext.privileged=true' in str(refusal.value)


@pytest.mark.parametrize("block", pages.pools(), ids=lambda block: block.title)
def test_the_pools_of_the_documentation_are_taken_too(cluster: Cluster, block: pages.Block) -> None:
    """Fragments become pools by adding credentials; the rules in the definitions count as well."""
    arguments = ("apply", "--server-side", "--dry-run=server", "--namespace=server-side", "-f", "-")
    done = kubectl(cluster, *arguments, stdin=json.dumps(block.pool()))
    assert (done.returncode, done.stderr) == (0, "")
    assert "created (server dry run)" in admit(cluster, run_pod(as_stored(block.pool())))


def as_stored(pool: Object) -> Object:
    """Return a pool that is not stored as one that is, in a namespace with the accounts of the samples."""
    return {**pool, "metadata": {**pool["metadata"], "namespace": "server-side"}}
