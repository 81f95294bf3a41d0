"""A cluster with a real node: containers instead of processes, in namespaces without an uplink.

    this machine             |  the node's network: nothing leads out of it
                             |
    kubectl, mothership CLI  |  etcd <-- kube-apiserver <-- kube-controller-manager, kube-scheduler, hookdriver
      |                      |               ^    ^
      +--relays on loopback--+---------------+    +-- kubelet -- containerd -- Pods: operator, mothership, broker, runs
         (sockets made inside)               +------- kube-proxy, CoreDNS

containerd, kubelet, kube-proxy and CoreDNS also have mounts and processes of their own: when the first of these
processes ends, all do, and with them mounts, bridge, routes and packet filters.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from devcluster import broker, build, controlplane, metacontroller, mothership, objects, operator
from devcluster.cluster import Cluster
from devcluster.components import OBJECTS
from devcluster.kubectl import Document
from devcluster.paths import cache
from devcluster.ports import LOOPBACK, Ports
from devcluster.processes import Component, Program
from devcluster.progress import ClusterError, Say, wait_until
from devcluster.realnode import cgroups, images, means, network, shares, template, workloads
from devcluster.realnode.deployed import Deployed, Deployment
from devcluster.realnode.namespaces import Namespaces
from devcluster.realnode.programs import Node
from devcluster.realnode.sweeper import Sweeper
from devcluster.realnode.workloads import ADDRESSES, Extra
from devcluster.relay import Address, Relay
from devcluster.site import Site
from devcluster.steps import Step

NODE_READY_WITHIN = 60.0
GATEWAYS: Mapping[str, Address] = {
    "mothership": (ADDRESSES["mothership"], workloads.MOTHERSHIP_PORT),
    "mosquitto": (ADDRESSES["mosquitto"], workloads.BROKER_PORT),
    "operator-health": (ADDRESSES[workloads.HEALTH_SERVICE], workloads.HEALTH_PORT),
    "operator-hooks": (ADDRESSES[workloads.HEALTH_SERVICE], workloads.HOOKS_PORT),
}
"""What this machine reaches by a relay, by the port's purpose, and where that is in the node's network."""


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

    def beside(self, program: Program) -> Program:
        """Return a program as it runs beside the Pods, in the node's network with its DNS; it ends with the node."""
        return self._node.namespaces.enclosed(program)

    def _provide(self) -> Path:
        if self.options.relays:
            msg = f"relays {', '.join(sorted(self.options.relays))}: a cluster with a real node has none"
            raise ClusterError(msg)
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
        deployed = (self._broker(), self._mothership(), self._operator())
        self._components |= {each.name: each for each in deployed if each.name in self.options.components}
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

    def _operator(self) -> Deployed:
        selector = f"{workloads.OPERATOR_LABEL}={workloads.OPERATOR}"
        where = Deployment(
            workloads.OPERATOR_DEPLOYMENT, workloads.OPERATOR_NAMESPACE, selector, self.options.replicas
        )
        return self._deployed("operator", where, self._install)

    def _mothership(self) -> Deployed:
        def install() -> None:
            made = workloads.mothership(self.site.mothership_data, self._extra("mothership"))
            self.kubectl.apply(made)

        return self._deployed(
            "mothership", Deployment("mothership", workloads.NAMESPACE, "app=mothership"), install
        )

    def _broker(self) -> Deployed:
        def install() -> None:
            self.kubectl.apply(workloads.broker(self.site.root / "broker", self.site.mothership_data))

        return self._deployed(
            "mosquitto", Deployment("mosquitto", workloads.NAMESPACE, "app=mosquitto"), install
        )

    def _deployed(self, name: str, deployment: Deployment, install: Callable[[], None]) -> Deployed:
        return Deployed(name, deployment, self.kubectl, self._node, self._say, install)

    def _extra(self, name: str) -> Extra:
        return Extra(
            self.options.arguments.get(name, ()),
            self.options.environment.get(name, {}),
            self.options.replicas,
        )

    def _steps(self) -> dict[str, Step]:
        kubectl = self.kubectl
        control_plane = ("kube-apiserver", "gateways")
        ready = ("node-ready", "coredns", "kube-proxy", "namespace")
        every = {
            "sandbox": Step(self._open),
            "gateways": Step(self._open_gateways, ("sandbox",)),
            "etcd": Step(self._starts("etcd"), ("sandbox",)),
            "kube-apiserver": Step(self._starts("kube-apiserver"), ("etcd",)),
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
            "mosquitto": Step(self._starts("mosquitto"), ("mothership-data", *ready)),
            "mothership": Step(self._starts("mothership"), ("mothership-data", *ready)),
            "operator": Step(self._starts("operator"), (OBJECTS, *ready)),
            "hooks-trusted": Step(lambda: operator.wait_trusted(self.site, kubectl), ("operator",)),
            "hookdriver-kubeconfig": Step(
                lambda: metacontroller.write_kubeconfig(self.site, kubectl), (OBJECTS,)
            ),
            "hookdriver": Step(self._starts("hookdriver"), ("hookdriver-kubeconfig", "coredns")),
        }
        helpers = {
            "documents": OBJECTS,
            "mothership-data": "mosquitto",
            "hooks-trusted": "operator",
            "hookdriver-kubeconfig": "hookdriver",
        }
        chosen, left = self.options.components, {OBJECTS, "mosquitto", "mothership", "operator", "hookdriver"}
        return {
            name: step
            for name, step in every.items()
            if helpers.get(name, name) in chosen or helpers.get(name, name) not in left
        }

    def _open(self) -> None:
        self._starts("sandbox")()
        self._node.namespaces.opened(self.component("sandbox"))

    def _open_gateways(self) -> None:
        ports = self.site.ports
        targets = {"kube-apiserver": (LOOPBACK, ports["kube-apiserver"]), **GATEWAYS}
        for purpose, target in targets.items():
            relay = Relay([target], port=ports[purpose], make_socket=self._node.namespaces.make_socket)
            self._relays[purpose] = relay.start()

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
        component = self.component(name)
        if not isinstance(component, Deployed):
            msg = f"{name} runs on a real node: it takes no further arguments"
            raise ClusterError(msg)
        component.install()

    def _install(self) -> None:
        # No Pod before the node and its DNS are there: a failed start is not tried again for ten seconds.
        made = workloads.operator(self._documents, Extra(**{**vars(self._extra("operator")), "replicas": 0}))
        objects.install(self.kubectl, made, None, left_out=())

    def _make_mothership_data(self) -> None:
        mothership.make_authority(self.site, (LOOPBACK, workloads.MOTHERSHIP_HOST, workloads.BROKER_HOST))
        broker.write_configuration(self.site, f"0.0.0.0:{workloads.BROKER_PORT}")
        for folder in (self.site.mothership_data, self.site.root / "broker"):
            for path in (folder, *folder.rglob("*")):
                os.chown(path, workloads.UID, workloads.UID)

    def _stop_all(self) -> None:
        # With the first process of the sandbox everything inside ends at once: no Pod is asked to, nothing is kept.
        if "sandbox" in self._components:
            self.component("sandbox").end()
        super()._stop_all()

    def _sweep(self) -> None:
        if self._site is not None and hasattr(self, "_node"):
            self._node.namespaces.close()
        if self._sweeper is not None:
            sweeper, self._sweeper = self._sweeper, None
            sweeper.finish()

    def _processes(self) -> Mapping[str, Component]:
        return {name: found for name, found in self._components.items() if not isinstance(found, Deployed)}
