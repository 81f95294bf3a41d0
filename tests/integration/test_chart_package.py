"""The chart as users get it: linted, packed to the same bytes each time, installed by the documents' commands."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from devcluster import charts, helm
from devcluster.kubectl import parse
from devcluster.paths import REPOSITORY
from devcluster.progress import ClusterError
from images import catalogue
from tests.integration.chart import (
    FULL,
    KUBERNETES,
    NAMESPACE,
    RELEASE,
    at,
    command,
    named,
    objects,
    template,
)
from tests.integration.kubernetes_schemas import CLIENTS, models

MOST = 1024 * 1024
"""Bytes that a Secret can have: helm keeps a release in one."""

DOCUMENTED = (
    (),
    ("--set", "controllerManager.enforceFips140=true"),
    ("--set-string", r"controllerManager.podAnnotations.karpenter\.sh/do-not-disrupt=true"),
    (
        "--set-string",
        r"controllerManager.podAnnotations.cluster-autoscaler\.kubernetes\.io/safe-to-evict=false",
    ),
    ("--set-string", r"controllerManager.podAnnotations.autopilot\.gke\.io/priority=high"),
    ("--set", "metricsService.enabled=true", "--set", "metricsService.secure=false"),
    ("--set", "controllerManager.namespaces={team-a,team-b}"),
)
"""Flags of `helm upgrade --install` in documents that users have."""

EVERYTHING: dict[str, Any] = {
    "metricsService": {"enabled": True},
    "networkPolicy": {"egress": True},
    "pdb": {"enabled": True},
    "controllerManager": {"namespaces": ["team-a"]},
}


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the packed charts and their index."""
    folder = tmp_path_factory.mktemp("charts")
    charts.repository(command(), folder)
    return folder


def test_helm_finds_nothing_to_say() -> None:
    """Not even a warning."""
    said = helm.run(command(), "lint", "--strict", "--kube-version", KUBERNETES, str(charts.CHART))
    assert "0 chart(s) failed" in said
    assert "[WARNING]" not in said


def test_packing_twice_gives_the_same_bytes(repository: Path, tmp_path: Path) -> None:
    """Whenever it is done, and wherever."""
    again = charts.repository(command(), tmp_path)
    assert [each.name for each in again] == sorted(each.name for each in repository.iterdir())
    for each in again:
        assert each.read_bytes() == (repository / each.name).read_bytes(), each.name
    later = charts.repository(command(), tmp_path / "later", epoch=catalogue.EPOCH + 60)
    assert later[0].read_bytes() != again[0].read_bytes()


def test_the_index_names_the_archive_and_what_it_hashes_to(repository: Path, tmp_path: Path) -> None:
    """Beside it, or at an address."""
    index = yaml.safe_load((repository / "index.yaml").read_text(encoding="utf-8"))
    assert {*index["entries"]} == {charts.CHART.name, "spacelift-promex"}
    for (version,) in index["entries"].values():
        archive = repository / version["urls"][0]
        assert version["digest"] == hashlib.sha256(archive.read_bytes()).hexdigest()
        assert version["created"] == index["generated"]
    charts.repository(command(), tmp_path, url="https://charts.example.com")
    assert "https://charts.example.com/" in (tmp_path / "index.yaml").read_text(encoding="utf-8")


def test_the_archive_installs_what_the_folder_does(repository: Path) -> None:
    """With the definitions and the exporter's chart, which are links in the folder."""
    (archive,) = repository.glob(f"{charts.CHART.name}-*.tgz")
    values = ("enabled=true", "apiEndpoint=https://a", "apiKeyId=a", "apiKeySecretName=a")
    exporter = [word for value in values for word in ("--set", f"spacelift-promex.{value}")]
    assert template(chart=archive) == template()
    assert template(*exporter, chart=archive) == template(*exporter)


def test_a_release_fits_into_a_secret() -> None:
    """With room for the definitions to grow by a third."""
    files = [each for each in charts.CHART.rglob("*") if each.is_file()]
    contents = [{"name": each.name, "data": base64.b64encode(each.read_bytes()).decode()} for each in files]
    release = json.dumps({"chart": {"files": contents}, "manifest": template()})
    assert len(base64.b64encode(gzip.compress(release.encode()))) < MOST * 0.75


@pytest.mark.parametrize("flags", DOCUMENTED, ids=" ".join)
def test_the_documents_flags_work(flags: tuple[str, ...]) -> None:
    """As they are written there; an annotation has its whole name."""
    text = template("--create-namespace", "--set", "crds.install=false", *flags)
    deployment = named(parse(text), "Deployment", "-controller-manager")
    annotations = at(deployment, "spec/template/metadata/annotations")
    if flags and "podAnnotations" in flags[1]:
        name, value = flags[1].removeprefix("controllerManager.podAnnotations.").replace("\\", "").split("=")
        assert annotations[name] == value


def test_commands_of_the_page_are_understood() -> None:
    """Each `helm upgrade` line, with the chart's folder in the place of a repository's name."""
    text = (REPOSITORY / "docs" / "helm.md").read_text(encoding="utf-8")
    lines = re.findall(r"^helm upgrade (\S+) (\S+) --install (.*)$", text, re.MULTILINE)
    assert len(lines) == 3
    for release, chart, flags in lines:
        assert (release, Path(chart).name) == (RELEASE, charts.CHART.name)
        words = re.findall(r'"[^"]*"|\S+', flags)
        assert "kind: Deployment" in template(*(word.strip('"') for word in words))


@pytest.mark.parametrize("minor", CLIENTS)
def test_every_object_is_known_to_the_version(minor: str) -> None:
    """No field that Kubernetes of this version doesn't have."""
    version = models(minor)
    for found in (objects(EVERYTHING), objects()):
        for each in found:
            if not each["apiVersion"].startswith("metacontroller.k8s.io"):
                assert version.faults(each) == [], each["metadata"]["name"]


def test_an_older_kubernetes_is_refused() -> None:
    """The documents say 1.26."""
    arguments = ("template", RELEASE, str(charts.CHART), "--kube-version")
    with pytest.raises(ClusterError, match=r"chart requires kubeVersion: >=1\.26"):
        helm.run(command(), *arguments, "1.25.9")
    assert helm.run(command(), *arguments, "1.26.0-eks-1")


@pytest.mark.parametrize(
    ("flags", "said", "unsaid"),
    [
        ((), "test-workerpool", "NO METRICS"),
        (("--set", "metricsService.enabled=true"), "NO METRICS ARE SERVED", "nonroot-v2"),
        (("--set", "openshift.enabled=true"), "nonroot-v2", "NO METRICS"),
        (
            ("--set", "controllerManager.namespaces={team-a}"),
            "in one of the namespaces team-a:",
            "hooks.token",
        ),
        ((), f"reads from the Secret {FULL}-hooks", "until you install"),
        (
            ("--set", "metacontroller.controllers=false"),
            "until you install a CompositeController",
            "NO METRICS",
        ),
        (("--set", "crds.keep=false"), "delete the pools", "The definitions stay"),
    ],
)
def test_the_notes_say_what_is_next(flags: tuple[str, ...], said: str, unsaid: str, tmp_path: Path) -> None:
    """Helm shows them to those only who have a cluster, so here they become an object."""
    copy = tmp_path / "chart"
    shutil.copytree(charts.CHART, copy, ignore=shutil.ignore_patterns("files"))
    notes = copy / "templates" / "NOTES.txt"
    text = f'{{{{ define "notes" }}}}{notes.read_text(encoding="utf-8")}{{{{ end }}}}'
    notes.unlink()
    shown = 'kind: ConfigMap\napiVersion: v1\nmetadata:\n  name: notes\ndata:\n  notes: {{ include "notes" . | toJson }}\n'
    (copy / "templates" / "notes.yaml").write_text(f"{text}\n{shown}", encoding="utf-8")
    words = at(named(parse(template(*flags, chart=copy)), "ConfigMap", "notes"), "data/notes")
    assert NAMESPACE in words
    assert said in words
    assert unsaid not in words
