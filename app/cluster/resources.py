"""Where the API server keeps the kinds of object that the operator touches. Constants and paths, no I/O."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

from app import vocabulary


@dataclass(frozen=True, slots=True)
class Resource:
    """One resource of the API: ``group`` is empty for the core group; cluster-scoped ones are not ``namespaced``."""

    group: str
    version: str
    plural: str
    namespaced: bool = True

    def path(self, namespace: str | None, name: str | None = None, subresource: str | None = None) -> str:
        """Return the URL path of the collection, or of one object, or of its subresource."""
        prefix = f"/apis/{self.group}" if self.group else "/api"
        parts = [prefix, self.version]
        if self.namespaced and namespace:
            parts += ["namespaces", quote(namespace, safe="")]
        parts.append(self.plural)
        if name is not None:
            parts.append(quote(name, safe=""))
        if subresource is not None:
            parts.append(subresource)
        return "/".join(parts)

    def __str__(self) -> str:
        return f"{self.plural}.{self.group}" if self.group else self.plural


WORKERPOOLS: Final = Resource(vocabulary.GROUP, vocabulary.VERSION, vocabulary.WORKER_POOL_PLURAL)
"""What users declare."""

WORKERS: Final = Resource(vocabulary.GROUP, vocabulary.VERSION, vocabulary.WORKER_PLURAL)
"""The virtual workers of the pools."""

PODS: Final = Resource("", "v1", "pods")
"""Run Pods."""

SECRETS: Final = Resource("", "v1", "secrets")
"""Pool credentials and run Secrets."""

EVENTS: Final = Resource("", "v1", "events")
"""What ``kubectl describe`` shows below an object."""

CONTROLLER_REVISIONS: Final = Resource("apps", "v1", "controllerrevisions")
"""Frozen Pod settings of the pools."""

NAMESPACES: Final = Resource("", "v1", "namespaces", namespaced=False)
"""Asked for one thing: whether it is being deleted."""

LEASES: Final = Resource("coordination.k8s.io", "v1", "leases")
"""One for each replica of the operator."""

CUSTOM_RESOURCE_DEFINITIONS: Final = Resource(
    "apiextensions.k8s.io", "v1", "customresourcedefinitions", namespaced=False
)
"""The schemas, which say whether this cluster keeps the ledger's fields."""

COMPOSITE_CONTROLLERS: Final = Resource(
    "metacontroller.k8s.io", "v1alpha1", "compositecontrollers", namespaced=False
)
"""Metacontroller's object that has it call the hooks of pools."""

DECORATOR_CONTROLLERS: Final = Resource(
    "metacontroller.k8s.io", "v1alpha1", "decoratorcontrollers", namespaced=False
)
"""Metacontroller's object that has it call the hooks of Workers."""
