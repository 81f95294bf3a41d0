"""The operator of the namespaced overlay: rights in its namespaces alone, and a word to pools that have none."""

import os
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from devcluster import clusters
from devcluster.audit import Asked
from devcluster.cluster import Cluster, Options
from devcluster.operator import NAMESPACE, SERVICE_ACCOUNT
from tests.e2e.audited import standing
from tests.e2e.harness import (
    Journal,
    Shell,
    apply,
    events,
    make_credentials,
    make_pool,
    manifest,
    secret,
    until,
)

pytestmark = pytest.mark.timeout(600)
OPERATOR = f"system:serviceaccount:{NAMESPACE}:{SERVICE_ACCOUNT}"
ARGUMENTS = ("--namespaces=team-a,team-b", "--hook-require-token=false")


@dataclass(frozen=True)
class Site:
    """A cluster with the overlay, whose grant in team-b was taken back before the operator started again."""

    cluster: Cluster
    shell: Shell
    folder: Path


def taken_back(asked: Asked) -> bool:
    """Say that the operator may ask in vain where its grant was taken back, before it is given again."""
    return asked.account == f"{NAMESPACE}:{SERVICE_ACCOUNT}" and asked.namespace == "team-b"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory, outside: Path) -> Iterator[Site]:
    """Start it."""
    folder = tmp_path_factory.mktemp("namespaced")
    options = Options(
        allow_paths=(outside,), overlay="namespaces", arguments={"operator": ARGUMENTS}, audit=True
    )
    with standing(clusters.make(folder / "c", options), taken_back) as running:
        shell = Shell({**os.environ, **running.env()})
        shell.kubectl("create", "namespace", "team-c")
        shell.kubectl("delete", "rolebinding", "-n", "team-b", "--all")
        running.component("operator").stop()
        running.component("operator").start()
        yield Site(running, shell, folder)


def condition(shell: Shell, namespace: str) -> dict[str, Any]:
    """Return the condition Ready of the pool `lonely`."""
    found = shell.get("workerpool", "lonely", "-n", namespace).get("status", {}).get("conditions", ())
    return next((dict(each) for each in found if each["type"] == "Ready"), {})


def command_in(text: str) -> list[str]:
    """Return the kubectl command that a message holds."""
    return shlex.split(text[text.index("kubectl ") :])


def test_a_pool_with_the_grant_runs_although_another_namespace_has_none(site: Site, journal: Journal) -> None:
    """One missing grant stops nothing but what it is about."""
    pool = make_pool(site.shell, "lonely", site.folder, size=1, namespace="team-a")
    run = pool.trigger(*journal.commands("team-a"))
    pool.await_state(run, "succeeded")
    journal.judge(["team-a"])


@pytest.mark.parametrize(
    ("namespace", "words"),
    [("team-b", "has no rights in namespace team-b"), ("team-c", "serves the namespaces team-a, team-b")],
)
def test_a_pool_without_the_grant_is_told_the_command_that_grants(
    site: Site, namespace: str, words: str
) -> None:
    """By an Event and a condition; in a listed namespace the command is all that it takes."""
    shell = site.shell
    folder = site.folder / namespace
    folder.mkdir()
    _, token, key = make_credentials(shell, f"lonely-{namespace}", folder)
    apply(shell, secret("lonely", namespace, token, key), manifest("lonely", namespace, 1))
    until(lambda: condition(shell, namespace).get("reason") == "NamespaceNotServed", "the condition", 90)
    told = condition(shell, namespace)
    assert told["status"] == "False"
    assert words in told["message"]
    said = until(
        lambda: [
            each
            for each in events(shell, "WorkerPool", "lonely", namespace)
            if each["reason"] == "NamespaceNotServed"
        ],
        "the Event",
    )
    assert said[0]["message"] == told["message"]
    assert said[0]["type"] == "Warning"
    assert shell.items("workers", "-n", namespace) == []
    shell.run(*command_in(told["message"]))
    if namespace == "team-b":
        until(lambda: condition(shell, namespace).get("status") == "True", "the pool is served", 60)
    for verb in ("get", "create", "delete"):
        asked = shell.kubectl("auth", "can-i", verb, "secrets", "-n", namespace, f"--as={OPERATOR}")
        assert asked.strip() == "yes"


def test_secrets_elsewhere_cannot_be_read(site: Site) -> None:
    """Nor listed anywhere."""
    for verb, where in (("get", "default"), ("get", "kube-system"), ("list", "team-a"), ("watch", "team-a")):
        asked = site.shell.kubectl(
            "auth", "can-i", verb, "secrets", "-n", where, f"--as={OPERATOR}", check=False
        )
        assert asked.strip() == "no"
