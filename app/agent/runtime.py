"""What the agent works with: its settings, its clock, and the seams to the cluster; no decisions."""

import datetime as dt
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from ulid import ULID

from app import vocabulary as words
from app.agent.decisions.graces import DEFAULTS, Graces
from app.cluster.objects import KubernetesObject
from app.cluster.resources import Resource
from protocol.messages import Message, encode

Key = tuple[str, str]
"""Namespace and name of a Worker or of a pool."""


@dataclass(frozen=True, slots=True)
class AgentSettings:
    """How the agent runs; times in seconds.

    `replica` names this process to the mothership, `namespaces` empty means all of them, `threads` work on Workers
    (each may hold one connection to the API server), `tags` are sent as metadata of every Worker. `native_sidecars`
    says whether run Pods may have them; None: as the API server's version says, which is read every `version_check`.
    Every `inventory_period`, give or take a fifth, the mothership is told unasked what each pool's Workers hold.
    The last three name who is granted what where the operator has no rights. `publish_rate` bounds the publishes of one pool's connection in a second, 0: not at all, None: as its broker is.
    """

    replica: str
    version: str
    namespaces: tuple[str, ...] = ()
    threads: int = 8
    pool_threads: int = 2
    tags: Mapping[str, str] = field(default_factory=dict)
    resync: float = 300.0
    inventory_period: float = 300.0
    credentials_check: float = 60.0
    broken_credentials_check: float = 30.0
    schema_check: float = 60.0
    broken_schema_check: float = 5.0
    silence_limit: float = 180.0
    lag_limit: float = 120.0
    graces: Graces = DEFAULTS
    native_sidecars: bool | None = None
    publish_rate: float | None = None
    version_check: float = 3600.0
    broken_version_check: float = 5.0
    controller_namespace: str = words.CONTROLLER_NAMESPACE
    service_account: str = words.CONTROLLER_ACCOUNT
    manager_role: str = words.MANAGER_ROLE


@dataclass(frozen=True, slots=True)
class Clock:
    """The two clocks: `monotonic` for durations, `now` for times that are written down."""

    monotonic: Callable[[], float] = time.monotonic
    now: Callable[[], dt.datetime] = lambda: dt.datetime.now(dt.UTC)

    def timestamp(self) -> str:
        """Return the time as RFC 3339 in UTC."""
        return self.now().strftime("%Y-%m-%dT%H:%M:%SZ")


class Api(Protocol):
    """The verbs of `app.cluster.client.KubernetesApi` that the agent uses."""

    def get(self, resource: Resource, namespace: str | None, name: str) -> KubernetesObject:
        """Return the object as it is now."""

    def list(
        self, resource: Resource, namespace: str | None, label_selector: str = "", field_selector: str = ""
    ) -> Any:  # noqa: ANN401
        """Return a listing with `items`."""

    def create(
        self, resource: Resource, namespace: str | None, body: KubernetesObject, dry_run: bool = False
    ) -> KubernetesObject:
        """Create the object."""

    def merge_patch(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        patch: dict[str, Any],
        subresource: str | None = None,
    ) -> KubernetesObject:
        """Apply a merge patch."""

    def delete(
        self, resource: Resource, namespace: str | None, name: str, uid: str | None = None
    ) -> KubernetesObject:
        """Delete the object."""


class Cache(Protocol):
    """What the agent reads of an informer."""

    def get(self, namespace: str | None, name: str) -> KubernetesObject | None:
        """Return the newest known version."""

    def items(self) -> list[KubernetesObject]:
        """Return the newest known version of every object."""

    def remember(self, item: KubernetesObject) -> None:
        """Make the answer to a write readable at once."""


class Events(Protocol):
    """What the agent needs of the Event recorder."""

    def emit(self, reference_object: KubernetesObject, type: str, reason: str, message: str) -> None:  # noqa: A002
        """Record an Event; never blocks."""


class Counters:
    """Counts by name; safe to use from any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()

    def add(self, name: str, number: int = 1) -> int:
        """Add to a count and return it."""
        with self._lock:
            self._counts[name] += number
            return self._counts[name]

    def snapshot(self) -> dict[str, int]:
        """Return all counts."""
        with self._lock:
            return dict(self._counts)


@dataclass(frozen=True, slots=True)
class Cluster:
    """The seams to the cluster. `run_pod_of` builds the Pod that the hook would ask for, for a dry run."""

    api: Api
    pools: Cache
    workers: Cache
    pods: Cache
    events: Events
    run_pod_of: Callable[[KubernetesObject, KubernetesObject], KubernetesObject | None]


def encoded(message: Message, clock: Clock) -> bytes:
    """Return the payload of a message in a fresh envelope."""
    return encode(message, id=str(ULID()), time=clock.timestamp())
