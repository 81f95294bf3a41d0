"""Facts about what is installed: the YAML agrees with the code, and grants no more than it says."""

import re
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from app import vocabulary as words
from app.agent.unserved import Grant
from app.reasons import CONDITIONS
from app.serving import GRACE_SECONDS
from app.settings import Settings, parse, variable_of
from app.web.application import create_app
from devcluster import kubectl
from tests.unit.web.health import ToldHealth

ROOT = Path(__file__).parents[3]
# The CRDs take the pure Python parser ten seconds.


INSTALLED = {"manifests": "install.yaml", "manifests/metacontroller": "install-metacontroller.yaml"}
"""Folders that are bases and components, by the file that kustomize made of them."""


@cache
def documents(folder: str) -> list[dict[str, Any]]:
    """Return every object that a folder installs, kustomizations apart."""
    one_file = INSTALLED.get(folder)
    files = [ROOT / "manifests" / one_file] if one_file else sorted((ROOT / folder).glob("*.yaml"))
    loaded = [item for file in files for item in kubectl.parse(file.read_text(encoding="utf-8"))]
    return [item for item in loaded if item["kind"] not in ("Kustomization", "Component")]


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
                "protocol": "https",
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
        "namespaces": {"get"},
        "events": {"create", "patch", "list"},
    }


@pytest.mark.parametrize("folder", INSTALLED)
def test_no_rule_has_a_wildcard(folder: str) -> None:
    """Not Metacontroller's either: whoever answers its hooks has its rights."""
    roles = [each for each in documents(folder) if each["kind"] in ("Role", "ClusterRole")]
    assert roles
    for role in roles:
        assert "*" not in str(role["rules"])


def test_a_role_in_a_namespace_grants_what_the_cluster_role_does() -> None:
    """One set of rights, for all namespaces or for some."""
    (role, _) = documents("manifests/pool-namespace")
    everywhere = one("manifests", "ClusterRole", words.MANAGER_ROLE)
    to_grant = one("manifests/components/namespaces", "ClusterRole", words.MANAGER_ROLE)
    assert role["rules"] == everywhere["rules"] == to_grant["rules"]


def test_the_command_that_grants_names_what_is_installed() -> None:
    """The account, its namespace, and a role that exists."""
    account = one("manifests", "ServiceAccount", words.CONTROLLER_ACCOUNT)
    assert account["metadata"]["namespace"] == words.CONTROLLER_NAMESPACE
    command = Grant(words.CONTROLLER_NAMESPACE, words.CONTROLLER_ACCOUNT, words.MANAGER_ROLE).command(
        "team-c"
    )
    (_, binding) = documents("manifests/pool-namespace")
    assert f" {binding['metadata']['name']} --namespace=team-c " in command


def test_the_operator_may_keep_leases_in_its_own_namespace_alone() -> None:
    """One Lease for each replica: made, renewed by patches, watched, and deleted at the end."""
    role = one("manifests", "Role", "spacelift-workerpool-controller-leader-election-role")
    (namespace,) = [each for each in documents("manifests") if each["kind"] == "Namespace"]
    assert role["metadata"]["namespace"] == namespace["metadata"]["name"] == words.CONTROLLER_NAMESPACE
    assert role["rules"] == [
        {
            "apiGroups": ["coordination.k8s.io"],
            "resources": ["leases"],
            "verbs": ["get", "list", "watch", "create", "patch", "delete"],
        }
    ]


def test_of_the_hooks_secret_only_the_one_by_its_name_may_be_touched() -> None:
    """The name in the role is the one in the Deployment's arguments, and Metacontroller's objects are the operator's."""
    role = one("manifests", "Role", "spacelift-workerpool-controller-hook-credentials-role")
    named = [rule for rule in role["rules"] if "resourceNames" in rule]
    (secret,) = [rule["resourceNames"] for rule in named]
    assert arguments().hook_credentials_secret == secret[0]
    assert [rule["verbs"] for rule in role["rules"] if rule not in named] == [["create"]]
    cluster = one("manifests", "ClusterRole", "spacelift-workerpool-controller-cluster-role")
    told = {
        rule["resources"][0]: rule["resourceNames"]
        for rule in cluster["rules"]
        if rule["apiGroups"] == ["metacontroller.k8s.io"]
    }
    assert told == {
        "compositecontrollers": [words.POOL_CONTROLLER],
        "decoratorcontrollers": [words.WORKER_CONTROLLER],
    }


def arguments() -> Settings:
    """Return the settings of the operator as it is deployed."""
    spec = one("manifests", "Deployment", "spacelift-workerpool-controller-controller-manager")["spec"]
    (container,) = spec["template"]["spec"]["containers"]
    return parse(container["args"], {variable_of("replica_name"): "controller-manager-6f7d8c9b4-x2k7p"})


def test_hooks_are_served_as_metacontroller_calls_them() -> None:
    """Over TLS, for the Service's name, with a token."""
    chosen = arguments()
    service = one("manifests", "Service", words.HOOK_SERVICE)
    host = f"{service['metadata']['name']}.{service['metadata']['namespace']}"
    assert (chosen.hooks_are_secure, chosen.hook_require_token) == (True, True)
    assert host in chosen.names_of_hooks
    (container,) = one("manifests", "Deployment", "spacelift-workerpool-controller-controller-manager")[
        "spec"
    ]["template"]["spec"]["containers"]
    ports = {each["name"]: each["containerPort"] for each in container["ports"]}
    assert ports == {
        "hooks": chosen.hook_bind_address.port,
        "probes": chosen.health_probe_bind_address.port,
    }
    assert service["spec"]["ports"][0]["targetPort"] == "hooks"


def test_only_metacontroller_may_connect_to_the_hooks() -> None:
    """The policy means the Pods that the other manifest makes."""
    (policy,) = [each for each in documents("manifests") if each["kind"] == "NetworkPolicy"]
    (rule,) = policy["spec"]["ingress"]
    assert rule["ports"] == [{"protocol": "TCP", "port": "hooks"}]
    (peer,) = rule["from"]
    caller = one("manifests/metacontroller", "Deployment", "metacontroller")
    assert peer["namespaceSelector"]["matchLabels"] == {
        "kubernetes.io/metadata.name": caller["metadata"]["namespace"]
    }
    assert peer["podSelector"]["matchLabels"] == caller["spec"]["template"]["metadata"]["labels"]


@pytest.mark.parametrize("folder", INSTALLED)
def test_every_pod_is_restricted_has_limits_and_a_fixed_image(folder: str) -> None:
    """No image tag floats; nothing runs as root; a class of its own keeps run Pods from pushing it out."""
    classes = {each["metadata"]["name"] for each in documents(folder) if each["kind"] == "PriorityClass"}
    (deployment,) = [each for each in documents(folder) if each["kind"] == "Deployment"]
    assert deployment["spec"]["replicas"] == 2
    pod = deployment["spec"]["template"]["spec"]
    assert {pod["priorityClassName"]} == classes
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    (container,) = pod["containers"]
    assert re.fullmatch(r"[^:@]+:v?[0-9]+\.[0-9]+\.[0-9]+", container["image"])
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["resources"]["limits"]["memory"].endswith("Mi")
    assert {"livenessProbe", "readinessProbe"} <= container.keys()


def test_metacontroller_has_settings_that_fit() -> None:
    """Not its own of 5 workers and 5 requests a second; one of two leads; old versions are named nowhere."""
    (container,) = one("manifests/metacontroller", "Deployment", "metacontroller")["spec"]["template"][
        "spec"
    ]["containers"]
    given = dict(each.removeprefix("--").partition("=")[::2] for each in container["args"])
    assert int(given["workers"]) >= 20
    assert float(given["client-go-qps"]) >= 100
    assert int(given["client-go-burst"]) >= float(given["client-go-qps"])
    assert "leader-election" in given
    assert container["image"].endswith(":v4.17.2")


def test_two_replicas_are_replaced_one_after_the_other() -> None:
    """Never fewer than there should be, on different nodes where possible, each named after its Pod."""
    spec = one("manifests", "Deployment", "spacelift-workerpool-controller-controller-manager")["spec"]
    assert spec["replicas"] == 2
    assert spec["strategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1},
    }
    labels = spec["template"]["metadata"]["labels"]
    pod = spec["template"]["spec"]
    spread = {each["topologyKey"]: each for each in pod["topologySpreadConstraints"]}
    assert set(spread) == {"topology.kubernetes.io/zone", "kubernetes.io/hostname"}
    assert all(each["labelSelector"]["matchLabels"] == labels for each in spread.values())
    (container,) = pod["containers"]
    assert "--leader-elect" in container["args"]
    (name,) = container["env"]
    assert name["name"] == variable_of("replica_name")
    assert name["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.name"}}
    assert pod["terminationGracePeriodSeconds"] > GRACE_SECONDS
    (budget,) = [each for each in documents("manifests") if each["kind"] == "PodDisruptionBudget"]
    assert budget["spec"] == {"maxUnavailable": 1, "selector": {"matchLabels": labels}}


def test_the_deployments_arguments_are_accepted() -> None:
    """A Pod that ends with status 2 says so to nobody who watches the rollout."""
    chosen = arguments()
    assert (chosen.leader_elect, list(chosen.warnings())) == (True, [])


def test_every_rule_says_why_it_is_there() -> None:
    """A comment stands directly above each rule."""
    files = [
        path
        for path in (ROOT / "manifests").rglob("*.yaml")
        if "rules:" in path.read_text(encoding="utf-8") and not path.name.startswith("install")
    ]
    assert len(files) > 4
    for path in files:
        lines = path.read_text(encoding="utf-8").splitlines()
        rules = [
            number
            for number, line in enumerate(lines)
            if line.startswith(("  - apiGroups:", "  - nonResourceURLs:"))
        ]
        assert [lines[number] for number in rules if not lines[number - 1].startswith("  # ")] == [], path


def test_everything_is_in_the_kustomizations() -> None:
    """A file that isn't listed would never be installed; samples are applied by hand."""
    manifests = ROOT / "manifests"
    folders = [path.parent for path in manifests.rglob("kustomization.yaml")]
    assert len(folders) > 15
    for folder in (*folders, ROOT / "crds", ROOT / "metacontroller"):
        said = yaml.safe_load((folder / "kustomization.yaml").read_text(encoding="utf-8"))
        listed = set(said.get("resources", ())) | {
            each["path"] for each in said.get("patches", ()) if "path" in each
        }
        files = {path.name for path in folder.glob("*.yaml")} - {"kustomization.yaml", *INSTALLED.values()}
        assert files == {name for name in listed if name.endswith(".yaml")}, folder


def test_every_overlay_names_components_that_exist() -> None:
    """And each component is in an overlay, the restricted egress apart: what is open there, only an administrator knows."""
    used = set()
    for path in (ROOT / "manifests" / "overlays").glob("*/kustomization.yaml"):
        for each in yaml.safe_load(path.read_text(encoding="utf-8")).get("components", ()):
            used.add((path.parent / each).resolve())
    components = {path.parent for path in (ROOT / "manifests" / "components").glob("*/kustomization.yaml")}
    assert components - used == {ROOT / "manifests" / "components" / "egress"}
    assert used <= components
