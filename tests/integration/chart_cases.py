"""The chart's values, each with where it shows: data for test_chart_values.py."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tests.integration.chart import FULL, NAMESPACE, Object

DEPLOYMENT = ("Deployment", "-controller-manager")
POD = "spec/template/spec"
MANAGER = f"{POD}/containers/0"


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
    "controllerManager.pdb.minAvailable",
    "pdb.maxUnavailable",
    "hooks.endpointConfigs",
    "hooks.serverNames",
    "spacelift-promex.enabled",
}
"""Values with a test of their own."""


BOUNDS = ("minAvailable", "maxUnavailable")

KNOWN: Object = {
    "crds": {"install": False, "annotations": A},
    "nameOverride": "op",
    "fullnameOverride": "op",
    "kubernetesClusterDomain": "cluster.local",
    "controllerManager": {
        "namespaces": ["team-a"],
        "replicas": 1,
        "annotations": A,
        "podAnnotations": A,
        "extraLabels": A,
        "serviceAccount": {"create": True, "annotations": A, "labels": A, "name": "op"},
        "nodeSelector": A,
        "tolerations": [{"operator": "Exists"}],
        "topologySpreadConstraints": [],
        "imagePullSecrets": L,
        "extraVolumes": [{"name": "a", "emptyDir": {}}],
        "enforceFips140": True,
        "manager": {
            "args": ["--health-probe-bind-address=:8081", "--leader-elect"],
            "containerSecurityContext": {"readOnlyRootFilesystem": True},
            "image": {"repository": "registry.example.com/op", "tag": "1.0"},
            "resources": {"limits": {"memory": "128Mi"}},
            "extraVolumeMounts": [{"name": "a", "mountPath": "/a"}],
            "extraPodLabels": A,
        },
    },
    "metricsService": {
        "enabled": True,
        "secure": False,
        "enableHTTP2": True,
        "ports": [{"name": "https", "port": 8443, "protocol": "TCP", "targetPort": "metrics"}],
        "type": "ClusterIP",
        "serviceMonitor": {
            "enabled": True,
            "port": "https",
            "interval": "30s",
            "scrapeTimeout": "10s",
            "path": "/metrics",
            "scheme": "http",
            "namespace": "prom",
            "additionalLabels": A,
            "annotations": A,
            "tlsConfig": {"insecureSkipVerify": True},
            "bearerTokenFile": "/token",
        },
    },
    "pdb": {"enabled": True, "minAvailable": "100%"},
    "spacelift-promex": {"enabled": False, "apiEndpoint": "https://example.com", "apiKeyId": "a"},
}
