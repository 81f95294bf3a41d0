"""The CRDs in a real API server: what they admit and refuse, and what kubectl makes of them."""

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from app import vocabulary as words
from crdgen import apiserver, files
from devcluster.cluster import Cluster
from devcluster.kubectl import parse
from devcluster.objects import wait_established
from devcluster.progress import ClusterError
from tests.integration import crd_type_cases as of_types
from tests.integration.crd_cases import ALL_OPTIONS, OWN, Case, container, pod, volume
from tests.integration.crd_cases import CASES as OF_POOLS
from tests.integration.crd_cases import SHAPES as POOL_SHAPES

Json = dict[str, Any]
CASES = [*OF_POOLS, *of_types.CASES]
SHAPES = [*POOL_SHAPES, *of_types.SHAPES]
CRDS = [f"{plural}.{words.GROUP}" for plural in (words.WORKER_POOL_PLURAL, words.WORKER_PLURAL)]
WAYS = [(), ("--server-side",)]
RULES = "x-kubernetes-validations"
ON_UPDATE = "a pool can't change between credentials of its own and registering itself"
OF_METADATA = "the name must leave room"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Return an API server with our CRDs."""
    with Cluster(tmp_path_factory.mktemp("crds") / "c", components={"kube-apiserver"}) as running:
        for name in files.SOURCES:
            running.kubectl("apply", "--server-side", "-f", str(files.FOLDER / name))
        wait_established(running.kubectl, CRDS)
        yield running


def pool(spec: Json, name: str = "p", version: str = words.API_VERSION) -> str:
    """Return a manifest."""
    return json.dumps(
        {
            "apiVersion": version,
            "kind": "WorkerPool",
            "metadata": {"name": name, "namespace": "default"},
            "spec": spec,
        }
    )


def refusal(cluster: Cluster, manifest: str, *arguments: str) -> str:
    """Return what kubectl says when the manifest is refused."""
    with pytest.raises(ClusterError) as caught:
        cluster.kubectl("apply", "--dry-run=server", "-f", "-", *arguments, stdin=manifest)
    return str(caught.value)


def accepted(cluster: Cluster, manifest: str, *ways: tuple[str, ...]) -> None:
    """Fail unless the manifest is taken, by server-side apply unless other ways are given."""
    for way in ways or (("--server-side",),):
        cluster.kubectl("apply", "--dry-run=server", *way, "-f", "-", stdin=manifest)


def read(cluster: Cluster, name: str) -> Json:
    """Return a pool as stored."""
    found: Json = json.loads(cluster.kubectl("get", f"workerpool/{name}", "-o", "json"))
    return found


def test_the_committed_files_are_what_the_sources_make(cluster: Cluster) -> None:
    """From this very API server's OpenAPI; `make crds` mends a difference."""
    published = apiserver.ask(cluster.kubectl)
    assert files.differences(files.texts(published.openapi, published.version)) == ""


def test_every_rule_has_a_case() -> None:
    """A rule that nobody broke on purpose may refuse nothing, or everything."""
    says = [*(case.says for case in CASES), ON_UPDATE, OF_METADATA]
    messages = set(_messages(_schema()))
    assert {each for each in messages if not any(part in each for part in says)} == set()
    assert {part for part in says if not any(part in each for each in messages)} == set()


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_rule_refuses_its_fault_and_nothing_near_it(cluster: Cluster, case: Case) -> None:
    """With the field's path and a message that says what to do."""
    told = refusal(cluster, pool(case.bad))
    assert case.says in told
    assert f"{case.path}: Invalid value" in told
    accepted(cluster, pool(case.good))


@pytest.mark.parametrize(("path", "bad", "good"), SHAPES, ids=[path for path, _, _ in SHAPES])
def test_a_value_of_the_wrong_shape_is_refused_with_its_path(
    cluster: Cluster, path: str, bad: Json, good: Json
) -> None:
    """Types, enums, bounds and list keys, as the API server has them for Pods."""
    assert f"{path}: " in refusal(cluster, pool(bad))
    accepted(cluster, pool(good))


def test_a_name_that_leaves_no_room_for_the_workers_is_refused(cluster: Cluster) -> None:
    """A Worker's name is the pool's with 27 characters more."""
    assert OF_METADATA in refusal(cluster, pool({}, "p" * 227))
    accepted(cluster, pool({}, "p" * 226))


def test_a_pool_keeps_its_way_of_registering(cluster: Cluster) -> None:
    """Its identity at the mothership depends on that; other credentials are another matter."""
    cluster.kubectl("apply", "-f", "-", stdin=pool(OWN, "own"))
    cluster.kubectl("apply", "-f", "-", stdin=pool({}, "auto"))
    assert ON_UPDATE in refusal(cluster, pool({}, "own"))
    assert ON_UPDATE in refusal(cluster, pool(OWN, "auto"))
    renewed = {"token": {"secretKeyRef": {"name": "new", "key": "token"}}, "privateKey": OWN["privateKey"]}
    cluster.kubectl("apply", "-f", "-", stdin=pool(renewed, "own"))


def test_a_worker_keeps_its_sequence_number(cluster: Cluster) -> None:
    """Its ULID follows from it."""
    worker: Json = {
        "apiVersion": words.API_VERSION,
        "kind": "Worker",
        "metadata": {"name": "w", "namespace": "default"},
        "spec": {"sequence": 1},
    }
    cluster.kubectl("apply", "-f", "-", stdin=json.dumps(worker))
    changed = json.dumps({**worker, "spec": {"sequence": 2}})
    assert "a worker keeps its sequence number" in refusal(cluster, changed)


def test_kubectl_explains_the_whole_tree(cluster: Cluster) -> None:
    """Kubernetes' own descriptions, down to the leaves."""
    tree = cluster.kubectl("explain", "workerpool.spec.pod.affinity", "--recursive")
    for field in (
        "podAntiAffinity",
        "requiredDuringSchedulingIgnoredDuringExecution",
        "matchLabelKeys",
        "topologyKey",
    ):
        assert field in tree
    leaf = cluster.kubectl("explain", "wp.spec.pod.additionalSidecarContainers.livenessProbe.httpGet.scheme")
    assert "Scheme to use for connecting to the host" in leaf
    assert "mounted at /opt/spacelift/workspace" in cluster.kubectl("explain", "wp.spec.pod.workspaceVolume")


@pytest.mark.parametrize("way", WAYS, ids=["client-side", "server-side"])
def test_a_mistyped_field_is_refused_with_its_path(cluster: Cluster, way: tuple[str, ...]) -> None:
    """Instead of being dropped without a word."""
    told = refusal(cluster, pool(pod(affinty={}), "typo"), *way)
    # The two ways word it differently.
    assert (
        'unknown field "spec.pod.affinty"' in told
        or ".spec.pod.affinty: field not declared in schema" in told
    )


@pytest.mark.parametrize("field", ["customInitContainers", "additionalSidecarContainers"])
def test_a_users_container_has_no_restart_rules(cluster: Cluster, field: str) -> None:
    """Kubernetes has them for containers and init containers alike; here runs alone are tried again."""
    rules = [{"action": "Restart", "exitCodes": {"operator": "In", "values": [1]}}]
    wrong = pod(**{field: [container(restartPolicy="Always", restartPolicyRules=rules)]})
    assert f'unknown field "spec.pod.{field}[0].restartPolicyRules"' in refusal(cluster, pool(wrong))


def test_a_mistyped_field_deep_inside_of_a_container_is_refused(cluster: Cluster) -> None:
    """No part of the schema takes whatever comes."""
    wrong = pod(additionalSidecarContainers=[container(livenessProbe={"htpGet": {}})])
    assert 'unknown field "spec.pod.additionalSidecarContainers[0].livenessProbe.htpGet"' in refusal(
        cluster, pool(wrong)
    )


@pytest.mark.parametrize("way", WAYS, ids=["client-side", "server-side"])
def test_the_documents_example_of_all_options_applies_twice_without_a_change(
    cluster: Cluster, way: tuple[str, ...]
) -> None:
    """Nulls and empties included: they are stored or dropped, but never refused."""
    name = f"all{len(way)}"
    manifest = pool(ALL_OPTIONS, name)
    cluster.kubectl("apply", "-f", "-", *way, stdin=manifest)
    first = read(cluster, name)
    cluster.kubectl("apply", "-f", "-", *way, stdin=manifest)
    assert read(cluster, name)["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
    assert first["spec"]["pod"]["additionalSidecarContainers"] == [{"name": "redis", "image": "redis"}]


@pytest.mark.parametrize("way", WAYS, ids=["client-side", "server-side"])
def test_every_optional_field_may_be_null(cluster: Cluster, way: tuple[str, ...]) -> None:
    """As for a Pod: a chart that renders an empty value still works."""
    fields = _schema()["properties"]["spec"]["properties"]
    settings = fields["pod"]["properties"]
    accepted(cluster, pool(dict.fromkeys(fields)), way)
    accepted(cluster, pool({"pod": dict.fromkeys(settings)}), way)
    for field in ("customInitContainers", "additionalSidecarContainers"):
        of_container = settings[field]["items"]["properties"]
        accepted(cluster, pool(pod(**{field: [{**dict.fromkeys(of_container), **container()}]})), way)


def test_owners_of_single_list_items_do_not_disturb_each_other(cluster: Cluster) -> None:
    """Server-side apply merges containers, volumes and variables by their keys."""
    ours, theirs = pod(volumes=[volume("a")]), pod(volumes=[volume("b")])
    for manager, spec in (("ours", ours), ("theirs", theirs)):
        arguments = ("apply", "--server-side", f"--field-manager={manager}", "-f", "-")
        cluster.kubectl(*arguments, stdin=pool(spec, "shared"))
    assert [each["name"] for each in read(cluster, "shared")["spec"]["pod"]["volumes"]] == ["a", "b"]


def test_the_old_version_is_served_with_a_warning_and_means_the_same(cluster: Cluster) -> None:
    """Manifests of the documents' first days still apply; what is stored is v1beta1."""
    done = subprocess.run(
        ["kubectl", "apply", "-f", "-"],
        input=pool({**OWN, **pod(nodeName="n")}, "old", f"{words.GROUP}/v1alpha1"),
        env=cluster.env(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert "v1alpha1 WorkerPool is deprecated; use workers.spacelift.io/v1beta1" in done.stderr
    found = read(cluster, "old")
    assert found["apiVersion"] == words.API_VERSION
    assert found["spec"]["pod"] == {"nodeName": "n"}
    alpha = refusal(cluster, pool({"token": OWN["token"]}, "old2", f"{words.GROUP}/v1alpha1"))
    assert "give token and privateKey both" in alpha


def test_a_pool_can_be_scaled_and_is_shown_as_documented(cluster: Cluster) -> None:
    """By its short name; the actual size stays empty until the operator knows it."""
    cluster.kubectl("apply", "-f", "-", stdin=pool({}, "x"))
    cluster.kubectl("scale", "wp/x", "--replicas=3")
    assert read(cluster, "x")["spec"]["poolSize"] == 3
    header, row = cluster.kubectl("get", "wp", "x").splitlines()
    assert header.split("  ")[0] == "NAME"
    assert [part.strip() for part in header.split("   ") if part.strip()] == [
        "NAME",
        "DESIRED POOL SIZE",
        "ACTUAL POOL SIZE",
        "AUTO REGISTERED",
    ]
    assert row.split() == ["x", "3"]
    assert "workerpool.workers.spacelift.io/x" in cluster.kubectl("get", "spacelift", "-o", "name")


def _schema() -> Json:
    text = (files.FOLDER / "workers.spacelift.io_workerpools.yaml").read_text(encoding="utf-8")
    (crd,) = parse(text)
    schema: Json = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema


def _messages(schema: Json) -> Iterator[str]:
    yield from (rule["message"] for rule in schema.get(RULES, ()))
    for each in schema.get("properties", {}).values():
        yield from _messages(each)
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            yield from _messages(schema[key])


def test_no_way_of_scaling_goes_beyond_the_largest_pool(cluster: Cluster) -> None:
    """Autoscalers and kubectl scale write through the scale subresource."""
    cluster.kubectl("apply", "--server-side", "-f", "-", stdin=pool(OWN, "scaled"))
    cluster.kubectl("scale", "workerpool/scaled", f"--replicas={words.MAX_POOL_SIZE}")
    with pytest.raises(ClusterError, match=r"spec\.poolSize"):
        cluster.kubectl("scale", "workerpool/scaled", f"--replicas={words.MAX_POOL_SIZE + 1}")
