"""A local cluster: the one place where its parts are put together.

    etcd <--TLS-- kube-apiserver --TLS--> node (logs)          mosquitto <--TLS, mothership's certificate-- mothership
                  ^  ^  ^  ^  ^                                    ^                                         ^
                  |  |  |  |  +-- node: Pods, status               |                                         |
                  |  |  |  +----- kube-controller-manager          +--TLS, pool's certificate-- operator     |
                  |  |  +-------- operator (ServiceAccount token)                                  ^         |
                  |  +----------- hookdriver: Metacontroller or the stand-in --HTTPS hooks---------+         |
                  +-------------- kubectl (administrator)                  launchers in the node's Pods --TLS+

Everything listens on loopback, on ports of this cluster's own. All state is in one directory, which goes with it.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Self

from devcluster import (
    broker,
    build,
    controlplane,
    links,
    metacontroller,
    mothership,
    objects,
    operator,
    prerequisites,
    processnode,
    state,
    steps,
)
from devcluster.components import COMPONENTS, OBJECTS, STOP_ORDER, kind, replicas, resolve
from devcluster.kubectl import Document, Kubectl
from devcluster.paths import cluster_directory
from devcluster.ports import Ports
from devcluster.processes import Component, Program
from devcluster.progress import ClusterError, Say, say_to_stderr
from devcluster.relay import Relay, tcp_socket
from devcluster.site import PURPOSES, Site
from devcluster.state import Claim, ProcessRecord, State
from devcluster.steps import Step

PROCESSES, CONTAINERS = NODES = ("process", "containerd")


@dataclass(frozen=True)
class Options:
    """What can be chosen about a cluster."""

    components: frozenset[str] = field(default_factory=lambda: resolve(["all"]))
    """Components to start (see components.py), groups such as `controlplane` allowed."""
    metacontroller: str | None = field(default_factory=lambda: os.environ.get("METACONTROLLER_BIN") or None)
    """Metacontroller's binary; without it the stand-in drives the hooks."""
    hooks_endpoint: str | None = None
    """Where the hooks are, when it is not this cluster's operator that serves them; the operator's are plain HTTP then."""
    overlay: str = ""
    """Overlay of manifests/ that is installed; empty: the default one."""
    audit: bool = False
    """Whether the API server logs what the operator and the hooks' driver ask of it (`site.audit_log`)."""
    allow_paths: tuple[Path, ...] = ()
    """Directories of this machine that every container on the process node may write, at the same path."""
    arguments: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Further arguments by component: node, mothership, operator, hookdriver."""
    environment: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """Further environment by component, of the same four."""
    relays: frozenset[str] = frozenset()
    """Links that a relay stands in (see links.py), `all` for every one; `Cluster.relays` has them."""
    node: str = field(default_factory=lambda: os.environ.get("NODE") or PROCESSES)
    """`process`: Pods are processes of this machine; `containerd`: a real node (docs/real-node.md)."""
    oldest: bool = False
    """Whether API server and controllers are those of the oldest supported Kubernetes (devcluster/oldest)."""
    replicas: int = 1
    """Processes of the operator: `operator`, `operator-2` and so on; several have a relay for their Service."""


class Cluster:
    """A cluster whose processes are children of this one: they end with it, whatever happens to it."""

    def __init__(
        self,
        where: str | Path = "default",
        options: Options | None = None,
        *,
        components: Collection[str] | None = None,
        say: Say = say_to_stderr,
    ) -> None:
        """Describe a cluster, by its name below .cluster or by a directory of its own; `up` starts it."""
        chosen = options or Options()
        self._replicas = replicas(chosen.replicas)
        # On a real node several replicas have a real Service.
        relayed = chosen.replicas > 1 and chosen.node == PROCESSES
        service = {links.SERVICE} if relayed else frozenset[str]()
        self.options = replace(
            chosen,
            components=resolve(chosen.components if components is None else components),
            relays=links.check(chosen.relays | service),
        )
        self.directory = cluster_directory(where)
        self._say = say
        self._claim: Claim | None = None
        self._ports: Ports | None = None
        self._site: Site | None = None
        self._components: dict[str, Component] = {}
        self._relays: dict[str, Relay] = {}
        self._credentials: controlplane.Credentials | None = None
        self._ready = False
        self._recording = threading.Lock()

    def __enter__(self) -> Self:
        self.up()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.down()

    @property
    def site(self) -> Site:
        """Directories, ports and addresses; there once the cluster is up."""
        if self._site is None:
            msg = f"the cluster in {self.directory} is not up"
            raise ClusterError(msg)
        return self._site

    @property
    def kubeconfig(self) -> Path:
        """The administrator's kubeconfig."""
        return self.site.kubeconfig("admin")

    @property
    def kubectl(self) -> Kubectl:
        """Return kubectl as the administrator: `cluster.kubectl("get", "pods")` returns what it prints."""
        return Kubectl(self.site)

    @property
    def components(self) -> Mapping[str, Component]:
        """The components by name."""
        return self._components

    @property
    def relays(self) -> Mapping[str, Relay]:
        """The relays by link, to cut, silence and delay them."""
        return self._relays

    @property
    def logs_dir(self) -> Path:
        """Where each component's log is, `<component>.log`."""
        return self.directory / "logs"

    def component(self, name: str) -> Component:
        """Return a component, to kill, stop and start it."""
        if name not in self._components:
            msg = f"no component {name!r} in this cluster: it has {', '.join(self._components) or 'none'}"
            raise ClusterError(msg)
        return self._components[name]

    def equip(
        self, name: str, arguments: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> None:
        """Give a component other further arguments (`Options`), and environment if given, from its next start on."""
        self.options = replace(
            self.options,
            arguments={**self.options.arguments, name: tuple(arguments)},
            environment=self.options.environment
            if environment is None
            else {**self.options.environment, name: dict(environment)},
        )
        self._equip(name)

    def make_socket(self) -> socket.socket:
        """Return a TCP socket of the network in which the parts and their relays are."""
        return tcp_socket()

    def _equip(self, name: str) -> None:
        if self._credentials is None:
            msg = f"the cluster in {self.directory} is not up"
            raise ClusterError(msg)
        for program in self._programs(self._credentials):
            if kind(program.name) == name:
                self.component(program.name).program = program

    def up(self) -> None:
        """Start everything and return when it is ready; on failure stop it again and leave the logs."""
        started = time.monotonic()
        self._take(self._provide())
        try:
            self._prepare()
            steps.run(self._steps(), abandon=self._stop_all)
        except BaseException:
            self._stop_all()
            self._give_up()
            raise
        self._say(f"up after {time.monotonic() - started:.1f} s: {self.directory}")
        self._ready = True
        self._record()

    def down(self) -> None:
        """Stop everything and remove everything."""
        if self._claim is None:
            return
        self._stop_all()
        state.remove(self.directory)
        self._give_up()

    def env(self) -> dict[str, str]:
        """Return the environment variables that clients of this cluster need."""
        site = self.site
        env = {
            "KUBECONFIG": str(self.kubeconfig),
            "KUBECACHEDIR": str(site.kubectl_cache),
            "DEVCLUSTER_DIR": str(self.directory),
            "DEVCLUSTER_BIN": str(site.tools),
            "PATH": os.pathsep.join([str(site.tools), os.environ.get("PATH", os.defpath)]),
        }
        sections: dict[str, Callable[[Site], dict[str, str]]] = {
            "mothership": mothership.environment,
            "mosquitto": broker.environment,
            "operator": lambda place: operator.environment(place, secure=self._secure),
        }
        for name, environment in sections.items():
            if name in self.options.components:
                env |= environment(site)
        return env

    @property
    def _secure(self) -> bool:
        """Whether the operator serves its hooks over TLS."""
        return self.options.hooks_endpoint is None

    def _provide(self) -> Path:
        """Make sure that everything is there that the cluster is made of; return the directory of the programs."""
        prerequisites.provide(self.options.components, self._say)
        return build.tools(self._say)

    def _place(self, tools: Path, ports: Ports) -> Site:
        oldest = build.tools(self._say, build.OLDEST) if self.options.oldest else None
        return Site(self.directory, tools, ports, oldest=oldest)

    def _take(self, tools: Path) -> None:
        self._claim = Claim(self.directory)
        # What a cluster that was killed left here is of no use: its ports belong to nobody.
        state.clear(self.directory)
        further = (purpose for name in self._replicas[1:] for purpose in operator.purposes(name))
        self._ports = Ports(
            (*PURPOSES, *further, *(links.purpose(name) for name in sorted(self.options.relays)))
        )
        self._site = self._place(tools, self._ports)
        self._site.make_directories()

    def _prepare(self) -> None:
        credentials = self._credentials = controlplane.make_credentials(self.site)
        self._relays = links.relays(self.options.relays, self.site.ports)
        self._components = {
            program.name: Component(program, self.site.logs / f"{program.name}.log", self._say, self._record)
            for program in self._programs(credentials)
            if kind(program.name) in self.options.components
        }
        self._record()

    def _programs(self, credentials: controlplane.Credentials) -> list[Program]:
        site, more, env = self.site, self.options.arguments, self.options.environment
        allowed = tuple(f"--allow-path={path.absolute()}" for path in self.options.allow_paths)
        return [
            controlplane.etcd(site, credentials),
            controlplane.api_server(site, credentials, audit=self.options.audit),
            controlplane.controller_manager(site, credentials),
            processnode.program(site, (*allowed, *more.get("node", ())), env.get("node", {})),
            broker.program(site),
            mothership.program(site, more.get("mothership", ()), env.get("mothership", {})),
            *(
                operator.program(
                    site, more.get("operator", ()), env.get("operator", {}), name, secure=self._secure
                )
                for name in self._replicas
            ),
            metacontroller.program(
                site, self.options.metacontroller, more.get("hookdriver", ()), env.get("hookdriver", {})
            ),
        ]

    def _steps(self) -> dict[str, Step]:
        """Return what has to be done, by component, and what each waits for."""
        site, kubectl, documents = self.site, self.kubectl, list[Document]()
        hooks = self.options.hooks_endpoint or site.via("hookdriver-operator", "https")
        every = {
            "etcd": Step(self._starts("etcd")),
            "kube-apiserver": Step(self._starts("kube-apiserver"), ("etcd",)),
            "kube-controller-manager": Step(self._starts("kube-controller-manager"), ("kube-apiserver",)),
            "default-account": Step(
                lambda: objects.wait_default_account(kubectl), ("kube-controller-manager",)
            ),
            "documents": Step(lambda: documents.extend(objects.read(kubectl, self.options.overlay))),
            OBJECTS: Step(
                lambda: objects.install(kubectl, documents, hooks), ("kube-apiserver", "documents")
            ),
            "node": Step(self._starts("node"), ("kube-apiserver",)),
            "mothership-authority": Step(lambda: mothership.make_authority(site)),
            "broker-configuration": Step(lambda: broker.write_configuration(site), ("mothership-authority",)),
            "mosquitto": Step(self._starts("mosquitto"), ("broker-configuration",)),
            "mothership": Step(self._starts("mothership"), ("mosquitto",)),
            "operator-kubeconfig": Step(lambda: operator.write_kubeconfig(site, kubectl), (OBJECTS,)),
            **{name: Step(self._starts(name), ("operator-kubeconfig",)) for name in self._replicas},
            "hooks-trusted": Step(lambda: operator.wait_trusted(site, kubectl), self._replicas),
            "hookdriver-kubeconfig": Step(lambda: metacontroller.write_kubeconfig(site, kubectl), (OBJECTS,)),
            "hookdriver": Step(self._starts("hookdriver"), ("hookdriver-kubeconfig",)),
        }
        helpers = {
            "documents": OBJECTS,
            "default-account": "kube-controller-manager",
            "mothership-authority": "mosquitto",
            "broker-configuration": "mosquitto",
            "operator-kubeconfig": "operator",
            "hooks-trusted": "operator",
            "hookdriver-kubeconfig": "hookdriver",
        }
        chosen = self.options.components
        if not self._secure:
            del every["hooks-trusted"]
        return {name: step for name, step in every.items() if helpers.get(name, kind(name)) in chosen}

    def _starts(self, name: str) -> Callable[[], None]:
        def start() -> None:
            begun = time.monotonic()
            self.component(name).start()
            self._say(f"{name}: ready after {time.monotonic() - begun:.1f} s")

        return start

    def _stop_all(self) -> None:
        for row in STOP_ORDER:
            present = [found for name, found in self._processes().items() if kind(name) in row]
            with ThreadPoolExecutor(max_workers=len(COMPONENTS) + len(self._replicas)) as pool:
                list(pool.map(lambda component: component.stop(), present))
        self._close_relays()
        self._sweep()

    def _close_relays(self) -> None:
        links.close(self._relays)
        self._relays = {}

    def _sweep(self) -> None:
        """Remove what the processes could not remove themselves."""
        if self._site is not None and "node" in self.options.components:
            processnode.sweep(self._site.node_name)

    def _record(self) -> None:
        """Tell other processes how things are."""
        with self._recording:
            running = {name: found for name, found in self._processes().items() if found.running}
            State(
                owner=ProcessRecord.of(os.getpid()),
                ready=self._ready,
                node_name=self.site.node_name,
                env=self.env(),
                components={
                    name: ProcessRecord.of(found.pid, found.log_path) for name, found in running.items()
                },
            ).write(self.directory)

    def _processes(self) -> Mapping[str, Component]:
        """Return the components that are processes of this one's."""
        return self._components

    def _give_up(self) -> None:
        if self._ports is not None:
            self._ports.release()
        if self._claim is not None:
            self._claim.release()
        self._claim, self._ports, self._site, self._ready = None, None, None, False
