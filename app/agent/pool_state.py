"""A WorkerPool object as the agent reads it; pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from app import vocabulary as words
from app.agent.decisions.history import Rules, rules_of


@dataclass(frozen=True, slots=True)
class SecretKey:
    """Where one of the pool's credentials is."""

    name: str
    key: str


@dataclass(frozen=True, slots=True)
class PoolView:
    """What the agent knows of one WorkerPool. `spec` is the user's, of which the other fields are parts.

    `retries`: failed tries of the first connection until the pool counts as unable to register.
    """

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
    history: Rules
    retries: int
    connection: str
    cycle: str = ""
    pod: Mapping[str, Any] = field(default_factory=dict)
    spec: Mapping[str, Any] = field(default_factory=dict)

    @property
    def has_own_credentials(self) -> bool:
        """Whether the pool names a token or a private key; one without either would have to register itself."""
        return bool(self.spec.get("token") or self.spec.get("privateKey"))

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
    size, pod = spec.get("poolSize"), spec.get("pod")
    return PoolView(
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata["uid"],
        resource_version=metadata["resourceVersion"],
        generation=int(metadata.get("generation") or 0),
        ulid=(metadata.get("labels") or {}).get(words.ULID_LABEL, ""),
        size=min(size, words.MAX_POOL_SIZE) if isinstance(size, int) else words.DEFAULT_POOL_SIZE,
        deleting="deletionTimestamp" in metadata,
        token=_secret_key(spec.get("token")),
        private_key=_secret_key(spec.get("privateKey")),
        allowed_hosts=tuple(str(host) for host in spec.get("allowedRunnerImageHosts") or ()),
        history=rules_of(spec),
        retries=_count(spec.get("mqttReconnectRetryCount"), words.DEFAULT_MQTT_RETRIES),
        connection=(metadata.get("annotations") or {}).get(words.CONNECTION_ANNOTATION, ""),
        cycle=(metadata.get("annotations") or {}).get(words.CYCLE_ANNOTATION, ""),
        pod=pod if isinstance(pod, Mapping) else {},
        spec=spec,
    )


def _secret_key(source: object) -> SecretKey:
    reference = source.get("secretKeyRef") if isinstance(source, Mapping) else None
    if not isinstance(reference, Mapping):
        return SecretKey("", "")
    return SecretKey(str(reference.get("name") or ""), str(reference.get("key") or ""))


def _count(value: object, default: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else default
