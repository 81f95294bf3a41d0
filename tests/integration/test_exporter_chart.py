"""The exporter's chart, by itself and as part of the operator's."""

from __future__ import annotations

import json
import shlex
import tempfile
from functools import cache
from pathlib import Path

import pytest

from devcluster import charts, helm, kubectl
from devcluster.paths import REPOSITORY
from devcluster.progress import ClusterError
from exporter.settings import OPTIONS, parse
from tests.integration.chart import FULL, KUBERNETES, Object, at, command, objects, template
from tests.integration.chart_cases import Case
from tests.integration.exporter_chart_cases import (
    CASES,
    CONTAINER,
    KNOWN,
    NAME,
    OF_THEIR_OWN,
    OIDC,
    POD,
    PRESENT,
    REQUIRED,
)
from tests.integration.kubernetes_schemas import CLIENTS, models
from tests.integration.test_chart_values import nested
from tests.unit.docs.chart_values import EXPORTER, documented

CHART = charts.CHARTS / "spacelift-promex"


@cache
def _made(values: str, arguments: tuple[str, ...]) -> list[Object]:
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        file.write(values)
        file.flush()
        text = template("--values", file.name, *arguments, chart=CHART)
    return kubectl.parse(text)


def made(values: Object, *arguments: str) -> list[Object]:
    """Return the objects of the chart by itself; what it needs is given."""
    return _made(json.dumps({**REQUIRED, **values}, sort_keys=True), arguments)


def one(found: list[Object], kind: str, name: str = "") -> Object:
    """Return the one object of a kind."""
    (chosen,) = [each for each in found if each["kind"] == kind and name in ("", each["metadata"]["name"])]
    return chosen


def variables(found: list[Object]) -> dict[str, str]:
    """Return the container's environment; a Secret's value is `secret`."""
    env: list[Object] = at(one(found, "Deployment"), f"{CONTAINER}/env")
    return {each["name"]: each.get("value", "secret") for each in env}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.key)
def test_a_value_shows_where_it_says(case: Case) -> None:
    """And isn't there without it."""
    found = made(nested((*case.beside, (case.key, case.value))))
    assert at(one(found, *case.object), case.path) == case.expected
    if case.key.endswith("nameOverride") or case.key == "caCert.secretName":
        return
    before = made(nested(case.beside))
    assert at(one(before, case.object[0]), case.path) != case.expected or case.key == "fullnameOverride"


@pytest.mark.parametrize("key", PRESENT)
def test_a_switch_makes_an_object_or_leaves_it_out(key: str) -> None:
    """By its kind."""
    value, kind, there = PRESENT[key]
    assert (kind in {each["kind"] for each in made(nested(((key, value),)))}) is there
    assert (kind in {each["kind"] for each in made({})}) is not there


def test_every_value_is_tested() -> None:
    """A new one needs a case."""
    ours = {each.key for each in documented(EXPORTER)}
    assert {*PRESENT, *OF_THEIR_OWN, *(case.key for case in CASES)} == ours


@pytest.mark.parametrize(
    "values",
    [
        {},
        KNOWN,
        nested(OIDC),
        {"listenAddress": "[::]:9000", "isDevelopment": True, "runsByNeed": False, "scrapeTimeout": "1m30s"},
    ],
)
def test_the_exporter_takes_the_variables(values: Object) -> None:
    """Its own parser reads them as a kubelet would give them, and no variable is unknown to it."""
    found = made(values)
    settings = parse([], variables(found))
    assert settings.api_endpoint == REQUIRED["apiEndpoint"]
    assert settings.listen_address.port == at(one(found, "Deployment"), f"{CONTAINER}/ports/0/containerPort")
    assert settings.runs_by_need is values.get("runsByNeed", True)
    assert {*variables(found)} <= {option.variable for option in OPTIONS}


def test_the_secret_is_named_by_the_key_that_users_have() -> None:
    """And stands in no object of the chart."""
    found = made({})
    reference = at(one(found, "Deployment"), f"{CONTAINER}/env/2")
    assert reference == {
        "name": "SPACELIFT_PROMEX_API_KEY_SECRET",
        "valueFrom": {"secretKeyRef": {"name": "credentials", "key": "SPACELIFT_PROMEX_API_KEY_SECRET"}},
    }
    assert "Secret" not in {each["kind"] for each in found}


def test_a_token_takes_the_secrets_place() -> None:
    """A projected one, for nobody else; there is no other token in the Pod."""
    found = made(nested(OIDC))
    given = variables(found)
    (mount,) = at(one(found, "Deployment"), f"{CONTAINER}/volumeMounts")
    assert given["SPACELIFT_PROMEX_API_KEY_SECRET_FILE"] == f"{mount['mountPath']}/token"
    assert "SPACELIFT_PROMEX_API_KEY_SECRET" not in given
    assert at(one(found, "Deployment"), f"{POD}/automountServiceAccountToken") is False


def test_the_authority_is_mounted_where_the_exporter_looks() -> None:
    """Read-only."""
    found = made({"caCert": {"enabled": True, "secretName": "ca"}})
    (mount,) = at(one(found, "Deployment"), f"{CONTAINER}/volumeMounts")
    assert mount == {"name": "ca-cert", "mountPath": "/certs", "readOnly": True}
    assert variables(found)["SPACELIFT_PROMEX_CA_CERT_PATH"] == "/certs/ca.crt"
    assert at(one(found, "Deployment"), f"{POD}/volumes/0") == {
        "name": "ca-cert",
        "secret": {"secretName": "ca"},
    }


def test_the_pod_fits_the_restricted_standard() -> None:
    """And its probes ask what the exporter answers without the API."""
    pod = at(one(made({}), "Deployment"), POD)
    container = pod["containers"][0]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    for probe in ("readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"] == {"path": "/health", "port": "metrics"}


def test_openshift_is_recognized() -> None:
    """By its API."""
    found = made({}, "--api-versions", "security.openshift.io/v1")
    assert "runAsUser" not in at(one(found, "Deployment"), f"{POD}/securityContext")


def test_what_prometheus_looks_for_is_there() -> None:
    """Users' PodMonitor chooses by two labels and a port's name; the ServiceMonitor by those of the Service."""
    found = made({"serviceMonitor": {"enabled": True}})
    labels = {"app.kubernetes.io/instance": FULL, "app.kubernetes.io/name": "spacelift-promex"}
    deployment, service, monitor = (one(found, kind) for kind in ("Deployment", "Service", "ServiceMonitor"))
    assert at(deployment, "spec/template/metadata/labels") == labels
    assert at(deployment, f"{CONTAINER}/ports/0/name") == "metrics"
    assert service["spec"]["selector"] == labels
    assert labels.items() <= service["metadata"]["labels"].items()
    assert monitor["spec"]["selector"]["matchLabels"] == labels
    assert monitor["spec"]["endpoints"][0]["port"] == service["spec"]["ports"][0]["name"]


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"apiEndpoint": ""}, "must include apiEndpoint in values"),
        ({"apiKeyId": ""}, "must include apiKeyId in values"),
        ({"apiKeySecretName": ""}, "must include apiKeySecretName in values"),
        ({"oidc": {"enabled": True}}, "give one of both"),
        ({"caCert": {"enabled": True}}, "caCert.secretName: required"),
        ({"apiEndpoint": "a.example.com"}, "apiEndpoint"),
        ({"image": {"tag": "latest"}}, "tag"),
        ({"listenAddress": "9953"}, "listenAddress"),
        ({"scrapeTimeout": 5}, "scrapeTimeout"),
        ({"apiKeySecret": "text"}, "apiKeySecret"),
    ],
)
def test_values_that_cant_be_meant_are_refused(values: Object, words: str) -> None:
    """By either chart, with the value's name."""
    with pytest.raises(ClusterError) as refused:
        made(values)
    assert words in str(refused.value)
    with pytest.raises(ClusterError) as refused:
        objects({"spacelift-promex": {"enabled": True, **REQUIRED, **values}})
    assert words in str(refused.value)


@pytest.mark.parametrize("values", [{}, KNOWN, {"serviceMonitor": {"enabled": True}}])
def test_as_part_of_the_operators_chart_it_is_the_same(values: Object) -> None:
    """Off by default; on, with the flags of the tutorial, the same objects come."""
    name = "app.kubernetes.io/name"

    def ours(found: list[Object]) -> list[Object]:
        return [each for each in found if each["metadata"].get("labels", {}).get(name) == "spacelift-promex"]

    assert ours(objects()) == []
    whole = objects({"spacelift-promex": {"enabled": True, **REQUIRED, **values}})
    assert ours(whole) == made(values)
    assert one(ours(whole), "Deployment", NAME)


@pytest.mark.parametrize("minor", CLIENTS)
def test_every_object_is_known_to_the_version(minor: str) -> None:
    """No field that Kubernetes of this version doesn't have."""
    version = models(minor)
    everything = {**KNOWN, "networkPolicy": {"egress": True}, "service": {"enabled": True}}
    for found in (made({}), made(everything), made(nested(OIDC))):
        for each in found:
            assert version.faults(each) == [], each["metadata"]["name"]


def test_helm_finds_nothing_to_say(tmp_path: Path) -> None:
    """Not even a warning."""
    values = tmp_path / "values.json"
    values.write_text(json.dumps(REQUIRED))
    given = ("lint", "--strict", "--kube-version", KUBERNETES, "--values", str(values), str(CHART))
    said = helm.run(command(), *given)
    assert "0 chart(s) failed" in said
    assert "[WARNING]" not in said


def test_commands_of_the_page_are_understood() -> None:
    """Each `helm upgrade` line, with the charts' folders in the place of a repository's names."""
    text = (REPOSITORY / "docs" / "exporter.md").read_text(encoding="utf-8").replace("\\\n", " ")
    lines = [shlex.split(line) for line in text.splitlines() if line.startswith("helm upgrade ")]
    assert len(lines) == 2
    for _helm, _upgrade, release, chart, _install, *flags in lines:
        folder = charts.CHARTS / chart.rpartition("/")[2]
        rendered = template(*flags, chart=folder, release=release)
        found = kubectl.parse(rendered)
        assert [
            each for each in found if each["kind"] == "Deployment" and "promex" in each["metadata"]["name"]
        ]
