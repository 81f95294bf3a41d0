"""The desired Worker object.

Called by the pool's policies for new and for observed Workers alike, so that both go through one shape and
Metacontroller finds nothing to change in a Worker that stays as it is.
"""

from __future__ import annotations

from app.contract.fields import JsonObject
from app.vocabulary import (
    API_VERSION,
    POOL_LABEL,
    POOL_NAME_ANNOTATION,
    ULID_LABEL,
    WORKER_KIND,
)

_OWN_LABELS = (ULID_LABEL, POOL_LABEL)


def worker_name(pool_name: str, worker_ulid: str) -> str:
    """Return the object name of a Worker: `<pool>-<ulid, lower-case>`."""
    return f"{pool_name}-{worker_ulid.lower()}"


def new_worker(
    *, namespace: str, pool_name: str, pool_ulid: str, worker_ulid: str, sequence: int
) -> JsonObject:
    """Return a Worker that doesn't exist yet."""
    return {
        "apiVersion": API_VERSION,
        "kind": WORKER_KIND,
        "metadata": {
            "name": worker_name(pool_name, worker_ulid),
            "namespace": namespace,
            "labels": {ULID_LABEL: worker_ulid, POOL_LABEL: pool_ulid},
            "annotations": {POOL_NAME_ANNOTATION: pool_name},
        },
        "spec": {"sequence": sequence, "draining": False},
    }


def kept_worker(*, namespace: str, pool_name: str, observed: JsonObject, draining: bool) -> JsonObject:
    """Return an observed Worker that stays, with its own labels and spec, marked draining or not.

    Its labels are never rewritten: a Worker of a pool that got another ULID still belongs to the old one.
    """
    metadata = observed["metadata"]
    labels = metadata.get("labels")
    labels = labels if isinstance(labels, dict) else {}
    spec = observed.get("spec")
    spec = spec if isinstance(spec, dict) else {}
    return {
        "apiVersion": API_VERSION,
        "kind": WORKER_KIND,
        "metadata": {
            "name": metadata["name"],
            "namespace": namespace,
            "labels": {name: labels[name] for name in _OWN_LABELS if name in labels},
            "annotations": {POOL_NAME_ANNOTATION: pool_name},
        },
        "spec": spec if spec.get("draining") is draining else {**spec, "draining": draining},
    }
