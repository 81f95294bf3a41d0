"""Each value of the chart changes what it says, and values that can't be meant are refused with the way out."""

from __future__ import annotations

from typing import Any

import pytest

from app.settings import parse
from devcluster.progress import ClusterError
from tests.integration.chart import FULL, NAMESPACE, Object, at, named, objects, template
from tests.integration.chart_cases import (
    BOUNDS,
    CASES,
    CERTIFICATE,
    DEPLOYMENT,
    KNOWN,
    MANAGER,
    OF_THEIR_OWN,
    POD,
    PRESENT,
    Case,
)
from tests.unit.docs.chart_values import documented


def nested(pairs: tuple[tuple[str, Any], ...]) -> Object:
    """Return values from dotted names."""
    values: Object = {}
    for key, value in pairs:
        *way, last = key.split(".")
        target = values
        for step in way:
            target = target.setdefault(step, {})
        target[last] = value
    return values


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.key)
def test_a_value_shows_where_it_says(case: Case) -> None:
    """And isn't there without it."""
    found = objects(nested((*case.beside, (case.key, case.value))))
    assert at(named(found, *case.object), case.path) == case.expected
    before = objects(nested(case.beside))
    if case.key not in ("nameOverride", "fullnameOverride"):
        assert at(named(before, *case.object), case.path) != case.expected
    else:
        assert case.object[1] not in {each["metadata"]["name"] for each in before}


@pytest.mark.parametrize("key", PRESENT)
def test_a_switch_makes_an_object_or_leaves_it_out(key: str) -> None:
    """By kind, or by kind and name."""
    value, wanted, there, beside = PRESENT[key]

    def has(pairs: tuple[tuple[str, Any], ...]) -> bool:
        return any(
            f"{each['kind']}/{each['metadata']['name']}".startswith(wanted) for each in objects(nested(pairs))
        )

    assert has((*beside, (key, value))) is there
    assert has(beside) is not there


def test_every_value_is_tested() -> None:
    """A new one needs a case."""
    assert {*PRESENT, *OF_THEIR_OWN, *(case.key for case in CASES)} == {each.key for each in documented()}


def test_definitions_stay_when_the_chart_goes_and_take_annotations() -> None:
    """Their own annotations are kept: the operator checks the schemas' revision by one."""
    crds = {"install": True, "annotations": {"argocd.argoproj.io/sync-options": "ServerSideApply=true"}}

    def annotations(**more: Any) -> list[Object]:  # noqa: ANN401
        found = objects({"crds": {**crds, **more}})
        kind = "CustomResourceDefinition"
        return [each["metadata"]["annotations"] for each in found if each["kind"] == kind]

    for each in (kept := annotations()):
        assert each["helm.sh/resource-policy"] == "keep"
        assert each["argocd.argoproj.io/sync-options"] == "ServerSideApply=true"
        assert "workers.spacelift.io/schema-revision" in each
    assert len(kept) == 2
    assert all("helm.sh/resource-policy" not in each for each in annotations(keep=False))


def test_a_budget_has_one_of_both_bounds() -> None:
    """The other is unset by null."""
    found = objects(
        {
            "pdb": {"enabled": True, "minAvailable": None, "maxUnavailable": 0},
            "controllerManager": {"pdb": {"minAvailable": 1, "maxUnavailable": None}},
        }
    )
    kind = "PodDisruptionBudget"
    assert {key: at(named(found, kind, "-worker-pdb"), f"spec/{key}") for key in BOUNDS} == {
        "minAvailable": None,
        "maxUnavailable": 0,
    }
    assert {key: at(named(found, kind, "-controller-manager"), f"spec/{key}") for key in BOUNDS} == {
        "minAvailable": 1,
        "maxUnavailable": None,
    }


def test_a_file_of_values_that_users_have_is_taken() -> None:
    """Every name known before (charts for Kubernetes workers, 0.16), each set to something."""
    (deployment,) = [each for each in objects(KNOWN) if each["kind"] == "Deployment"]
    assert at(deployment, f"{MANAGER}/image") == "registry.example.com/op:1.0"
    assert {"--namespaces=team-a", "--enforce-fips140", "--metrics-secure=false", "--enable-http2"} <= set(
        at(deployment, f"{MANAGER}/args")
    )


def test_with_namespaces_rights_are_there_alone_and_the_hooks_need_no_token() -> None:
    """A Role, a binding and an argument for each; the ClusterRole is bound to nobody."""
    found = objects({"controllerManager": {"namespaces": ["team-a", "team-b"]}, "pdb": {"enabled": True}})
    for namespace in ("team-a", "team-b"):
        assert at(named(found, "Role", "-manager-role", namespace), "rules") is not None
        binding = named(found, "RoleBinding", "-manager-rolebinding", namespace)
        assert binding["subjects"][0]["namespace"] == NAMESPACE
        assert named(found, "PodDisruptionBudget", "-worker-pdb", namespace)
    bound = [each["roleRef"]["name"] for each in found if each["kind"] == "ClusterRoleBinding"]
    assert f"{FULL}-manager-role" not in bound
    args = at(named(found, *DEPLOYMENT), f"{MANAGER}/args")
    assert [each for each in args if each.startswith("--namespaces")] == [
        "--namespaces=team-a",
        "--namespaces=team-b",
    ]
    assert "--hook-require-token" not in args
    asked = objects({"controllerManager": {"namespaces": ["team-a"]}, "hooks": {"token": True}})
    assert "--hook-require-token" in at(named(asked, *DEPLOYMENT), f"{MANAGER}/args")


def test_names_of_hooks_begin_with_the_one_that_metacontroller_calls() -> None:
    """`<service>.<namespace>`; further ones follow."""
    found = objects({"hooks": {"serverNames": ["hooks.example.com"]}})
    names = at(named(found, *DEPLOYMENT), f"{MANAGER}/args/2").removeprefix("--hook-server-names=").split(",")
    service = at(named(found, "CompositeController", "workerpool"), "spec/hooks/sync/webhook/service")
    assert names[0] == f"{service['name']}.{service['namespace']}"
    assert names[-1] == "hooks.example.com"
    assert named(found, "Service", service["name"])["spec"]["ports"][0]["port"] == service["port"]


def test_the_secret_of_the_hooks_is_the_one_that_the_role_names() -> None:
    """With a certificate of one's own there is neither, nor the right to change Metacontroller's objects."""
    found = objects({"hooks": {"credentialsSecret": "mine"}})
    rules = named(found, "Role", "-hook-credentials-role")["rules"]
    assert [each.get("resourceNames") for each in rules] == [None, ["mine"]]
    own = objects(nested(CERTIFICATE))
    assert not [each for each in own if "hook-credentials" in each["metadata"]["name"]]
    assert len(named(own, "ClusterRole", "-cluster-role")["rules"]) == 1
    for kind, name in (("CompositeController", "workerpool"), ("DecoratorController", "worker")):
        assert named(own, kind, name)["spec"]["endpointConfigs"] == CERTIFICATE[1][1]


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"hooks": {"tls": False}, "controllerManager": {"namespaces": ["team-a", "team-b"]}},
        {"metricsService": {"enabled": True, "secure": False, "enableHTTP2": True}, "fullnameOverride": "op"},
        nested((*CERTIFICATE, ("hooks.tokenFile", "/hooks/token"))),
    ],
)
def test_the_operator_takes_the_arguments_and_means_the_objects(values: Object) -> None:
    """Its own parser reads them as a kubelet would give them."""
    found = objects(values)
    (deployment,) = [each for each in found if each["kind"] == "Deployment"]
    args = [each.replace("$(CONTROLLER_NAMESPACE)", NAMESPACE) for each in at(deployment, f"{MANAGER}/args")]
    settings = parse(args, {})
    names = {(each["kind"], each["metadata"]["name"]) for each in found}
    assert ("ServiceAccount", settings.service_account) in names
    assert ("ClusterRole", settings.manager_role) in names
    assert settings.controller_namespace == NAMESPACE
    assert list(settings.namespaces) == values.get("controllerManager", {}).get("namespaces", [])
    assert settings.hooks_are_secure is values.get("hooks", {}).get("tls", True)
    assert settings.hook_bind_address.port == at(deployment, f"{MANAGER}/ports/0/containerPort")


def test_openshift_is_recognized() -> None:
    """By its API; `false` keeps the user id all the same."""
    there = ("--api-versions", "security.openshift.io/v1")
    path = f"{POD}/securityContext"
    assert "runAsUser" not in at(named(objects({}, *there), *DEPLOYMENT), path)
    off = objects({"openshift": {"enabled": False}}, *there)
    assert at(named(off, *DEPLOYMENT), path)["runAsUser"] == 1983


def test_another_release_has_other_names_everywhere() -> None:
    """What the operator is told of itself follows; the longest release still gives names that Kubernetes takes."""
    found = objects(None, release="b" * 53)
    assert all(len(each["metadata"]["name"]) <= 63 for each in found if each["kind"] == "Service")
    args = at(next(each for each in found if each["kind"] == "Deployment"), f"{MANAGER}/args")
    (role,) = [each.split("=")[1] for each in args if each.startswith("--manager-role=")]
    (account,) = [each.split("=")[1] for each in args if each.startswith("--service-account=")]
    names = {(each["kind"], each["metadata"]["name"]) for each in found}
    assert {("ClusterRole", role), ("ServiceAccount", account)} <= names
    assert "--controller-namespace=$(CONTROLLER_NAMESPACE)" in args


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"spacelift-promex": {"enabled": True}}, "must include apiEndpoint in values"),
        ({"pdb": {"enabled": True, "maxUnavailable": 1}}, "pdb: set one of minAvailable and maxUnavailable"),
        ({"controllerManager": {"pdb": {"minAvailable": 1}}}, "controllerManager.pdb: set one of"),
        ({"pdb": {"enabled": True, "minAvailable": None}}, "the other to null"),
        ({"hooks": {"tls": False, "token": True}}, "needs TLS; set hooks.tls to true"),
        ({"hooks": {"tokenFile": "/t"}}, "needs hooks.certificateDir"),
        ({"hooks": {"certificateDir": "/c"}}, "doesn't know which authority to trust"),
        ({"hooks": {"endpointConfigs": [{"host": "a"}]}}, "needs hooks.certificateDir"),
        ({"controllerManager": {"manager": {"args": []}}}, "more than one needs --leader-elect"),
        ({"controllerManager": {"serviceAccount": {"create": False}}}, "it says which account is used"),
        ({"metricsService": {"serviceMonitor": {"enabled": True}}}, "needs metricsService.enabled"),
        # By the schema.
        ({"controllerManager": {"replica": 1}}, "replica"),
        ({"controllerManager": {"replicas": "two"}}, "replicas"),
        ({"controllerManager": {"namespaces": ["A_B"]}}, "namespaces"),
        ({"controllerManager": {"podAnnotations": {"a": True}}}, "podAnnotations"),
        ({"controllerManager": {"manager": {"image": {"tag": "latest"}}}}, "tag"),
        ({"metricsService": {"secure": "no"}}, "secure"),
        ({"crd": {}}, "crd"),
    ],
)
def test_values_that_cant_be_meant_are_refused(values: Object, words: str) -> None:
    """With the value's name and the way out."""
    with pytest.raises(ClusterError) as refused:
        objects(values)
    assert words in str(refused.value)


def test_a_cluster_without_metacontroller_is_told_so() -> None:
    """Before anything is installed; a real cluster is known by an API that each has."""
    real = ("--api-versions", "apiregistration.k8s.io/v1", "--set", "crds.install=false")
    with pytest.raises(
        ClusterError, match="Metacontroller isn't installed in this cluster: install it first"
    ):
        template(*real)
    assert "kind: CompositeController" in template(*real, "--api-versions", "metacontroller.k8s.io/v1alpha1")
    assert "kind: Deployment" in template(*real, "--set", "metacontroller.controllers=false")
