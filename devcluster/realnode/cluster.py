"""A cluster with a real node: containers instead of processes, in namespaces without an uplink.

    this machine             |  the node's network: nothing leads out of it
                             |
    kubectl, mothership CLI  |  etcd <-- kube-apiserver <-- kube-controller-manager, kube-scheduler, hookdriver
      |                      |               ^    ^
      +-gateways on loopback-+---------------+    +-- kubelet -- containerd -- Pods: operator, mothership, broker, runs
        (sockets made inside)                +------- kube-proxy, CoreDNS

Relays between parts (`Options.relays`) are this process's as well, and all of their sockets are made inside.

containerd, kubelet, kube-proxy and CoreDNS also have mounts and processes of their own: when the first of these
processes ends, all do, and with them mounts, bridge, routes and packet filters.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from devcluster import broker, build, controlplane, links, metacontroller, mothership, objects, operator
from devcluster.cluster import Cluster
from devcluster.components import OBJECTS, kind
from devcluster.kubectl import Document
from devcluster.paths import cache
from devcluster.ports import LOOPBACK, Ports
from devcluster.processes import Component, Program
from devcluster.progress import ClusterError, Say, wait_until
from devcluster.realnode import cgroups, images, means, network, shares, template, workloads
from devcluster.realnode.deployed import Deployed, Deployment
from devcluster.realnode.namespaces import Namespaces
from devcluster.realnode.podlogs import PodLogs
from devcluster.realnode.programs import Node
from devcluster.realnode.sweeper import Sweeper
from devcluster.realnode.workloads import ADDRESSES, Endpoints, Extra
from devcluster.relay import Address, Relay
from devcluster.site import Site
from devcluster.steps import Step

NODE_READY_WITHIN = 60.0
SERVERS: Mapping[str, Address] = {
    "mothership": (ADDRESSES["mothership"], workloads.MOTHERSHIP_PORT),
    "mosquitto": (ADDRESSES["mosquitto"], workloads.BROKER_PORT),
    links.HOOKS: (workloads.HOOKS_ADDRESS, workloads.SERVICE_PORT),
}
"""Where the servers are that are Pods, for relays between parts: at their Services."""


def gateways(replicas: Sequence[str]) -> dict[str, Address]:
    """Return what this machine reaches by a relay, by the port's purpose, and where that is in the node's network."""
    reached = {purpose: SERVERS[purpose] for purpose in ("mothership", "mosquitto")}
    for name in replicas:
        address = ADDRESSES[f"{name}-health"]
        hooks, health = operator.purposes(name)
        reached |= {hooks: (address, workloads.HOOKS_PORT), health: (address, workloads.HEALTH_PORT)}
    return reached


@dataclass(frozen=True)
class Parts:
    """What a cluster with a real node is made of."""

    folders: tuple[Path, ...]
    """Where its programs are, the control plane's first."""
    containerd: Path
    """containerd's directory with its images (template.py)."""

    def program(self, name: str) -> Path:
        """Return where a program is."""
        return next(folder / name for folder in self.folders if (folder / name).exists())


def provide(say: Say) -> Parts:
    """Install, build and cache what is not there yet; raises ClusterError."""
    means.provide(say)
    control_plane = build.tools(say)
    node, helpers = build.node_tools(say)
    folder = cache() / "node"
    folder.mkdir(parents=True, exist_ok=True)
    with build.only_builder(folder / "lock", say):
        unpacked = template.make(images.archive(helpers / "pause", say), say)
    return Parts((control_plane, node, helpers), unpacked)


class ContainerCluster(Cluster):
    """A cluster whose Pods are containers of a real kubelet; operator, mothership and broker are Pods too."""

    _node: Node
    _parts: Parts
    _documents: Sequence[Document] = ()
    _sweeper: Sweeper | None = None
    _logs: PodLogs | None = None
    _gateways: dict[str, Relay]

    def beside(self, program: Program) -> Program:
        """Return a program as it runs beside the Pods, in the node's network with its DNS; it ends with the node."""
        return self._node.namespaces.enclosed(program)

    def _provide(self) -> Path:
        if self.options.hooks_endpoint:
            msg = f"hooks at {self.options.hooks_endpoint}: nothing inside of a real node's network reaches them"
            raise ClusterError(msg)
        if self.options.oldest:
            msg = "the oldest supported Kubernetes: a real node's programs are of today"
            raise ClusterError(msg)
        self._parts = provide(self._say)
        return self._parts.folders[0]

    def _place(self, tools: Path, ports: Ports) -> Site:
        return Site(self.directory, tools, ports, bridge=network.ADDRESS)

    def _prepare(self) -> None:
        self._gateways = {}
        site = self.site
        credentials = controlplane.make_credentials(site)
        namespaces = Namespaces(site.root / "node")
        cgroup = cgroups.PREFIX + site.node_name
        self._node = Node(site, namespaces, self._parts.program, cgroup)
        self._sweeper = Sweeper(namespaces.home, cgroup)
        cgroups.make(cgroup)
        namespaces.prepare(template.copy(self._parts.containerd, namespaces.home))
        self._node.write_configuration()
        every = [namespaces.program(), *self._control_plane(credentials), *self._node.programs()]
        if "hookdriver" in self.options.components:
            every.append(self._hookdriver())
        self._components = {
            program.name: Component(program, site.logs / f"{program.name}.log", self._say, self._record)
            for program in every
        }
        self._components |= self._deployments()
        self._record()

    def _control_plane(self, credentials: controlplane.Credentials) -> list[Program]:
        site = self.site
        every = [
            controlplane.etcd(site, credentials),
            controlplane.api_server(site, credentials, audit=self.options.audit),
            controlplane.controller_manager(site, credentials),
        ]
        return [self._node.namespaces.networked(program) for program in every]

    def _hookdriver(self) -> Program:
        more, env = self.options.arguments, self.options.environment
        program = metacontroller.program(
            self.site, self.options.metacontroller, more.get("hookdriver", ()), env.get("hookdriver", {})
        )
        # Among the node's mounts it finds the cluster's DNS, and so the operator's Service by its name.
        return self._node.namespaces.enclosed(program)

    def _deployments(self) -> dict[str, Deployed]:
        every = {
            "mosquitto": Deployment("mosquitto", workloads.NAMESPACE, "app=mosquitto"),
            "mothership": Deployment("mothership", workloads.NAMESPACE, "app=mothership"),
        }
        for name in self._replicas:
            found, selector = workloads.deployment_of(name, self._replicas)
            every[name] = Deployment(found, workloads.OPERATOR_NAMESPACE, selector)
        wanted = {name: each for name, each in every.items() if kind(name) in self.options.components}
        patterns = {name: each.log_folders for name, each in wanted.items()}
        self._logs = PodLogs(self._node.home / "logs", patterns, self.site.logs)
        return {
            name: Deployed(name, each, self.kubectl, self._node.cgroup, self._logs, self._say)
            for name, each in wanted.items()
        }

    def _extra(self, name: str) -> Extra:
        environment = dict(self.options.environment.get(name, {}))
        if name == "operator" and "operator-api" in self.options.relays:
            # In the place of what the kubelet tells every container: the Service `kubernetes`.
            relay = self.site.ports[links.purpose("operator-api")]
            environment |= {"KUBERNETES_SERVICE_HOST": network.ADDRESS, "KUBERNETES_SERVICE_PORT": str(relay)}
        return Extra(self.options.arguments.get(name, ()), environment)

    def _via(self, link: str, straight: str) -> str:
        """Return the URL at which Pods reach the server of a link: its relay's if it has one."""
        if link not in self.options.relays:
            return straight
        return f"{urlsplit(straight).scheme}://{network.ADDRESS}:{self.site.ports[links.purpose(link)]}"

    def _steps(self) -> dict[str, Step]:
        kubectl = self.kubectl
        control_plane = ("kube-apiserver", "gateways")
        ready = ("node-ready", "coredns", "kube-proxy", "namespace")
        every = {
            "sandbox": Step(self._open),
            "gateways": Step(self._open_gateways, ("sandbox",)),
            "relays": Step(self._open_relays, ("sandbox",)),
            "etcd": Step(self._starts("etcd"), ("sandbox",)),
            "kube-apiserver": Step(self._starts("kube-apiserver"), ("etcd", "relays")),
            "kube-controller-manager": Step(self._starts("kube-controller-manager"), control_plane),
            "kube-scheduler": Step(self._starts("kube-scheduler"), control_plane),
            "default-account": Step(
                lambda: objects.wait_default_account(kubectl), ("kube-controller-manager", "gateways")
            ),
            "containerd": Step(self._starts("containerd"), ("sandbox",)),
            "grants": Step(lambda: kubectl.apply(self._grants()), control_plane),
            "coredns": Step(self._starts("coredns"), ("grants",)),
            "kube-proxy": Step(self._starts("kube-proxy"), control_plane),
            "node": Step(self._starts("node"), ("kube-apiserver", "containerd")),
            "node-ready": Step(self._wait_node, ("node", "gateways")),
            "namespace": Step(lambda: kubectl.apply([workloads.namespace()]), control_plane),
            "documents": Step(self._read_documents),
            OBJECTS: Step(self._install, (*control_plane, "documents")),
            "mothership-data": Step(self._make_mothership_data),
            "workloads": Step(self._install_workloads, ("mothership-data", "namespace")),
            "mosquitto": Step(self._starts("mosquitto"), ("workloads", *ready)),
            "mothership": Step(self._starts("mothership"), ("workloads", *ready)),
            **{name: Step(self._starts(name), (OBJECTS, *ready)) for name in self._replicas},
            "hooks-trusted": Step(lambda: operator.wait_trusted(self.site, kubectl), self._replicas),
            "hookdriver-kubeconfig": Step(
                lambda: metacontroller.write_kubeconfig(self.site, kubectl), (OBJECTS,)
            ),
            "hookdriver": Step(self._starts("hookdriver"), ("hookdriver-kubeconfig", "coredns")),
        }
        helpers = {
            "documents": OBJECTS,
            "mothership-data": "mosquitto",
            "workloads": "mosquitto",
            "hooks-trusted": "operator",
            "hookdriver-kubeconfig": "hookdriver",
        }
        chosen, left = self.options.components, {OBJECTS, "mosquitto", "mothership", "operator", "hookdriver"}
        return {
            name: step
            for name, step in every.items()
            if kind(helpers.get(name, name)) in chosen or kind(helpers.get(name, name)) not in left
        }

    def _open(self) -> None:
        self._starts("sandbox")()
        if self._logs is not None:
            self._logs.start()
        self._node.namespaces.opened(self.component("sandbox"))

    def _open_gateways(self) -> None:
        ports = self.site.ports
        targets = {"kube-apiserver": (LOOPBACK, ports["kube-apiserver"]), **gateways(self._replicas)}
        for purpose, target in targets.items():
            relay = Relay([target], port=ports[purpose], make_socket=self.make_socket)
            self._gateways[purpose] = relay.start()

    def _open_relays(self) -> None:
        where = links.Inside(self.make_socket, controlplane.ANYWHERE, SERVERS)
        self._relays = links.relays(self.options.relays, self.site.ports, where)

    def make_socket(self) -> socket.socket:
        """Return a TCP socket of the node's network."""
        return self._node.namespaces.make_socket()

    def _grants(self) -> list[Document]:
        return [*workloads.grants(), *shares.policy(self.options.allow_paths)]

    def _wait_node(self) -> None:
        def ready() -> bool:
            found = self.kubectl("get", "node", self.site.node_name, "--ignore-not-found", "-o", "json")
            conditions = json.loads(found or "{}").get("status", {}).get("conditions", ())
            return any(each["type"] == "Ready" and each["status"] == "True" for each in conditions)

        wait_until(ready, f"node {self.site.node_name}", within=NODE_READY_WITHIN, say=self._say, pause=0.1)

    def _read_documents(self) -> None:
        self._documents = objects.read(self.kubectl, self.options.overlay)

    def _equip(self, name: str) -> None:
        if name == "hookdriver":
            self.component(name).program = self._hookdriver()
            return
        equipped = {"operator": self._install, "mothership": self._install_mothership}
        if name not in equipped:
            msg = f"{name} of a real node takes no further arguments"
            raise ClusterError(msg)
        equipped[name]()

    def _install(self) -> None:
        # No Pod before the node and its DNS are there: a failed start is not tried again for ten seconds.
        made = workloads.operator(self._documents, self._extra("operator"), self._replicas)
        hooks = self.site.via(links.SERVICE) if links.SERVICE in self.options.relays else None
        objects.install(self.kubectl, made, hooks, left_out=())

    def _install_workloads(self) -> None:
        self.kubectl.apply(workloads.broker(self.site.root / "broker", self.site.mothership_data))
        if "mothership" in self.options.components:
            self._install_mothership()

    def _install_mothership(self) -> None:
        endpoints = Endpoints(
            self._via("mothership-broker", workloads.BROKER_URL),
            self._via("operator-broker", workloads.BROKER_URL),
            self._via("launcher-mothership", workloads.MOTHERSHIP_URL),
        )
        data = self.site.mothership_data
        self.kubectl.apply(workloads.mothership(data, self._extra("mothership"), endpoints))

    def _make_mothership_data(self) -> None:
        mothership.make_authority(self.site, (LOOPBACK, network.ADDRESS, *workloads.HOSTS))
        broker.write_configuration(self.site, f"0.0.0.0:{workloads.BROKER_PORT}")
        for folder in (self.site.mothership_data, self.site.root / "broker"):
            for path in (folder, *folder.rglob("*")):
                os.chown(path, workloads.UID, workloads.UID)

    def _stop_all(self) -> None:
        # With the first process of the sandbox everything inside ends at once: no Pod is asked to, nothing is kept.
        if "sandbox" in self._components:
            self.component("sandbox").end()
        super()._stop_all()

    def _close_relays(self) -> None:
        super()._close_relays()
        links.close(self._gateways)
        self._gateways = {}

    def _sweep(self) -> None:
        if self._logs is not None:
            self._logs.stop()
        if self._site is not None and hasattr(self, "_node"):
            self._node.namespaces.close()
        if self._sweeper is not None:
            sweeper, self._sweeper = self._sweeper, None
            sweeper.finish()

    def _processes(self) -> Mapping[str, Component]:
        return {name: found for name, found in self._components.items() if not isinstance(found, Deployed)}
