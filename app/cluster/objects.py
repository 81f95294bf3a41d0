"""Reading the metadata of an object that is a plain dictionary."""

from __future__ import annotations

from typing import Any

KubernetesObject = dict[str, Any]
"""An object as the API server sends it."""

Key = tuple[str, str]
"""Namespace (empty for cluster-scoped objects) and name."""


def key_of(item: KubernetesObject) -> Key:
    """Return (namespace, name)."""
    metadata = item["metadata"]
    return metadata.get("namespace") or "", metadata["name"]


def version_of(item: KubernetesObject) -> int:
    """Return the resourceVersion as the number it is, 0 when there is none.

    Kubernetes guarantees since 1.35 that versions of one resource compare as numbers; etcd-backed servers have always
    behaved so. A version that isn't a number counts as oldest, which costs read-your-writes and nothing else.
    """
    version = item["metadata"].get("resourceVersion") or ""
    return int(version) if version.isdigit() else 0


def drop_managed_fields(item: KubernetesObject) -> KubernetesObject:
    """Take ``metadata.managedFields`` off, often half of an object and of no use to a controller; changes ``item``."""
    item["metadata"].pop("managedFields", None)
    return item
