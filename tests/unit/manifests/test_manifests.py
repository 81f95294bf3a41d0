"""Facts about what is installed: the YAML agrees with the code, and grants no more than it says."""

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from app import vocabulary as words
from app.reasons import CONDITIONS
from app.web.application import create_app
from tests.unit.web.health import ToldHealth

ROOT = Path(__file__).parents[3]
# The CRDs take the pure Python parser ten seconds.
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


@cache
def documents(folder: str) -> list[dict[str, Any]]:
    """Return every object of a folder, kustomizations apart."""
    files = sorted((ROOT / folder).glob("*.yaml"))
    loaded = [item for file in files for item in yaml.load_all(file.read_text(encoding="utf-8"), LOADER)]
    return [item for item in loaded if item["kind"] != "Kustomization"]


def one(folder: str, kind: str, name: str) -> dict[str, Any]:
    """Return one object of a folder."""
    (found,) = [
        item for item in documents(folder) if (item["kind"], item["metadata"]["name"]) == (kind, name)
    ]
    return found


def definition(plural: str) -> dict[str, Any]:
    """Return the stored version of a CRD."""
    versions = one("crds", "CustomResourceDefinition", f"{plural}.{words.GROUP}")["spec"]["versions"]
    (stored,) = [version for version in versions if version["storage"]]
    return dict(stored)


def schema_at(plural: str, path: str) -> dict[str, Any]:
    """Return the schema of a field such as `spec.poolSize`."""
    schema: dict[str, Any] = definition(plural)["schema"]["openAPIV3Schema"]
    for name in path.split("."):
        schema = schema["properties"][name]
    return schema


def untyped(schema: dict[str, Any], path: str = "") -> list[str]:
    """Return the fields that have no type; a number or text has two."""
    found = [] if "type" in schema or schema.get("x-kubernetes-int-or-string") else [path]
    for name, child in schema.get("properties", {}).items():
        found += untyped(child, f"{path}.{name}")
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            found += untyped(schema[key], f"{path}[]")
    return found


@pytest.mark.parametrize("plural", [words.WORKER_POOL_PLURAL, words.WORKER_PLURAL])
def test_a_definition_is_structural_and_says_its_revision(plural: str) -> None:
    """Every field has a type; the agent checks the revision before it claims anything."""
    crd = one("crds", "CustomResourceDefinition", f"{plural}.{words.GROUP}")
    assert crd["metadata"]["annotations"][words.SCHEMA_REVISION_ANNOTATION] == words.SCHEMA_REVISION
    version = definition(plural)
    assert version["name"] == words.VERSION
    assert version["subresources"]["status"] == {}
    assert untyped(version["schema"]["openAPIV3Schema"]) == []


def test_the_old_version_of_a_pool_is_served_with_a_warning_and_needs_no_conversion() -> None:
    """Same fields, same columns, same scale; a Worker never had another version."""
    crd = one("crds", "CustomResourceDefinition", f"{words.WORKER_POOL_PLURAL}.{words.GROUP}")
    assert crd["spec"]["conversion"] == {"strategy": "None"}
    new, old = crd["spec"]["versions"]
    assert (new["name"], new["served"], new["storage"]) == (words.VERSION, True, True)
    assert (old["name"], old["served"], old["storage"], old["deprecated"]) == ("v1alpha1", True, False, True)
    assert words.API_VERSION in old["deprecationWarning"]
    assert "deprecated" not in new
    for same in ("subresources", "additionalPrinterColumns"):
        assert old[same] == new[same]
    (worker,) = one("crds", "CustomResourceDefinition", f"{words.WORKER_PLURAL}.{words.GROUP}")["spec"][
        "versions"
    ]
    assert worker["name"] == words.VERSION


def test_kinds_have_short_names_and_a_category() -> None:
    """`kubectl get wp` and `kubectl get spacelift`."""
    names = {
        plural: one("crds", "CustomResourceDefinition", f"{plural}.{words.GROUP}")["spec"]["names"]
        for plural in (words.WORKER_POOL_PLURAL, words.WORKER_PLURAL)
    }
    assert {plural: each["shortNames"] for plural, each in names.items()} == {
        "workerpools": ["wp"],
        "workers": ["wkr"],
    }
    assert all(each["categories"] == ["spacelift"] for each in names.values())


@pytest.mark.parametrize("plural", [words.WORKER_POOL_PLURAL, words.WORKER_PLURAL])
def test_conditions_have_the_standard_shape(plural: str) -> None:
    """What `kubectl wait` and every dashboard expect; a reason is one word."""
    conditions = schema_at(plural, "status.conditions")
    assert (conditions["x-kubernetes-list-map-keys"], conditions["maxItems"]) == (["type"], 16)
    item = conditions["items"]
    assert sorted(item["required"]) == ["lastTransitionTime", "message", "reason", "status", "type"]
    assert set(item["properties"]) == {*item["required"], "observedGeneration"}
    assert item["properties"]["status"]["enum"] == [
        words.CONDITION_TRUE,
        words.CONDITION_FALSE,
        words.CONDITION_UNKNOWN,
    ]
    reasons = {reason for table in CONDITIONS.values() for reason in table}
    assert all(re.fullmatch(item["properties"]["reason"]["pattern"], reason) for reason in reasons)


def test_the_documented_columns_are_printed() -> None:
    """The names that users know; those of lower priority only with -o wide."""
    shown = {
        plural: [
            column["name"]
            for column in definition(plural)["additionalPrinterColumns"]
            if "priority" not in column
        ]
        for plural in (words.WORKER_POOL_PLURAL, words.WORKER_PLURAL)
    }
    assert shown == {
        "workerpools": ["Desired pool size", "Actual pool size", "Auto registered"],
        "workers": ["Pool", "Registered", "Status", "Run ID"],
    }


def test_a_pool_can_be_scaled() -> None:
    """By kubectl scale, HPA and KEDA; the default size is the code's."""
    assert definition("workerpools")["subresources"]["scale"] == {
        "specReplicasPath": ".spec.poolSize",
        "statusReplicasPath": ".status.actualPoolSize",
        "labelSelectorPath": ".status.selector",
    }
    size = schema_at("workerpools", "spec.poolSize")
    assert (size["default"], size["minimum"]) == (words.DEFAULT_POOL_SIZE, 0)
    assert schema_at("workerpools", "spec.mqttReconnectRetryCount")["default"] == words.DEFAULT_MQTT_RETRIES


def test_the_ledgers_words_are_the_vocabularys() -> None:
    """A phase or state that the schema doesn't know would be refused, and the claim with it."""
    assert schema_at("workers", "status.registration")["enum"] == [
        words.REGISTRATION_PENDING,
        words.REGISTRATION_REGISTERED,
        words.REGISTRATION_DEREGISTERING,
        words.REGISTRATION_GONE,
    ]
    assert schema_at("workers", "status.state")["enum"] == [
        words.STATE_IDLE,
        words.STATE_BUSY,
        words.STATE_DRAINED,
    ]
    assert schema_at("workers", "status.run.phase")["enum"] == [
        words.PHASE_SCHEDULED,
        words.PHASE_STARTING,
        words.PHASE_RUNNING,
        words.PHASE_FINISHED,
    ]


def test_the_controllers_call_hooks_that_exist_under_the_names_the_agent_expects() -> None:
    """Metacontroller's finalizers are made of these names."""
    routes = {
        rule.rule for rule in create_app(ToldHealth()).url_map.iter_rules() if "POST" in (rule.methods or ())
    }
    controllers = documents("metacontroller")
    called = {
        hook["webhook"]["path"] for controller in controllers for hook in controller["spec"]["hooks"].values()
    }
    assert called == routes
    assert {controller["metadata"]["name"] for controller in controllers} == {
        words.POOL_CONTROLLER,
        words.WORKER_CONTROLLER,
    }
    assert words.POOL_FINALIZER.endswith(f"compositecontroller-{words.POOL_CONTROLLER}")
    assert words.WORKER_FINALIZER.endswith(f"decoratorcontroller-{words.WORKER_CONTROLLER}")


def test_the_controllers_reach_the_operators_service() -> None:
    """Name, namespace and port of the Service that is installed."""
    service = one("manifests", "Service", "spacelift-workerpool-controller-webhook-service")
    for controller in documents("metacontroller"):
        for hook in controller["spec"]["hooks"].values():
            assert hook["webhook"]["service"] == {
                "name": service["metadata"]["name"],
                "namespace": service["metadata"]["namespace"],
                "port": service["spec"]["ports"][0]["port"],
                "protocol": "http",
            }


def test_a_run_pod_is_never_updated_and_draining_reaches_a_worker() -> None:
    """OnDelete for Pods, InPlace for Workers."""
    decorator = one("metacontroller", "DecoratorController", words.WORKER_CONTROLLER)
    (pods,) = decorator["spec"]["attachments"]
    assert pods["updateStrategy"]["method"] == "OnDelete"
    composite = one("metacontroller", "CompositeController", words.POOL_CONTROLLER)
    (workers,) = composite["spec"]["childResources"]
    assert workers["updateStrategy"]["method"] == "InPlace"


def test_the_operator_may_do_only_what_it_does() -> None:
    """No wildcard; nothing on Workers but their status; Secrets are neither watched nor changed."""
    rules = one("manifests", "ClusterRole", "spacelift-workerpool-controller-manager-role")["rules"]
    granted: dict[str, set[str]] = {}
    for rule in rules:
        for resource in rule["resources"]:
            granted.setdefault(resource, set()).update(rule["verbs"])
    assert granted == {
        "workerpools": {"get", "list", "watch", "patch"},
        "workers": {"get", "list", "watch"},
        "workers/status": {"patch"},
        "pods": {"get", "list", "watch", "patch", "create"},
        "secrets": {"get", "create", "delete"},
        "controllerrevisions": {"create", "get", "list", "delete"},
        "events": {"create", "patch", "get", "list"},
    }


def test_every_rule_says_why_it_is_there() -> None:
    """A comment stands directly above each rule."""
    lines = (ROOT / "manifests" / "rbac.yaml").read_text(encoding="utf-8").splitlines()
    rules = [number for number, line in enumerate(lines) if line.startswith("  - apiGroups:")]
    assert rules
    assert all(lines[number - 1].startswith("  # ") for number in rules)


def test_everything_is_in_the_kustomizations() -> None:
    """A file that isn't listed would never be installed; samples are applied by hand."""
    for folder in ("crds", "metacontroller", "manifests"):
        listed = yaml.safe_load((ROOT / folder / "kustomization.yaml").read_text(encoding="utf-8"))[
            "resources"
        ]
        files = {path.name for path in (ROOT / folder).glob("*.yaml")} - {"kustomization.yaml"}
        assert files == {name for name in listed if name.endswith(".yaml")}
