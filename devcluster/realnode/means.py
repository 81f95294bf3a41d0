"""Whether this machine can run a real node, and what it lacks."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

from devcluster import prerequisites
from devcluster.prerequisites import Requirement
from devcluster.progress import ClusterError, Say
from devcluster.realnode import cgroups
from devcluster.realnode.config import CNI_PLUGINS

ROOT = 0
_NODE = frozenset({"node"})
PACKAGES = (
    Requirement("containerd", "containerd", "runs the node's containers", _NODE),
    Requirement("runc", "runc", "starts them", _NODE),
    Requirement(f"{CNI_PLUGINS}/bridge", "containernetworking-plugins", "connects Pods", _NODE),
    Requirement("buildah", "buildah", "builds the images", _NODE),
    Requirement("debootstrap", "debootstrap", "makes the images' base", _NODE),
    Requirement("nft", "nftables", "translates Services' addresses", _NODE),
    Requirement("conntrack", "conntrack", "forgets connections of Services that are gone", _NODE),
    Requirement("iptables", "iptables", "the kubelet looks for it", _NODE),
    Requirement("ip", "iproute2", "makes the Pods' network", _NODE),
    Requirement("unshare", "util-linux", "makes the node's namespaces", _NODE),
    Requirement("git", "git", "repositories for runs", _NODE),
    Requirement("openssl", "openssl", "keys and certificate requests, as users make them", _NODE),
)


def missing() -> list[str]:
    """Return what no package can bring, in words; empty when a real node can run once the packages are there."""
    if sys.platform != "linux":
        return ["Linux"]
    if os.geteuid() != ROOT:
        return ["root"]
    lacks = [f"the control group controller {name}" for name in cgroups.missing_controllers()]
    if lacks:
        return lacks
    tried = subprocess.run(
        [
            "unshare",
            "--net",
            "--mount",
            "--pid",
            "--fork",
            "--mount-proc",
            "ip",
            "link",
            "add",
            "probe0",
            "type",
            "bridge",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    if tried.returncode != 0:
        lacks.append(f"namespaces with a bridge in them ({tried.stderr.strip()})")
    if not Path("/proc/sys/net/bridge").is_dir():
        lacks.append("the kernel module br_netfilter (modprobe br_netfilter)")
    if "overlay" not in Path("/proc/filesystems").read_text():
        lacks.append("the overlay file system")
    return lacks


def missing_packages() -> list[Requirement]:
    """Return the packages that are not installed."""
    return [need for need in PACKAGES if not prerequisites.find(need.command)]


def unavailable() -> str:
    """Return why no real node can run here, installing nothing; empty when one can."""
    lacks = missing()
    if not lacks and not shutil.which("apt-get"):
        lacks = [f"{need.command} (package {need.package})" for need in missing_packages()]
    return f"no real node on this machine, it lacks: {', '.join(lacks)}" if lacks else ""


def provide(say: Say) -> None:
    """Make sure that a real node can run, installing packages where that is possible."""
    if why := unavailable():
        raise ClusterError(why)
    prerequisites.install(missing_packages(), say)
