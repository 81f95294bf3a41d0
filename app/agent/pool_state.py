"""A WorkerPool object as the agent reads it; pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from app import vocabulary as words

DEFAULT_FAILED_HISTORY = 5
"""Failed Pods kept in a pool whose spec doesn't say (the documented default)."""

UNLIMITED = 1 << 30
"""Successful Pods kept with ``keepSuccessfulPods: true`` and no limit: all of them, as documented."""


@dataclass(frozen=True, slots=True)
class SecretKey:
    """Where one of the pool's credentials is."""

    name: str
    key: str


@dataclass(frozen=True, slots=True)
class PoolView:
    """What the agent knows of one WorkerPool."""

    namespace: str
    name: str
    uid: str
    resource_version: str
    generation: int
    ulid: str
    size: int
    deleting: bool
    token: SecretKey
    private_key: SecretKey
    allowed_hosts: tuple[str, ...]
    failed_history: int
    successful_history: int
    connection: str
    pod: Mapping[str, Any] = field(default_factory=dict)

    @property
    def reference(self) -> dict[str, Any]:
        """The object reference that Events are about."""
        return {
            "apiVersion": words.API_VERSION,
            "kind": words.WORKER_POOL_KIND,
            "metadata": {"namespace": self.namespace, "name": self.name, "uid": self.uid},
        }


def parse_pool(pool: Mapping[str, Any]) -> PoolView:
    """Return the view of a WorkerPool object."""
    metadata, spec = pool["metadata"], pool.get("spec") or {}
    keep_all = UNLIMITED if spec.get("keepSuccessfulPods") is True else 0
    size = spec.get("poolSize")
    return PoolView(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        resource_version=metadata["resourceVersion"],
        generation=int(metadata.get("generation") or 0),
        ulid=(metadata.get("labels") or {}).get(words.ULID_LABEL, ""),
        size=size if isinstance(size, int) else words.DEFAULT_POOL_SIZE,
        deleting="deletionTimestamp" in metadata,
        token=_secret_key(spec.get("token")),
        private_key=_secret_key(spec.get("privateKey")),
        allowed_hosts=tuple(str(host) for host in spec.get("allowedRunnerImageHosts") or ()),
        failed_history=_limit(spec.get("failedPodsHistoryLimit"), DEFAULT_FAILED_HISTORY),
        successful_history=_limit(spec.get("successfulPodsHistoryLimit"), keep_all),
        connection=(metadata.get("annotations") or {}).get(words.CONNECTION_ANNOTATION, ""),
        pod=spec.get("pod") or {},
    )


def _secret_key(source: object) -> SecretKey:
    reference = source.get("secretKeyRef") if isinstance(source, Mapping) else None
    if not isinstance(reference, Mapping):
        return SecretKey("", "")
    return SecretKey(str(reference.get("name") or ""), str(reference.get("key") or ""))


def _limit(value: object, default: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else default
