"""Relays between parts: a client is sent through its link's relay, and straight to the server without one."""

import socket
from pathlib import Path

import pytest

from devcluster import links, operator
from devcluster.cluster import Cluster, Options
from devcluster.ports import LOOPBACK, Ports
from devcluster.site import PURPOSES, Site


def test_every_link_leads_to_a_port_that_every_cluster_has() -> None:
    """A link to nowhere could not be relayed."""
    assert set(links.LINKS.values()) <= set(PURPOSES)


def test_a_client_goes_through_the_relay_where_there_is_one(tmp_path: Path) -> None:
    """The others go straight, whether or not their server has relays on other links."""
    ports = {"mosquitto": 1, links.purpose("operator-broker"): 2}
    site = Site(tmp_path, tmp_path, ports)
    assert site.via("operator-broker", "mqtts") == f"mqtts://{LOOPBACK}:2"
    assert site.via("mothership-broker", "mqtts") == f"mqtts://{LOOPBACK}:1"


def test_a_relay_listens_on_its_links_port_and_reaches_the_server() -> None:
    """Cut one link, and the other to the same server stands."""
    with (
        Ports(
            ["mosquitto", *(links.purpose(name) for name in ("operator-broker", "mothership-broker"))]
        ) as ports,
        socket.create_server((LOOPBACK, ports["mosquitto"])),
    ):
        standing = links.relays(["operator-broker", "mothership-broker"], ports)
        try:
            standing["operator-broker"].cut()
            with pytest.raises(ConnectionRefusedError):
                socket.create_connection((LOOPBACK, ports[links.purpose("operator-broker")]))
            socket.create_connection((LOOPBACK, ports[links.purpose("mothership-broker")])).close()
        finally:
            links.close(standing)


def test_a_relay_in_another_network_makes_all_its_sockets_there() -> None:
    """Where it listens, and where it connects: to servers that are elsewhere than on loopback, too."""
    made: list[socket.socket] = []

    def make_socket() -> socket.socket:
        made.append(socket.socket(socket.AF_INET, socket.SOCK_STREAM))
        return made[-1]

    name = links.purpose("launcher-mothership")
    with Ports(["mothership", name]) as ports, socket.create_server((LOOPBACK, 0)) as server:
        where = links.Inside(make_socket, LOOPBACK, {"mothership": server.getsockname()})
        standing = links.relays(["launcher-mothership"], ports, where)
        try:
            listening = len(made)
            assert listening > 0
            with socket.create_connection((LOOPBACK, ports[name])) as client:
                taken, peer = server.accept()
                taken.close()
                assert len(made) == listening + 1
                assert client.recv(1) == b""
            assert peer[0] == LOOPBACK
        finally:
            links.close(standing)


def test_a_link_that_is_none_is_refused_by_name(tmp_path: Path) -> None:
    """A typing error must not pass for a link that was never cut."""
    with pytest.raises(ValueError, match="operator-moon"):
        Cluster(tmp_path / "c", Options(relays=frozenset({"operator-moon"})))
    assert Cluster(tmp_path / "c", Options(relays=frozenset({"all"}))).options.relays == set(links.LINKS)


def test_several_replicas_have_a_relay_for_their_service(tmp_path: Path) -> None:
    """Any of them answers hooks; a single one is reached directly, and its backends are nobody else's."""
    options = Cluster(tmp_path / "c", Options(replicas=2)).options
    assert options.relays == {"hookdriver-operator"}
    assert Cluster(tmp_path / "c", Options()).options.relays == frozenset()
    ports = {"operator-hooks": 1, "operator-health": 2, "operator-2-hooks": 3, "operator-2-health": 4}
    assert links._backends("operator-hooks", ports) == [(LOOPBACK, 1), (LOOPBACK, 3)]
    assert links._backends("operator-health", ports) == [(LOOPBACK, 2)]


def test_each_replica_listens_for_itself_under_its_own_name(tmp_path: Path) -> None:
    """Two of one name would take the Lease from each other."""
    ports = {"operator-2-hooks": 3, "operator-2-health": 4}
    made = operator.program(Site(tmp_path, tmp_path, ports), ("--threads=4",), {}, "operator-2")
    assert made.name == "operator-2"
    assert {"--leader-elect", "--replica-name=operator-2", f"--hook-bind-address={LOOPBACK}:3"} < set(
        made.argv
    )
    assert made.argv[-1] == "--threads=4"
