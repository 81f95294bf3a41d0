"""Every right that the manifests give the operator is used: what is asked here covers each rule, read from the audit log.

That nothing else is asked is judged at the end of the whole suite (conftest.py).
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from devcluster import audit
from devcluster.cluster import Cluster
from tests.e2e.harness import Shell

ACCOUNT = "spacelift-worker-controller-system:spacelift-workerpool-controller-controller-manager"


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
    namespace, name = ACCOUNT.split(":")
    for binding in [*shell.items("clusterrolebindings"), *shell.items("rolebindings", "-A")]:
        subjects = binding.get("subjects") or ()
        if not any((each["name"], each.get("namespace")) == (name, namespace) for each in subjects):
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
    seen = {
        each for each in audit.requests(cluster.site.audit_log) if each.account == ACCOUNT and each.allowed
    }
    return sorted(right for right in set(rights(shell)) if not any(map(right.used_by, seen)))


def test_every_right_is_used(cluster: Cluster, shell: Shell) -> None:
    """A rule that nobody needs is a rule too many."""
    assert len(set(rights(shell))) > 30
    assert unused(cluster, shell) == [], json.dumps([str(each) for each in unused(cluster, shell)])
