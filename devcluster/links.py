"""The connections between a cluster's parts that a relay can stand in, by name: `<who connects>-<to whom>`."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from devcluster.ports import LOOPBACK
from devcluster.relay import Address, MakeSocket, Relay, tcp_socket

HOOKS = "operator-hooks"
SERVICE = "hookdriver-operator"
"""The link that is a Service where there are several replicas of the operator."""
_REPLICA = re.compile(r"operator-\d-hooks")

LINKS: Mapping[str, str] = {
    "operator-api": "kube-apiserver",
    "operator-broker": "mosquitto",
    "mothership-broker": "mosquitto",
    "launcher-mothership": "mothership",
    SERVICE: HOOKS,
    "hookdriver-api": "kube-apiserver",
    "node-api": "kube-apiserver",
    "api-etcd": "etcd",
}
"""What each link leads to, by the purpose of its port."""


def check(names: Collection[str]) -> frozenset[str]:
    """Return the names as a set, `all` standing for every link; raise ValueError for one that is none."""
    wanted = frozenset(LINKS) if "all" in names else frozenset(names)
    if unknown := sorted(wanted - LINKS.keys()):
        msg = f"no link {', '.join(unknown)}: choose from all, {', '.join(LINKS)}"
        raise ValueError(msg)
    return wanted


@dataclass(frozen=True)
class Inside:
    """A network that isn't this process's, in which relays stand."""

    make_socket: MakeSocket
    host: str
    """The address at which relays listen there."""
    servers: Mapping[str, Address]
    """Where servers are that don't listen on loopback there, by the purpose of their port."""


HERE = Inside(tcp_socket, LOOPBACK, {})


def relays(names: Collection[str], ports: Mapping[str, int], where: Inside = HERE) -> dict[str, Relay]:
    """Return a started relay for each link; the port of `relay-<link>` is where it listens."""
    made: dict[str, Relay] = {}
    try:
        for name in sorted(names):
            server = LINKS[name]
            backends = [where.servers[server]] if server in where.servers else _backends(server, ports)
            made[name] = Relay(
                backends, where.host, ports[purpose(name)], where.make_socket, where.make_socket
            ).start()
    except BaseException:
        close(made)
        raise
    return made


def _backends(server: str, ports: Mapping[str, int]) -> list[tuple[str, int]]:
    """Return where a server listens: of the operator's hooks, which any replica answers, every replica's."""
    found = [each for each in ports if each == server or (server == HOOKS and _REPLICA.fullmatch(each))]
    return [(LOOPBACK, ports[each]) for each in found]


def close(standing: Mapping[str, Relay]) -> None:
    """Close every relay."""
    for relay in standing.values():
        relay.close()


def purpose(name: str) -> str:
    """Return the purpose of the port that the link's relay listens on."""
    return f"relay-{name}"
