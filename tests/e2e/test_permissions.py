"""Every right that the manifests give the operator is used, as the API server's audit log of the whole suite has it.

These tests come last (conftest.py), after those that bring about what is rare: refused Pods, volumes that can't be mounted,
namespaces that end. That nothing else was asked is judged when the cluster stops.
"""

import datetime as dt
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from app.webhook.authority import AUTHORITY_LIFETIME, AUTHORITY_RENEWAL
from app.webhook.trust import HookSecret
from devcluster import audit
from devcluster.cluster import Cluster
from devcluster.operator import HOOK_SECRET, NAMESPACE, SERVICE_ACCOUNT
from tests.e2e.harness import Journal, Pool, Shell, until

pytestmark = pytest.mark.timeout(600)
NEEDED = frozenset(
    {
        "test_deletion_with_what_it_needs.py",
        "test_drain_and_cycle.py",
        "test_failed_runs_say_why.py",
        "test_walking_skeleton.py",
    }
)


@dataclass(frozen=True, order=True)
class Right:
    """One verb on one resource that a rule grants; empty namespace or name: any."""

    role: str
    group: str
    resource: str
    verb: str
    namespace: str
    name: str

    def used_by(self, asked: audit.Asked) -> bool:
        """Return whether a request made use of it."""
        return (
            (asked.group, asked.resource, asked.verb) == (self.group, self.resource, self.verb)
            and self.namespace in ("", asked.namespace)
            and self.name in ("", asked.name)
        )


def rights(shell: Shell) -> Iterator[Right]:
    """Yield what the roles that are bound to the operator's account grant."""
    for binding in [*shell.items("clusterrolebindings"), *shell.items("rolebindings", "-A")]:
        subjects = binding.get("subjects") or ()
        if not any(
            (each["name"], each.get("namespace")) == (SERVICE_ACCOUNT, NAMESPACE) for each in subjects
        ):
            continue
        scope = binding["metadata"].get("namespace", "")
        reference = binding["roleRef"]
        where = ["-n", scope] if reference["kind"] == "Role" else []
        role = shell.get(reference["kind"].lower(), reference["name"], *where)
        for rule in role["rules"]:
            yield from _rights(reference["name"], rule, scope)


def _rights(role: str, rule: dict[str, Any], scope: str) -> Iterator[Right]:
    for group in rule["apiGroups"]:
        for resource in rule["resources"]:
            for verb in rule["verbs"]:
                for name in rule.get("resourceNames", [""]):
                    yield Right(role, group, resource, verb, scope, name)


def unused(cluster: Cluster, shell: Shell) -> list[Right]:
    """Return the rights that nothing has made use of so far."""
    account = f"{NAMESPACE}:{SERVICE_ACCOUNT}"
    requests = audit.requests(cluster.site.audit_log)
    seen = {each for each in requests if each.account == account and each.allowed}
    return sorted(right for right in set(rights(shell)) if not any(map(right.used_by, seen)))


@pytest.fixture(autouse=True)
def after_the_others(request: pytest.FixtureRequest) -> None:
    """Skip when the tests that make use of the rarer rights aren't run as well."""
    missing = NEEDED - {item.path.name for item in request.session.items}
    if missing:
        pytest.skip(f"judges what the whole suite asked; not run: {', '.join(sorted(missing))}")


def test_an_authority_near_its_end_is_replaced_while_hooks_go_on(
    cluster: Cluster, shell: Shell, pool: Pool, journal: Journal
) -> None:
    """No restart, no run lost; Metacontroller is told of the new one, with the old one still trusted."""
    late = dt.datetime.now(dt.UTC) - AUTHORITY_LIFETIME + AUTHORITY_RENEWAL / 2
    secret = HookSecret.make(late).to_object(HOOK_SECRET, NAMESPACE)
    began = cluster.component("operator").pid
    shell.kubectl("replace", "-f", "-", stdin=json.dumps(secret))
    first = pool.trigger(*journal.commands("before"))

    def told() -> bool:
        spec = shell.get("compositecontroller", "workerpool")["spec"]
        return bool(spec["endpointConfigs"][0]["caBundle"]["inline"].count("BEGIN CERTIFICATE") == 2)

    until(told, "the new authority beside the old one", 90)
    second = pool.trigger(*journal.commands("after"))
    for run in (first, second):
        pool.await_state(run, "succeeded", 90)
    journal.judge(["before", "after"])
    assert cluster.component("operator").pid == began


def test_every_right_is_used(cluster: Cluster, shell: Shell) -> None:
    """A rule that nobody needs is a rule too many. A replica that stops deletes its Lease."""
    cluster.component("operator").stop()
    cluster.component("operator").start()
    assert len(set(rights(shell))) > 30
    assert unused(cluster, shell) == []
