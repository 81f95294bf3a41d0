"""Configuration of containerd, kubelet, kube-proxy and CoreDNS: functions of addresses and paths, no effects."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from devcluster.realnode import network
from devcluster.realnode.namespaces import HOME

CONTAINERD_SOCKET = "/run/containerd.sock"
CNI_PLUGINS = "/usr/lib/cni"
PAUSE_IMAGE = "devcluster.local/pause:1"
CLOSED_PORT = 9
"""A loopback port where nothing listens (discard): whoever pulls an image is refused at once."""

CONTAINERD = f"""\
version = 2
root = "{HOME}/containerd"
state = "/run/containerd"
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs",
  "io.containerd.tracing.processor.v1.otlp",
]

[grpc]
  address = "{CONTAINERD_SOCKET}"

[plugins."io.containerd.internal.v1.opt"]
  path = "{HOME}/opt"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  # Root without CAP_SYS_RESOURCE may lower no score: sandboxes would not start.
  restrict_oom_score_adj = true
  disable_apparmor = true
  enable_selinux = false

  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{CNI_PLUGINS}"
    conf_dir = "{HOME}/cni/conf"

  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"

    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      SystemdCgroup = false

  [plugins."io.containerd.grpc.v1.cri".registry]
    config_path = "{HOME}/registries"
"""

REGISTRIES = f"""\
server = "http://127.0.0.1:{CLOSED_PORT}"

[host."http://127.0.0.1:{CLOSED_PORT}"]
  capabilities = ["pull", "resolve"]
"""
"""hosts.toml of every registry: there is none, so a pull fails at once."""

COREFILE = f"""\
{network.CLUSTER_DOMAIN} in-addr.arpa {{
    bind {network.ADDRESS}
    errors
    ready 127.0.0.1:8181
    kubernetes {network.CLUSTER_DOMAIN} in-addr.arpa {{
        kubeconfig %s
        pods insecure
        ttl 5
    }}
    cache 5
}}
{network.MACHINE_DOMAIN} {{
    bind {network.ADDRESS}
    errors
    template IN A {{
        answer "{{{{ .Name }}}} 5 IN A {network.ADDRESS}"
    }}
    template ANY ANY {{
        rcode NOERROR
    }}
}}
. {{
    bind {network.ADDRESS}
    errors
    template ANY ANY {{
        rcode NXDOMAIN
    }}
}}
"""


@dataclass(frozen=True)
class KubeletFiles:
    """Where the kubelet's certificates are."""

    certificate: str
    key: str
    client_authority: str


def kubelet(files: KubeletFiles, cgroup: str) -> dict[str, Any]:
    """Return the kubelet's configuration; `cgroup` is the control group below which every Pod's is, `/name`."""
    return {
        "apiVersion": "kubelet.config.k8s.io/v1beta1",
        "kind": "KubeletConfiguration",
        "address": network.ADDRESS,
        "port": network.KUBELET_PORT,
        "tlsCertFile": files.certificate,
        "tlsPrivateKeyFile": files.key,
        "authentication": {
            "anonymous": {"enabled": False},
            "webhook": {"enabled": True},
            "x509": {"clientCAFile": files.client_authority},
        },
        "authorization": {"mode": "Webhook"},
        "healthzBindAddress": "127.0.0.1",
        "healthzPort": 10248,
        "clusterDNS": [network.ADDRESS],
        "clusterDomain": network.CLUSTER_DOMAIN,
        "resolvConf": "/etc/resolv.conf",
        "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}",
        "podLogsDir": f"{HOME}/logs",
        "volumePluginDir": f"{HOME}/volume-plugins",
        "cgroupDriver": "cgroupfs",
        "cgroupRoot": cgroup,
        "failCgroupV1": False,
        "failSwapOn": False,
        # What it would set is bound over with files that say so already: the machine keeps its own.
        "protectKernelDefaults": True,
        "makeIPTablesUtilChains": False,
        # Images can't be pulled again.
        "imageGCHighThresholdPercent": 100,
        # The disk is the developer's, and may be fuller than a node's should be.
        "evictionHard": {
            "memory.available": "50Mi",
            "nodefs.available": "0.1%",
            "nodefs.inodesFree": "0.1%",
            "imagefs.available": "0.1%",
            "imagefs.inodesFree": "0.1%",
        },
        "serializeImagePulls": False,
        "maxPods": 110,
        "nodeStatusUpdateFrequency": "5s",
        "shutdownGracePeriod": "0s",
        "registryPullQPS": 100,
        "eventRecordQPS": 100,
        "eventBurst": 200,
        "logging": {"verbosity": 1},
    }


def kube_proxy(kubeconfig: str) -> dict[str, Any]:
    """Return kube-proxy's configuration. Zero in conntrack means: touch no setting of the machine."""
    untouched = {"maxPerCore": 0, "min": 0, "tcpCloseWaitTimeout": "0s", "tcpEstablishedTimeout": "0s"}
    return {
        "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
        "kind": "KubeProxyConfiguration",
        "mode": "nftables",
        "clientConnection": {"kubeconfig": kubeconfig},
        "clusterCIDR": network.POD_RANGE,
        "detectLocalMode": "BridgeInterface",
        "detectLocal": {"bridgeInterface": network.BRIDGE},
        "nftables": {"minSyncPeriod": "50ms", "syncPeriod": "30s"},
        "healthzBindAddress": "127.0.0.1:10256",
        "metricsBindAddress": "127.0.0.1:10249",
        "conntrack": untouched,
    }


def corefile(kubeconfig: str) -> str:
    """Return CoreDNS's configuration. A block for each: in one, `template` would answer everything."""
    return COREFILE % kubeconfig


def scheduler_flags(kubeconfig: str) -> dict[str, str]:
    """Return kube-scheduler's flags."""
    return {
        "kubeconfig": kubeconfig,
        "authentication-kubeconfig": kubeconfig,
        "authorization-kubeconfig": kubeconfig,
        "bind-address": "127.0.0.1",
        "secure-port": "10259",
        "leader-elect": "false",
        "profiling": "false",
    }
