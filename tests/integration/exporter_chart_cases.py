"""The exporter chart's values, each with where it shows: data for test_exporter_chart.py."""

from __future__ import annotations

from typing import Any

from tests.integration.chart import FULL, Object
from tests.integration.chart_cases import Case

REQUIRED: Object = {
    "apiEndpoint": "https://a.example.com",
    "apiKeyId": "key",
    "apiKeySecretName": "credentials",
}
NAME = f"{FULL}-spacelift-promex"
POD = "spec/template/spec"
CONTAINER = f"{POD}/containers/0"
A = {"a": "b"}
L = [{"name": "a"}]
MONITOR = (("serviceMonitor.enabled", True),)
CA = (("caCert.enabled", True), ("caCert.secretName", "ca"))
OIDC = (("apiKeySecretName", ""), ("oidc.enabled", True))


def shown(
    key: str,
    value: Any,  # noqa: ANN401
    path: str,
    expected: Any,  # noqa: ANN401
    *beside: tuple[str, Any],
    kind: str = "Deployment",
) -> Case:
    """Return a case that shows in the one object of a kind."""
    return Case(key, value, (kind, NAME), path, expected, beside)


CASES = (
    Case("nameOverride", "px", ("Deployment", f"{FULL}-px"), "spec/replicas", 1),
    Case("fullnameOverride", "px", ("Deployment", "px"), "spec/replicas", 1),
    shown("replicaCount", 2, "spec/replicas", 2),
    shown("image.repository", "r/e", f"{CONTAINER}/image", "r/e:0.1.0"),
    shown("image.tag", "v0.7.0", f"{CONTAINER}/image", "workerpool-exporter:v0.7.0"),
    shown(
        "image.digest",
        f"sha256:{'a' * 64}",
        f"{CONTAINER}/image",
        f"workerpool-exporter@sha256:{'a' * 64}",
        ("image.tag", "1.0"),
    ),
    shown("image.pullPolicy", "Always", f"{CONTAINER}/imagePullPolicy", "Always"),
    shown("imagePullSecrets", L, f"{POD}/imagePullSecrets", L),
    shown("listenAddress", ":1234", f"{CONTAINER}/ports/0/containerPort", 1234),
    shown("labels", A, "metadata/labels/a", "b"),
    shown("annotations", A, "metadata/annotations", A),
    shown("podAnnotations", A, "spec/template/metadata/annotations", A),
    shown("podLabels", A, "spec/template/metadata/labels/a", "b"),
    shown("apiEndpoint", "http://other", f"{CONTAINER}/env/0/value", "http://other"),
    shown("apiKeyId", "oidc::issuer::id", f"{CONTAINER}/env/1/value", "oidc::issuer::id"),
    shown("apiKeySecretName", "mine", f"{CONTAINER}/env/2/valueFrom/secretKeyRef/name", "mine"),
    shown("caCert.secretName", "mine", f"{POD}/volumes/0/secret/secretName", "mine", CA[0]),
    shown("caCert.secretKey", "c.pem", f"{CONTAINER}/env/6/value", "/certs/c.pem", *CA),
    shown("caCert.mountPath", "/mine", f"{CONTAINER}/volumeMounts/0/mountPath", "/mine", *CA),
    shown("nodeSelector", A, f"{POD}/nodeSelector", A),
    shown("tolerations", [{"key": "a"}], f"{POD}/tolerations", [{"key": "a"}]),
    shown("affinity", {"nodeAffinity": {}}, f"{POD}/affinity", {"nodeAffinity": {}}),
    shown("scrapeTimeout", "9s", f"{CONTAINER}/env/4/value", "9s"),
    shown("runsByNeed", False, f"{CONTAINER}/env/5/value", "false"),
    shown("isDevelopment", True, f"{CONTAINER}/env/6/value", "true"),
    shown("extraEnv", [{"name": "HTTPS_PROXY", "value": "p"}], f"{CONTAINER}/env/6/value", "p"),
    shown(
        "oidc.audience",
        "mine",
        f"{POD}/volumes/0/projected/sources/0/serviceAccountToken/audience",
        "mine",
        *OIDC,
    ),
    shown("serviceAccount.annotations", A, "metadata/annotations", A, kind="ServiceAccount"),
    shown("serviceAccount.name", "mine", f"{POD}/serviceAccountName", "mine"),
    shown("resources", {"limits": {"memory": "1Gi"}}, f"{CONTAINER}/resources/limits/memory", "1Gi"),
    shown("podSecurityContext", {"fsGroup": 7}, f"{POD}/securityContext/fsGroup", 7),
    shown("securityContext", {"runAsUser": 5}, f"{CONTAINER}/securityContext/runAsUser", 5),
    shown("openshift.enabled", True, f"{POD}/securityContext/runAsUser", None),
    shown(
        "networkPolicy.from",
        [{"podSelector": {}}],
        "spec/ingress/0/from",
        [{"podSelector": {}}],
        kind="NetworkPolicy",
    ),
    shown("networkPolicy.egress", True, "spec/policyTypes/1", "Egress", kind="NetworkPolicy"),
    shown(
        "networkPolicy.egressPorts",
        [8443],
        "spec/egress/1/ports/0/port",
        8443,
        ("networkPolicy.egress", True),
        kind="NetworkPolicy",
    ),
    *(
        shown(f"serviceMonitor.{key}", value, path, expected, *MONITOR, kind="ServiceMonitor")
        for key, value, path, expected in (
            ("namespace", "prom", "metadata/namespace", "prom"),
            ("additionalLabels", A, "metadata/labels/a", "b"),
            ("annotations", A, "metadata/annotations", A),
            ("interval", "1m", "spec/endpoints/0/interval", "1m"),
            ("scrapeTimeout", "7s", "spec/endpoints/0/scrapeTimeout", "7s"),
        )
    ),
)

PRESENT: dict[str, tuple[Any, str, bool]] = {
    "networkPolicy.enabled": (False, "NetworkPolicy", False),
    "service.enabled": (True, "Service", True),
    "serviceMonitor.enabled": (True, "ServiceMonitor", True),
    "serviceAccount.create": (False, "ServiceAccount", False),
}
"""Value -> what it is set to, the kind that this makes or leaves out, and which of both."""

OF_THEIR_OWN = {"caCert.enabled", "oidc.enabled"}
"""Values with a test of their own."""

KNOWN: Object = {
    **REQUIRED,
    "replicaCount": 1,
    "image": {"repository": "public.ecr.aws/spacelift/promex", "tag": "v0.7.0", "pullPolicy": "IfNotPresent"},
    "listenAddress": ":9953",
    "labels": {"app.spacelift.io/example": "a"},
    "annotations": {"app.spacelift.io/example": "a"},
    "podAnnotations": {"app.spacelift.io/example": "a"},
    "caCert": {"enabled": True, "secretName": "ca", "secretKey": "ca.crt", "mountPath": "/certs"},
    "nodeSelector": {"kubernetes.io/arch": "amd64"},
    "imagePullSecrets": L,
}
"""Every value of the chart that users know, set to something."""
