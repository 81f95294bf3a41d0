"""Directories of this machine that every run Pod may write: added to the Pods by the API server as they are made.

On the process node containers see such directories anyway. On a real one a MutatingAdmissionPolicy adds a volume and
its mounts, so that pools and tests are the same on both. For tests and the demo alone: a cluster of users has no such
policy.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path

from devcluster.kubectl import Document

NAME = "devcluster-shares"
GROUP = "admissionregistration.k8s.io"
ENFORCED = "pod-security.kubernetes.io/enforce"
RUN_LABEL = "workers.spacelift.io/run-id"


def policy(paths: Iterable[Path]) -> list[Document]:
    """Return the policy and its binding, for all namespaces but restricted ones; nothing when there are no paths."""
    found = [str(path.absolute()) for path in paths]
    if not found:
        return []
    return [
        {
            "apiVersion": f"{GROUP}/v1",
            "kind": "MutatingAdmissionPolicy",
            "metadata": {"name": NAME},
            "spec": {
                "failurePolicy": "Fail",
                "reinvocationPolicy": "Never",
                "matchConstraints": {
                    # Its Pods may have no directories of the node: there runs are without them.
                    "namespaceSelector": {
                        "matchExpressions": [{"key": ENFORCED, "operator": "NotIn", "values": ["restricted"]}]
                    },
                    "objectSelector": {"matchExpressions": [{"key": RUN_LABEL, "operator": "Exists"}]},
                    "resourceRules": [
                        {
                            "apiGroups": [""],
                            "apiVersions": ["v1"],
                            "operations": ["CREATE"],
                            "resources": ["pods"],
                        }
                    ],
                },
                "mutations": [
                    {
                        "patchType": "ApplyConfiguration",
                        "applyConfiguration": {"expression": expression(found)},
                    }
                ],
            },
        },
        {
            "apiVersion": f"{GROUP}/v1",
            "kind": "MutatingAdmissionPolicyBinding",
            "metadata": {"name": NAME},
            "spec": {"policyName": NAME},
        },
    ]


def expression(paths: list[str]) -> str:
    """Return the CEL expression that adds volumes, and mounts of them to every container."""
    volumes = [
        f'Object.spec.volumes{{name: "share-{number}",'
        f' hostPath: Object.spec.volumes.hostPath{{path: {json.dumps(path)}, type: "Directory"}}}}'
        for number, path in enumerate(paths)
    ]
    lists = [
        f"{field}: object.spec.{field}.map(each, Object.spec.{field}{{name: each.name,"
        f" volumeMounts: [{', '.join(_mounts(field, paths))}]}})"
        for field in ("initContainers", "containers")
    ]
    return f"Object{{spec: Object.spec{{volumes: [{', '.join(volumes)}], {', '.join(lists)}}}}}"


def _mounts(field: str, paths: list[str]) -> list[str]:
    return [
        f'Object.spec.{field}.volumeMounts{{name: "share-{number}", mountPath: {json.dumps(path)}}}'
        for number, path in enumerate(paths)
    ]
