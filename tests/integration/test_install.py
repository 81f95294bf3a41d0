"""Installing on a real API server: twice changes nothing, the operator's own writes stay, every Pod is admitted."""

from __future__ import annotations

import copy
import json
import re
import shlex
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from app.webhook.trust import Trust, trust_patch
from devcluster import render
from devcluster.cluster import Cluster
from devcluster.kubectl import parse
from devcluster.objects import wait_established
from devcluster.paths import REPOSITORY
from tests.unit.docs.shell import shell_blocks

MANIFESTS = REPOSITORY / "manifests"
VARIANTS = {
    "manifests": MANIFESTS,
    **{
        path.parent.name: path.parent
        for path in sorted((MANIFESTS / "overlays").glob("*/kustomization.yaml"))
    },
}
OPERATORS = [name for name in VARIANTS if not name.startswith("metacontroller")]


Object = dict[str, Any]


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """Return an API server with Metacontroller's definitions, and the namespaces of the example."""
    with Cluster(tmp_path_factory.mktemp("cluster"), components={"kube-apiserver"}) as running:
        for name in ("team-a", "team-b"):
            running.kubectl("create", "namespace", name)
        apply(running, "-k", str(MANIFESTS / "metacontroller"))
        definitions = [
            f"{name}.metacontroller.k8s.io" for name in ("compositecontrollers", "decoratorcontrollers")
        ]
        wait_established(running.kubectl, definitions)
        apply(running, "-k", str(MANIFESTS))
        yield running


def apply(cluster: Cluster, *what: str) -> str:
    """Apply as the documents say; return what was said, warnings included."""
    done = subprocess.run(
        ["kubectl", "apply", "--server-side", *what],
        env=cluster.env(),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stderr


def versions(cluster: Cluster, *what: str) -> dict[str, tuple[str, int]]:
    """Return resourceVersion and generation of each object that is installed."""
    items = json.loads(cluster.kubectl("get", *what, "-o", "json"))["items"]
    return {
        f"{each['kind']} {about.get('namespace', '')}/{about['name']}": (
            about["resourceVersion"],
            about.get("generation", 0),
        )
        for each in items
        for about in [each["metadata"]]
    }


@cache
def documents(kubectl: str, variant: str) -> tuple[Object, ...]:
    """Return what a variant installs; the definitions, which are large, with the default one only."""
    text = render.kustomized(kubectl, str(VARIANTS[variant].relative_to(REPOSITORY)))
    return tuple(
        each for each in parse(text) if variant == "manifests" or each["kind"] != "CustomResourceDefinition"
    )


def file_of(cluster: Cluster, variant: str) -> str:
    """Return a file with what a variant installs."""
    file = cluster.directory / f"{variant}.json"
    if not file.exists():
        items = documents(cluster.site.tool("kubectl"), variant)
        file.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": items}))
    return str(file)


def twice(cluster: Cluster, *what: str) -> None:
    """Apply twice, and compare."""
    apply(cluster, *what)
    # The definitions' status is written by the API server itself, once.
    wait_established(cluster.kubectl, ["workerpools.workers.spacelift.io", "workers.workers.spacelift.io"])
    before = versions(cluster, *what)
    assert len(before) > 5
    assert apply(cluster, *what) == ""
    assert versions(cluster, *what) == before


@pytest.mark.parametrize("variant", VARIANTS)
def test_applying_twice_changes_nothing(cluster: Cluster, variant: str) -> None:
    """Not one resourceVersion, and no warning."""
    twice(cluster, "-f", file_of(cluster, variant))


@pytest.mark.parametrize(
    "what",
    [
        *(("-k", str(MANIFESTS / folder)) for folder in ("metacontroller", "")),
        *(("-f", str(MANIFESTS / file)) for file in ("install-metacontroller.yaml", "install.yaml")),
    ],
    ids=lambda what: f"{what[0]} {Path(what[1]).relative_to(REPOSITORY)}",
)
def test_applying_as_the_documents_say_twice_changes_nothing(cluster: Cluster, what: tuple[str, str]) -> None:
    """The kustomizations and the one-file forms, word for word."""
    twice(cluster, *what)


def test_the_one_file_forms_are_what_the_sources_make(cluster: Cluster) -> None:
    """Else `make install-yaml` was forgotten."""
    assert render.stale(cluster.site.tool("kubectl")) == []


def test_either_way_of_installing_can_be_followed_by_the_other(cluster: Cluster) -> None:
    """The folder as the documents say, then the file: nothing changes."""
    apply(cluster, "-k", str(MANIFESTS))
    before = versions(cluster, "-f", str(MANIFESTS / "install.yaml"))
    apply(cluster, "-f", str(MANIFESTS / "install.yaml"))
    assert versions(cluster, "-f", str(MANIFESTS / "install.yaml")) == before


def test_an_image_of_ones_own_registry_is_put_in_and_one_that_floats_is_not(cluster: Cluster) -> None:
    """For clusters without a way out."""
    text = render.rendered(
        cluster.site.tool("kubectl"), {"workerpool-operator": "registry.local:5000/op:1.2.3"}
    )
    assert "image: registry.local:5000/op:1.2.3\n" in text["manifests/install.yaml"]
    assert "image: workerpool-operator" not in text["manifests/install.yaml"]
    for floating in ("op", "op:latest", "registry.local:5000/op"):
        with pytest.raises(Exception, match="expected NAME:TAG"):
            render.image(floating)


def test_what_the_operator_tells_metacontroller_stays_when_the_manifests_are_applied_again(
    cluster: Cluster,
) -> None:
    """Nothing has two writers: neither a conflict nor a reset."""
    apply(cluster, "-k", str(MANIFESTS))
    name = "compositecontroller/workerpool"
    found = json.loads(cluster.kubectl("get", name, "-o", "json"))
    trust = Trust("PEM", {"name": "hooks", "namespace": "operator", "key": "token"})
    patch = trust_patch(found, trust)
    assert patch is not None
    cluster.kubectl(
        "patch", name, "--type=merge", "--field-manager=workerpool-controller", "-p", json.dumps(patch)
    )
    apply(cluster, "-k", str(MANIFESTS))
    told = json.loads(cluster.kubectl("get", name, "-o", "json"))
    assert told["spec"]["endpointConfigs"] == patch["spec"]["endpointConfigs"]
    assert trust_patch(told, trust) is None, "the definition prunes or defaults what was written"


@pytest.mark.parametrize("variant", VARIANTS)
def test_every_pod_of_a_deployment_is_admitted(cluster: Cluster, variant: str) -> None:
    """Under the restricted standard, which the namespaces enforce, by the API server itself."""
    apply(cluster, "-f", file_of(cluster, variant))
    listed = documents(cluster.site.tool("kubectl"), variant)
    deployments = [each for each in listed if each["kind"] == "Deployment"]
    assert deployments
    for each in deployments:
        template = each["spec"]["template"]
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {**template["metadata"], "name": "trial", "namespace": each["metadata"]["namespace"]},
            "spec": template["spec"],
        }
        assert "created" in cluster.kubectl("create", "--dry-run=server", "-f", "-", stdin=json.dumps(pod))
        if "openshift" in variant:
            assert restricted_v2_faults(template["spec"]) == []
        rooted = copy.deepcopy(pod)
        rooted["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = True
        with pytest.raises(Exception, match="violates PodSecurity"):
            cluster.kubectl("create", "--dry-run=server", "-f", "-", stdin=json.dumps(rooted))


def restricted_v2_faults(spec: Object) -> list[str]:
    """Return what OpenShift's constraint restricted-v2 would refuse, by its published fields."""
    faults = [name for name in ("hostNetwork", "hostPID", "hostIPC") if spec.get(name)]
    volumes = {
        "configMap",
        "csi",
        "downwardAPI",
        "emptyDir",
        "ephemeral",
        "persistentVolumeClaim",
        "projected",
        "secret",
    }
    faults += [str(each) for each in spec.get("volumes", ()) if not (each.keys() - {"name"}) <= volumes]
    contexts = [spec.get("securityContext") or {}]
    for container in spec["containers"]:
        context = container.get("securityContext") or {}
        contexts.append(context)
        if context.get("allowPrivilegeEscalation") is not False or context.get("privileged"):
            faults.append("privileges")
        if (context.get("capabilities") or {}).get("drop") != ["ALL"]:
            faults.append("capabilities")
        faults += ["hostPort" for port in container.get("ports", ()) if port.get("hostPort")]
    for context in contexts:
        # MustRunAsRange and MustRunAs: ids outside of the namespace's range are refused, so none may be named.
        faults += [name for name in ("runAsUser", "fsGroup", "supplementalGroups") if name in context]
        if context.get("seccompProfile", {"type": "RuntimeDefault"})["type"] != "RuntimeDefault":
            faults.append("seccompProfile")
    return faults


@pytest.mark.parametrize("variant", OPERATORS)
def test_rights_on_secrets_are_where_they_should_be(cluster: Cluster, variant: str) -> None:
    """Nobody lists Secrets; with namespaces, none can be read elsewhere."""
    installed = documents(cluster.site.tool("kubectl"), variant)
    cluster_wide = {each["roleRef"]["name"] for each in installed if each["kind"] == "ClusterRoleBinding"}
    granted = [
        (each["kind"], each["metadata"].get("namespace", ""), rule["verbs"])
        for each in installed
        if each["kind"] == "Role" or each["metadata"]["name"] in cluster_wide
        if "rules" in each
        for rule in each["rules"]
        if "secrets" in rule.get("resources", ())
    ]
    assert not any({"list", "watch", "update", "patch", "*"} & set(verbs) for _, _, verbs in granted)
    if variant == "namespaces":
        assert {(kind, namespace) for kind, namespace, _ in granted} == {
            ("Role", "spacelift-worker-controller-system"),
            ("Role", "team-a"),
            ("Role", "team-b"),
        }


PAGES = ("install.md", "helm.md", "rbac.md")
TRIED = {
    "kubectl apply": ("--dry-run=server",),
    "kubectl label": ("--dry-run=server",),
    "kubectl rollout status": ("--watch=false",),
    "kubectl wait": ("--timeout=30s",),
}
"""How a command of the pages is tried: the API server judges it, nothing changes, nothing is waited for."""
ELSEWHERE = {
    "helm": "test_chart_package.py",
    "--set-string": "test_chart_package.py",
    "make charts": "test_chart_package.py",
    "oc adm policy": "OpenShift's own; no such API here",
}


def commands() -> list[str]:
    """Return the lines of the pages' shell blocks, OpenShift's kubectl by its name in other clusters."""
    found = []
    for page in PAGES:
        for block in shell_blocks((REPOSITORY / "docs" / page).read_text(encoding="utf-8")):
            found += [line for line in block.splitlines() if line and not line.startswith("#")]
    return [re.sub(r"^oc apply", "kubectl apply", line) for line in found]


def test_the_commands_of_the_pages_are_understood(cluster: Cluster) -> None:
    """Every file, object and flag that they name exists, and what they send is admitted."""
    tried = 0
    for line in commands():
        if line.startswith(tuple(ELSEWHERE)):
            continue
        (how,) = [flags for start, flags in TRIED.items() if line.startswith(start)]
        done = subprocess.run(
            [*shlex.split(line), *how],
            cwd=REPOSITORY,
            env=cluster.env(),
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{line}\n{done.stderr}"
        tried += 1
    assert tried > len(PAGES) * 2
