"""Each value of the chart changes what it says, and values that can't be meant are refused with the way out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from devcluster.progress import ClusterError
from tests.integration.chart import FULL, NAMESPACE, Object, at, named, objects, template
from tests.unit.docs.chart_values import documented

DEPLOYMENT = ("Deployment", "-controller-manager")
POD = "spec/template/spec"
MANAGER = f"{POD}/containers/0"
MONITOR = {"enabled": True, "serviceMonitor": {"enabled": True}}


@dataclass(frozen=True)
class Case:
    """One value, and where it shows."""

    key: str
    value: Any
    object: tuple[str, str]
    path: str
    expected: Any
    beside: tuple[tuple[str, Any], ...] = ()
    """Values that it needs, which are set for the comparison, too."""


def deployed(key: str, value: Any, path: str, expected: Any, *beside: tuple[str, Any]) -> Case:  # noqa: ANN401
    """Return a case that shows in the Deployment."""
    return Case(key, value, DEPLOYMENT, path, expected, beside)


METRICS = ("metricsService.enabled", True)
SCRAPED = (METRICS, ("metricsService.serviceMonitor.enabled", True))
SERVICE_MONITOR = ("ServiceMonitor", "-metrics-service")
ENDPOINT = "spec/endpoints/0"
CERTIFICATE = (
    ("hooks.certificateDir", "/hooks"),
    ("hooks.endpointConfigs", [{"host": "hooks.ns", "caBundle": {"inline": "PEM"}}]),
)
A = {"a": "b"}
L = [{"name": "a"}]

CASES = (
    Case("nameOverride", "op", ("Service", f"{FULL}-op-webhook-service"), "spec/type", "ClusterIP"),
    Case("fullnameOverride", "op", ("Service", "op-webhook-service"), "spec/type", "ClusterIP"),
    deployed(
        "kubernetesClusterDomain",
        "corp",
        f"{MANAGER}/args/2",
        "--hook-server-names="
        + ",".join(f"{FULL}-webhook-service.{NAMESPACE}{end}" for end in ("", ".svc", ".svc.corp")),
    ),
    deployed("controllerManager.replicas", 3, "spec/replicas", 3),
    deployed("controllerManager.annotations", A, "metadata/annotations", A),
    deployed("controllerManager.podAnnotations", A, "spec/template/metadata/annotations/a", "b"),
    deployed("controllerManager.extraLabels", A, "metadata/labels/a", "b"),
    deployed("controllerManager.enforceFips140", True, f"{MANAGER}/image", "workerpool-operator:0.1.0-fips"),
    deployed("controllerManager.nodeSelector", A, f"{POD}/nodeSelector", A),
    deployed("controllerManager.tolerations", [{"key": "a"}], f"{POD}/tolerations", [{"key": "a"}]),
    deployed("controllerManager.affinity", {"nodeAffinity": {}}, f"{POD}/affinity", {"nodeAffinity": {}}),
    deployed("controllerManager.topologySpreadConstraints", [], f"{POD}/topologySpreadConstraints", None),
    deployed("controllerManager.imagePullSecrets", L, f"{POD}/imagePullSecrets", L),
    deployed("controllerManager.extraVolumes", L, f"{POD}/volumes/1", L[0]),
    deployed(
        "controllerManager.terminationGracePeriodSeconds", 60, f"{POD}/terminationGracePeriodSeconds", 60
    ),
    deployed("controllerManager.podSecurityContext", {"fsGroup": 7}, f"{POD}/securityContext/fsGroup", 7),
    deployed("controllerManager.manager.args", ["--leader-elect"], f"{MANAGER}/args/4", "--leader-elect"),
    deployed("controllerManager.manager.extraArgs", ["--threads=32"], f"{MANAGER}/args/6", "--threads=32"),
    deployed("controllerManager.manager.image.repository", "r/o", f"{MANAGER}/image", "r/o:0.1.0"),
    deployed("controllerManager.manager.image.tag", "2.0", f"{MANAGER}/image", "workerpool-operator:2.0"),
    deployed(
        "controllerManager.manager.image.digest",
        f"sha256:{'a' * 64}",
        f"{MANAGER}/image",
        f"workerpool-operator@sha256:{'a' * 64}",
    ),
    deployed("controllerManager.manager.image.pullPolicy", "Always", f"{MANAGER}/imagePullPolicy", "Always"),
    deployed(
        "controllerManager.manager.resources",
        {"limits": {"memory": "1Gi"}},
        f"{MANAGER}/resources/limits/memory",
        "1Gi",
    ),
    deployed(
        "controllerManager.manager.containerSecurityContext",
        {"runAsUser": 5},
        f"{MANAGER}/securityContext/runAsUser",
        5,
    ),
    deployed(
        "controllerManager.manager.extraVolumeMounts",
        [{"name": "a", "mountPath": "/a"}],
        f"{MANAGER}/volumeMounts/1/mountPath",
        "/a",
    ),
    deployed("controllerManager.manager.extraPodLabels", A, "spec/template/metadata/labels/a", "b"),
    Case(
        "controllerManager.serviceAccount.annotations",
        A,
        ("ServiceAccount", "-controller-manager"),
        "metadata/annotations",
        A,
    ),
    Case(
        "controllerManager.serviceAccount.labels",
        A,
        ("ServiceAccount", "-controller-manager"),
        "metadata/labels/a",
        "b",
    ),
    deployed("controllerManager.serviceAccount.name", "mine", f"{MANAGER}/args/6", "--service-account=mine"),
    Case(
        "controllerManager.pdb.maxUnavailable",
        "50%",
        ("PodDisruptionBudget", "-controller-manager"),
        "spec/maxUnavailable",
        "50%",
    ),
    Case(
        "controllerManager.pdb.minAvailable",
        1,
        ("PodDisruptionBudget", "-controller-manager"),
        "spec/minAvailable",
        1,
        (("controllerManager.pdb.maxUnavailable", None),),
    ),
    deployed("controllerManager.priorityClass.create", False, f"{POD}/priorityClassName", None),
    deployed("controllerManager.priorityClass.name", "high", f"{POD}/priorityClassName", "high"),
    Case("controllerManager.priorityClass.value", 7, ("PriorityClass", ""), "value", 7),
    deployed("hooks.tls", False, f"{MANAGER}/args/0", "--hook-bind-address=:8080"),
    deployed("hooks.token", False, f"{MANAGER}/args/3", "--health-probe-bind-address=:8081"),
    deployed("hooks.credentialsSecret", "mine", f"{MANAGER}/args/1", "--hook-credentials-secret=mine"),
    deployed(
        "hooks.tokenFile", "/hooks/token", f"{MANAGER}/args/2", "--hook-token-file=/hooks/token", *CERTIFICATE
    ),
    deployed(
        "hooks.certificateDir",
        "/hooks",
        f"{MANAGER}/args/1",
        "--hook-certificate-dir=/hooks",
        ("metacontroller.controllers", False),
    ),
    Case(
        "metacontroller.namespace",
        "mc",
        ("NetworkPolicy", "-controller-manager"),
        "spec/ingress/0/from/0/namespaceSelector/matchLabels/kubernetes.io~1metadata.name",
        "mc",
    ),
    Case(
        "metacontroller.podLabels",
        A,
        ("NetworkPolicy", "-controller-manager"),
        "spec/ingress/0/from/0/podSelector/matchLabels/a",
        "b",
    ),
    Case(
        "networkPolicy.metricsNamespaceLabels",
        A,
        ("NetworkPolicy", "-controller-manager"),
        "spec/ingress/1/from/0/namespaceSelector/matchLabels/a",
        "b",
        (METRICS, ("metricsService.secure", False)),
    ),
    deployed("openshift.enabled", True, f"{POD}/securityContext/runAsUser", None),
    deployed("metricsService.enabled", True, f"{MANAGER}/ports/2/containerPort", 8443),
    deployed("metricsService.secure", False, f"{MANAGER}/args/7", "--metrics-secure=false", METRICS),
    deployed("metricsService.enableHTTP2", True, f"{MANAGER}/args/7", "--enable-http2", METRICS),
    Case(
        "metricsService.type",
        "NodePort",
        ("Service", "-metrics-service"),
        "spec/type",
        "NodePort",
        (METRICS,),
    ),
    Case(
        "metricsService.ports",
        [{"name": "http", "port": 80, "targetPort": "metrics"}],
        ("Service", "-metrics-service"),
        "spec/ports/0/port",
        80,
        (METRICS,),
    ),
    *(
        Case(f"metricsService.serviceMonitor.{key}", value, SERVICE_MONITOR, path, expected, SCRAPED)
        for key, value, path, expected in (
            ("namespace", "prom", "metadata/namespace", "prom"),
            ("additionalLabels", A, "metadata/labels/a", "b"),
            ("annotations", A, "metadata/annotations", A),
            ("port", "http", f"{ENDPOINT}/port", "http"),
            ("interval", "1m", f"{ENDPOINT}/interval", "1m"),
            ("scrapeTimeout", "5s", f"{ENDPOINT}/scrapeTimeout", "5s"),
            ("path", "/m", f"{ENDPOINT}/path", "/m"),
            ("scheme", "http", f"{ENDPOINT}/scheme", "http"),
            ("tlsConfig", {"insecureSkipVerify": True}, f"{ENDPOINT}/tlsConfig/insecureSkipVerify", True),
            ("bearerTokenFile", "/t", f"{ENDPOINT}/bearerTokenFile", "/t"),
        )
    ),
    Case(
        "pdb.minAvailable",
        3,
        ("PodDisruptionBudget", "-worker-pdb"),
        "spec/minAvailable",
        3,
        (("pdb.enabled", True),),
    ),
    Case(
        "pdb.maxUnavailable",
        0,
        ("PodDisruptionBudget", "-worker-pdb"),
        "spec/maxUnavailable",
        0,
        (("pdb.enabled", True), ("pdb.minAvailable", None)),
    ),
)

PRESENT: dict[str, tuple[Any, str, bool, tuple[tuple[str, Any], ...]]] = {
    "crds.install": (True, "CustomResourceDefinition", True, ()),
    "controllerManager.announceUnserved": (
        False,
        f"ClusterRole/{FULL}-announcer-role",
        False,
        (("controllerManager.namespaces", ["a"]),),
    ),
    "controllerManager.pdb.enabled": (False, "PodDisruptionBudget", False, ()),
    "controllerManager.serviceAccount.create": (
        False,
        "ServiceAccount",
        False,
        (("controllerManager.serviceAccount.name", "mine"),),
    ),
    "metacontroller.controllers": (False, "CompositeController/workerpool", False, ()),
    "networkPolicy.enabled": (False, "NetworkPolicy", False, ()),
    "networkPolicy.egress": (True, f"NetworkPolicy/{FULL}-egress", True, ()),
    "metricsService.serviceMonitor.enabled": (True, "ServiceMonitor", True, (METRICS,)),
    "pdb.enabled": (True, f"PodDisruptionBudget/{FULL}-worker-pdb", True, ()),
}
"""Value -> what it is set to, the object that this makes or leaves out, which of both, and values beside it."""

OF_THEIR_OWN = {
    "crds.keep",
    "crds.annotations",
    "controllerManager.namespaces",
    "hooks.endpointConfigs",
    "hooks.serverNames",
    "spacelift-promex.enabled",
}
"""Values with a test below."""


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
        ({"spacelift-promex": {"enabled": True}}, "the exporter isn't part of this version"),
        ({"pdb": {"enabled": True, "maxUnavailable": 1}}, "exclude each other; set one of them to null"),
        ({"controllerManager": {"pdb": {"minAvailable": 1}}}, "controllerManager.pdb: minAvailable and maxUnavail"),
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
