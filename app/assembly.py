"""The composition root: builds every client, cache, queue and thread of the operator once, and decides nothing.

    mothership                          this process                                    Kubernetes API
    ──────────                          ────────────                                    ──────────────
    run_scheduled ──broker──▶ Connection ──bytes──▶ Inbox ──▶ Engine ──Secret, revision──▶ secrets, revisions
                              (a thread               │ ▲  (a work queue:  ──status.run──▶ Worker
                               per pool)              │ │   one Worker,          │             │ watch
                                   ▲                  │ │   one thread           │        Metacontroller
                                   │                  │ │   at a time)           │             │ POST /sync/worker
                                   │                  │ │                        │             ▼
                                   │                  │ └── Informers ◀──watch───┤        Flask hooks (pure)
                                   │                  │     (pools, Workers,     │             │ desired Pod
                                   │                  │      run Pods)           │             ▼
    run_accepted, run_pod,         │                  ▼                          ╰───────── run Pod
    run_started, run_finished ◀────┴──── outbox (worked out from status)                       │
    claim, lease, logs, result ◀───────────────────────────────────────────── launcher in the Pod

    Pools (a second work queue): Secret ─▶ credentials ─▶ Session ─▶ Connection; label and annotation of the pool;
    which Workers may be registered; inventories. EventRecorder writes Events from a thread of its own.

Hooks and agent share nothing in memory: they meet only through the Kubernetes API. Imported by ``app.__main__``, in
the worker process after the fork, and by nothing else.
"""

from __future__ import annotations

import dataclasses
import os
import re
import socket
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Final

from app import vocabulary
from app.agent.agent import Agent
from app.agent.decisions.graces import Graces
from app.agent.decisions.sharing import Timing
from app.agent.lease import SELECTOR, Changed
from app.agent.ownership import LeaseKeeper
from app.agent.runtime import AgentSettings, Clock
from app.cluster.client import KubernetesApi
from app.cluster.events import EventRecorder
from app.cluster.informer import Informer
from app.cluster.resources import LEASES
from app.cluster.transport import Timeouts
from app.reconcile.worker import run_pod_of
from app.settings import LONGEST_REPLICA
from app.web.access import Access
from app.web.application import create_app
from app.web.pacing import Pacer
from app.web.probes import Probe
from app.webhook.keeper import Keeper, Place
from app.webhook.serving import FileCredentials, GivenCredentials

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flask import Flask

    from app.agent.agent import Health
    from app.listeners import TlsSettings
    from app.metrics.server import MetricsServer
    from app.settings import Settings

VERSION: Final = "0.1.0"
"""Version of this operator, as Workers tell it when they register; the one of pyproject.toml."""

TAG_PREFIX: Final = "SPACELIFT_METADATA_"
"""Environment variables of this prefix become metadata of every Worker, as the field knows them."""

LEASE_TIMEOUTS: Final = Timeouts(connect=2.0, read=3.0)
"""Seconds after which a call about Leases is given up and tried again: a renewal has to succeed within its deadline."""

SPARE_CONNECTIONS: Final = 8
"""Connections to the API server beside those of the agent's threads: watches, Events, the keeper."""


class AgentHealth:
    """Answers the probes from the agent's own account of its progress, and the keeper's of the hooks' certificate."""

    def __init__(self, agent: Agent, keeper: Keeper | None = None) -> None:
        self._agent, self._keeper = agent, keeper

    def live(self) -> Probe:
        """Tell whether restarting the process would be no help."""
        health = self._agent.health()
        return Probe(health.live and (self._keeper is None or self._keeper.alive), self._checks(health))

    def ready(self) -> Probe:
        """Tell whether the operator serves."""
        health = self._agent.health()
        return Probe(health.ready and (self._keeper is None or self._keeper.serves), self._checks(health))

    def _checks(self, health: Health) -> Mapping[str, str]:
        hooks = {"hook_credentials": self._keeper.fault or "ok"} if self._keeper else {}
        return {**health.checks, **hooks}


class Operator:
    """Everything that runs, started and stopped in order."""

    def __init__(
        self,
        api: KubernetesApi,
        events: EventRecorder,
        agent: Agent,
        wsgi: Flask,
        metrics: MetricsServer | None = None,
        serving: HookServing | None = None,
    ) -> None:
        self._api, self._events, self._agent = api, events, agent
        self.wsgi, self._metrics = wsgi, metrics
        self._keeper = serving.keeper if serving else None
        self.tls = serving.tls if serving else None

    def start(self) -> None:
        """Start the agent's threads."""
        if self._keeper is not None:
            self._keeper.start()
        self._events.start()
        self._agent.start()
        if self._metrics is not None:
            self._metrics.start()

    def stop(self, deadline_seconds: float) -> None:
        """Stop the agent, write the Events that wait, and close the connections, within the deadline."""
        if self._metrics is not None:
            self._metrics.stop()
        if self._keeper is not None:
            self._keeper.stop(0.0)
        self._agent.stop(deadline_seconds * 0.8)
        self._events.stop(deadline_seconds * 0.2)
        self._api.close()


class HooksOnly:
    """The hooks without an agent: they are functions of their request, so they need no cluster."""

    def __init__(self, serving: HookServing) -> None:
        self.wsgi = create_app(self, access=serving.access)
        self.tls = serving.tls

    def live(self) -> Probe:
        """Tell that the process answers."""
        return Probe(True, {"agent": "off (--hooks-only)"})

    def ready(self) -> Probe:
        """Tell that the hooks answer."""
        return self.live()

    def start(self) -> None:
        """Start nothing."""

    def stop(self, deadline_seconds: float) -> None:
        """Stop nothing."""


def assemble(settings: Settings) -> Operator | HooksOnly:
    """Build the operator; raises ConfigurationError when there is no cluster to talk to. Nothing is sent yet."""
    if settings.hooks_only:
        return HooksOnly(hook_serving_of(settings, None))
    chosen = AgentSettings(
        replica=settings.replica_name or replica_name(),
        version=VERSION,
        namespaces=settings.namespaces,
        threads=settings.agent_threads,
        tags=worker_tags(os.environ),
        graces=graces_of(settings),
        native_sidecars=settings.native_sidecars,
        publish_rate=settings.mqtt_publish_rate,
        controller_namespace=settings.controller_namespace,
        service_account=settings.service_account,
        manager_role=settings.manager_role,
    )
    connections = chosen.threads + chosen.pool_threads + SPARE_CONNECTIONS
    api = KubernetesApi.connect(settings.kubeconfig or None, pool_size=connections)
    events = EventRecorder(api, vocabulary.EVENT_SOURCE)
    ownership = sharing_of(settings, chosen.replica) if settings.leader_elect else None
    agent = Agent(api, events, run_pod_of, chosen, ownership=ownership)
    # Half the threads at most are held for large pools; the others answer Workers' hooks and probes at once.
    pacer = Pacer(holders=settings.threads // 2)
    serving = hook_serving_of(settings, api)
    wsgi = create_app(AgentHealth(agent, serving.keeper), pacer, serving.access)
    return Operator(api, events, agent, wsgi, metrics_of(settings, agent), serving)


@dataclasses.dataclass(frozen=True, slots=True)
class HookServing:
    """How the hooks are served: `tls` None is plain HTTP; `keeper` is there when the operator makes its certificate."""

    access: Access
    tls: TlsSettings | None = None
    keeper: Keeper | None = None


def hook_serving_of(settings: Settings, api: KubernetesApi | None) -> HookServing:
    """Return how hooks are served; a Secret of the cluster needs its API."""
    port = settings.hook_bind_address.port if settings.hooks_are_secure else None
    if settings.hook_credentials_secret and api is not None:
        given = GivenCredentials(wants_token=settings.hook_require_token)
        place = Place(
            settings.controller_namespace, settings.hook_credentials_secret, settings.names_of_hooks
        )
        return HookServing(Access(given, port), given.context, Keeper(api, place, given))
    if not settings.hook_certificate_dir and not settings.hook_token_file:
        return HookServing(Access())
    directory, token = (
        Path(text) if text else None for text in (settings.hook_certificate_dir, settings.hook_token_file)
    )
    files = FileCredentials(directory, token)
    return HookServing(Access(files, port), files.context if directory else None)


def metrics_of(settings: Settings, agent: Agent) -> MetricsServer | None:
    """Return the server of the metrics, None when none was asked for or it would have to be secure."""
    if settings.metrics_bind_address is None or settings.metrics_secure:
        return None
    # Imported only where it is used: Prometheus' client costs memory.
    from app.metrics.exposition import registry_of
    from app.metrics.server import MetricsServer

    return MetricsServer(settings.metrics_bind_address, registry_of(agent))


def replica_name() -> str:
    """Return the name of this replica: in a cluster, the Pod's."""
    # A machine's own name may be written as no object's name may be.
    name = re.sub(r"[^a-z0-9-]+", "-", socket.gethostname().lower()).strip("-")
    return name[:LONGEST_REPLICA].strip("-") or "operator"


def sharing_of(settings: Settings, replica: str) -> LeaseKeeper:
    """Return what shares the pools with the other replicas, by Leases in the operator's own namespace."""
    timing = Timing(settings.lease_duration, settings.lease_renew_deadline, settings.lease_renew_interval)
    # Connections of its own, which give up early: a Lease must not wait behind anything else.
    api = KubernetesApi.connect(settings.kubeconfig or None, pool_size=2, timeouts=LEASE_TIMEOUTS)
    namespace = settings.controller_namespace

    def follow(changed: Changed) -> Informer:
        return Informer(api, LEASES, (namespace,), SELECTOR, changed)

    clock = Clock(monotonic=uninterrupted_clock)
    return LeaseKeeper(api, follow, namespace, replica, f"{replica}_{uuid.uuid4()}", timing, clock)


def uninterrupted_clock() -> float:
    """Return seconds of a clock that goes on while the machine sleeps: a Lease ends then, too."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


def graces_of(settings: Settings) -> Graces:
    """Return the graces of the agent: each is the setting of its name with ``_grace``."""
    return Graces(
        **{field.name: getattr(settings, f"{field.name}_grace") for field in dataclasses.fields(Graces)}
    )


def worker_tags(environment: Mapping[str, str]) -> dict[str, str]:
    """Return what the environment adds to the metadata of every Worker."""
    return {
        name.removeprefix(TAG_PREFIX).lower(): value
        for name, value in environment.items()
        if name.startswith(TAG_PREFIX) and name != TAG_PREFIX
    }
