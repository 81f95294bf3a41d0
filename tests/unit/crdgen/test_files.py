"""Facts about the committed CRDs that need no API server."""

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from app import vocabulary as words
from app.children.pod_settings import Settings
from app.children.volumes import run_volumes
from crdgen import files
from devcluster.kubectl import parse

Json = dict[str, Any]
LARGEST = 1_000_000
"""Bytes of JSON: etcd takes requests of 1.5 MiB by default, and the managed fields come on top."""

SPEC = """
    poolSize token privateKey space description driftDetectionRunLimits spaceliftAPICredentials allowedRunnerImageHosts
    keepSuccessfulPods successfulPodsHistoryLimit failedPodsHistoryLimit successfulPodsHistoryTTL failedPodsHistoryTTL
    mqttReconnectRetryCount pod
"""
POD = """
    activeDeadlineSeconds terminationGracePeriodSeconds volumes binariesCacheVolume workspaceVolume defaultRunnerImage
    defaultAnsibleRunnerImage serviceAccountName automountServiceAccountToken securityContext imagePullSecrets
    nodeSelector nodeName affinity schedulerName tolerations hostAliases dnsConfig dnsPolicy runtimeClassName
    topologySpreadConstraints labels annotations customBinariesPath customInitContainers launcherImage initContainer
    grpcServerContainer workerContainer additionalSidecarContainers
"""
CONTAINER = "envFrom env volumeMounts resources imagePullPolicy securityContext"
OURS = ("initContainer", "grpcServerContainer", "workerContainer")

every_file = pytest.mark.parametrize("name", list(files.SOURCES))


@cache
def committed(name: str) -> Json:
    """Return a generated file."""
    text = (files.FOLDER / name).read_text(encoding="utf-8")
    (crd,) = parse(text)
    return crd


def nodes(schema: Json, path: str = "") -> Iterator[tuple[str, Json]]:
    """Walk through a schema."""
    yield path, schema
    for name, each in schema.get("properties", {}).items():
        yield from nodes(each, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            yield from nodes(schema[key], f"{path}[]")


def every_node(name: str) -> Iterator[tuple[str, Json]]:
    """Walk through the schemas of all versions."""
    for version in committed(name)["spec"]["versions"]:
        yield from nodes(version["schema"]["openAPIV3Schema"], version["name"])


def spec_of(version: int = 0) -> Json:
    """Return the schemas of a pool's spec fields."""
    found = committed("workers.spacelift.io_workerpools.yaml")["spec"]["versions"][version]
    fields: Json = found["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]
    return fields


@every_file
def test_a_definition_fits_into_etcd_with_room_to_spare(name: str) -> None:
    """Counted as JSON, the form that is stored."""
    assert len(json.dumps(committed(name), separators=(",", ":"))) <= LARGEST


@every_file
def test_every_list_is_bounded(name: str) -> None:
    """The cost of the CEL rules below a list is estimated from its bound."""
    lists = [(path, each) for path, each in every_node(name) if each.get("type") == "array"]
    assert lists
    assert [path for path, each in lists if "maxItems" not in each] == []


@every_file
def test_no_field_keeps_what_the_schema_does_not_know(name: str) -> None:
    """A misspelt field is told about, wherever it is."""
    assert [path for path, each in every_node(name) if "x-kubernetes-preserve-unknown-fields" in each] == []


@every_file
def test_every_rule_has_a_message_and_uses_what_kubernetes_1_26_knows(name: str) -> None:
    """Newer servers have more, but a CRD that one of them refuses can't be installed there."""
    rules = [rule for _, each in every_node(name) for rule in each.get("x-kubernetes-validations", ())]
    assert rules
    for rule in rules:
        assert set(rule) == {"rule", "message"}
        assert not any(newer in rule["rule"] for newer in ("optional", "format.", "quantity(", "isIP(", "?."))


def test_every_field_of_the_api_is_there_in_both_versions_and_no_other() -> None:
    """The documents' fields and those of newer versions of the original."""
    for version in (0, 1):
        spec = spec_of(version)
        assert list(spec) == SPEC.split()
        assert list(spec["pod"]["properties"]) == POD.split()
        for name in OURS:
            assert set(spec["pod"]["properties"][name]["properties"]) == set(CONTAINER.split())


@pytest.mark.parametrize("field", ["customInitContainers", "additionalSidecarContainers"])
def test_a_users_container_restarts_always_or_never(field: str) -> None:
    """No other policy and no rules: which runs are tried again is the mothership's to say."""
    for version in (0, 1):
        container = spec_of(version)["pod"]["properties"][field]["items"]["properties"]
        assert container["restartPolicy"]["pattern"] == "^(|Always)$"
        assert "restartPolicyRules" not in container


def test_only_the_new_version_carries_kubernetes_descriptions() -> None:
    """Both together would come near etcd's limit; ours are in both."""
    new, old = (spec_of(version)["pod"]["properties"] for version in (0, 1))
    assert "description" in new["affinity"]["properties"]["podAffinity"]
    assert "description" not in old["affinity"]["properties"]["podAffinity"]
    assert old["launcherImage"] == new["launcherImage"]


def test_every_optional_field_of_a_pool_may_be_null() -> None:
    """Unless a default takes its place: as for native objects."""
    strict = [
        f"{path}.{name}"
        for path, each in nodes({"properties": spec_of()}, "spec")
        for name, child in each.get("properties", {}).items()
        if name not in each.get("required", ()) and not child.get("nullable") and "default" not in child
    ]
    assert strict == []


def test_a_worker_holds_no_pod_schema() -> None:
    """Metacontroller keeps every Worker in memory: a few thousand bytes of schema are all there may be."""
    assert len(json.dumps(committed("workers.spacelift.io_workers.yaml"))) < 20_000


def test_the_guarded_mount_paths_are_those_of_the_run_pod() -> None:
    """A path that the operator mounts and no rule knows could be hidden by a user's volume."""
    volumes = run_volumes(Settings({}, "pod"), "secret")
    mounted = {
        "initContainer": volumes.init_mounts(),
        "grpcServerContainer": volumes.grpc_mounts(),
        "workerContainer": volumes.worker_mounts(),
    }
    for name, mounts in mounted.items():
        container = spec_of()["pod"]["properties"][name]["properties"]
        path = container["volumeMounts"]["items"]["properties"]["mountPath"]
        (rule,) = [
            each["rule"] for each in path["x-kubernetes-validations"] if "would hide" in each["message"]
        ]
        shadowing, inside = rule.split("&&")
        for mount in mounts:
            assert f"'{mount['mountPath']}/'" in shadowing
        closed = {words.CREDENTIALS_PATH, words.SOCKET_PATH, words.BINARIES_PATH}
        for mount in mounts:
            assert (f"'{mount['mountPath']}/'" in inside) == (mount["mountPath"] in closed)


def test_a_difference_is_shown_as_a_diff(tmp_path: Path) -> None:
    """From what is there to what should be, and nothing when they are the same."""
    (tmp_path / "a.yaml").write_text("one\ntwo\n", encoding="utf-8")
    shown = files.differences({"a.yaml": "one\nthree\n", "new.yaml": "x\n"}, tmp_path)
    assert all(
        line in shown
        for line in ("--- committed/a.yaml", "-two\n", "+three\n", "+++ generated/new.yaml", "+x\n")
    )
    assert files.differences({"a.yaml": "one\ntwo\n"}, tmp_path) == ""
