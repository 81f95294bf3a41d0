"""The node's programs: containerd, kubelet, kube-proxy, kube-scheduler and CoreDNS, with the files that they read."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from devcluster.processes import Program
from devcluster.realnode import config, network
from devcluster.realnode.namespaces import HOME, Namespaces
from devcluster.site import PROBE_TIMEOUT, Site, answers, listens


def write_containerd(home: Path) -> None:
    """Write what containerd reads, and make the directories that it writes to."""
    for folder in ("containerd", "opt"):
        (home / folder).mkdir(parents=True, exist_ok=True)
    _write(home / "containerd.toml", config.CONTAINERD)
    _write(home / "registries/_default/hosts.toml", config.REGISTRIES)
    _write(home / "cni/conf/10-pods.conflist", _json(network.cni(f"{HOME}/cni/data")))


def containerd(namespaces: Namespaces) -> Program:
    """Return containerd."""

    def answers() -> bool:
        # The socket is in a file system that only those inside see; the first process's root leads there.
        path = f"/proc/{namespaces.first_process()}/root{config.CONTAINERD_SOCKET}"
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(PROBE_TIMEOUT)
            return probe.connect_ex(path) == 0

    argv = ("containerd", "--config", f"{HOME}/containerd.toml")
    return namespaces.enclosed(Program("containerd", argv, answers, stop_within=5.0))


@dataclass(frozen=True)
class Node:
    """A node's parts, as far as they are decided before it starts."""

    site: Site
    namespaces: Namespaces
    tool: Callable[[str], Path]
    """Finds a built program by its name."""
    cgroup: str

    @property
    def home(self) -> Path:
        """The node's directory, as it is seen from outside."""
        return self.namespaces.home

    def write_configuration(self) -> None:
        """Write every file that the programs read."""
        certs = self.site.certs
        files = config.KubeletFiles(
            str(certs / "node-serving.crt"), str(certs / "node-serving.key"), str(certs / "ca.crt")
        )
        write_containerd(self.home)
        for folder in ("logs", "kubelet", "volume-plugins", "cni/data"):
            (self.home / folder).mkdir(parents=True, exist_ok=True)
        _write(self.home / "kubelet.json", _json(config.kubelet(files, f"/{self.cgroup}")))
        _write(self.home / "kube-proxy.json", _json(config.kube_proxy(self._kubeconfig("kube-proxy"))))
        _write(self.home / "Corefile", config.corefile(self._kubeconfig("coredns")))

    def programs(self) -> list[Program]:
        """Return the node's programs; `node` is the kubelet."""
        return [
            containerd(self.namespaces),
            self.kubelet(),
            self.kube_proxy(),
            self.scheduler(),
            self.coredns(),
        ]

    def kubelet(self) -> Program:
        """Return the kubelet."""
        argv = (
            self._tool("kubelet"),
            f"--config={HOME}/kubelet.json",
            f"--kubeconfig={self._kubeconfig('node')}",
            f"--root-dir={HOME}/kubelet",
            f"--cert-dir={HOME}/kubelet/pki",
            f"--hostname-override={self.site.node_name}",
            f"--node-ip={network.ADDRESS}",
        )
        return self.namespaces.enclosed(
            Program("node", argv, ready=lambda: answers(10248, "/healthz"), stop_within=5.0)
        )

    def kube_proxy(self) -> Program:
        """Return kube-proxy."""
        argv = (
            self._tool("kube-proxy"),
            f"--config={HOME}/kube-proxy.json",
            f"--hostname-override={self.site.node_name}",
        )
        return self.namespaces.enclosed(
            Program("kube-proxy", argv, ready=lambda: answers(10256, "/livez"), stop_within=2.0)
        )

    def scheduler(self) -> Program:
        """Return the scheduler."""
        flags = config.scheduler_flags(self._kubeconfig("scheduler"))
        argv = (self._tool("kube-scheduler"), *(f"--{name}={value}" for name, value in flags.items()))
        return self.namespaces.networked(
            Program("kube-scheduler", argv, ready=lambda: listens(10259), stop_within=2.0)
        )

    def coredns(self) -> Program:
        """Return CoreDNS; it answers names outside of the cluster with `no such name`."""
        argv = (self._tool("coredns"), "-conf", f"{HOME}/Corefile", "-quiet")
        return self.namespaces.enclosed(
            Program("coredns", argv, ready=lambda: answers(8181, "/ready"), stop_within=2.0)
        )

    def _tool(self, name: str) -> str:
        return str(self.tool(name))

    def _kubeconfig(self, who: str) -> str:
        return str(self.site.kubeconfig(who))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def _json(value: object) -> str:
    return json.dumps(value, indent=2) + "\n"
