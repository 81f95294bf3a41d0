"""The node's network: a bridge in a network namespace without an uplink. Decisions only: plain data, no effects.

Nothing leads out of the namespace, so no packet can leave the machine, whatever kube-proxy or a Pod does. The guard is
there for quick answers: an address that no Service has is refused at once instead of timing out.
"""

from __future__ import annotations

from typing import Any

from devcluster.controlplane import SERVICE_RANGE

BRIDGE = "pods0"
ADDRESS = "10.244.0.1"
"""The bridge's address: where Pods reach the API server, DNS and the kubelet."""
POD_RANGE = "10.244.0.0/24"
FIRST_POD = "10.244.0.10"
LAST_POD = "10.244.0.250"
CLUSTER_DOMAIN = "cluster.local"
MACHINE_DOMAIN = "example.com"
"""Every name in it is the bridge's address: what runs beside the node, as on a machine of the user's, has a name."""
KUBELET_PORT = 10250
DNS_PORT = 53

SYSCTLS = {
    "net/ipv4/ip_forward": "1",
    # With 0 a Pod that reaches another on the same bridge through a Service gets no answer.
    "net/bridge/bridge-nf-call-iptables": "1",
}


def commands() -> list[list[str]]:
    """Return the commands that make the network, for the inside of an empty namespace."""
    ip = [
        "link set lo up",
        f"link add {BRIDGE} type bridge",
        f"address add {ADDRESS}/24 dev {BRIDGE}",
        f"link set {BRIDGE} up",
        # A connection to a Service's address needs some route before it is translated; the guard takes the rest.
        f"route add {SERVICE_RANGE} dev lo src {ADDRESS}",
    ]
    return [*(["ip", *line.split()] for line in ip), ["nft", guard()]]


def guard() -> str:
    """Return the packet filter, which looks at packets after kube-proxy's translation."""
    return f"""\
table inet guard {{
  chain output {{
    type filter hook output priority filter - 1
    ip daddr {SERVICE_RANGE} reject
  }}
  chain forward {{
    type filter hook forward priority filter - 1
    ip daddr {SERVICE_RANGE} reject
    ip saddr {POD_RANGE} oifname != "{BRIDGE}" reject
    ip daddr {POD_RANGE} iifname != "{BRIDGE}" reject
  }}
}}
"""


def cni(data_dir: str) -> dict[str, Any]:
    """Return the CNI configuration: Pods on the bridge, with one route, to the Services."""
    return {
        "cniVersion": "1.0.0",
        "name": "pods",
        "plugins": [
            {
                "type": "bridge",
                "bridge": BRIDGE,
                "isGateway": True,
                "hairpinMode": True,
                "ipMasq": False,
                "ipam": {
                    "type": "host-local",
                    "dataDir": data_dir,
                    "ranges": [[{"subnet": POD_RANGE, "rangeStart": FIRST_POD, "rangeEnd": LAST_POD}]],
                    "routes": [{"dst": SERVICE_RANGE}],
                },
            },
            {"type": "portmap", "capabilities": {"portMappings": True}, "snat": False},
        ],
    }
