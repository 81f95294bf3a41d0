"""Ports: free, a cluster's own while it lives, and given back."""

import socket

from devcluster.ports import FIRST, LAST, LOOPBACK, Ports, is_free, mark_of

PURPOSES = ("api", "broker", "hooks")


def test_each_purpose_gets_a_free_port_of_its_own_below_the_ephemeral_range() -> None:
    """Nothing takes such a port by chance while its component is down."""
    with Ports(PURPOSES) as ports:
        assert set(ports) == set(PURPOSES)
        assert len(set(ports.values())) == len(PURPOSES)
        assert all(FIRST <= port <= LAST and is_free(port) for port in ports.values())


def test_clusters_that_start_at_once_share_no_port_although_nothing_listens_yet() -> None:
    """The reservation holds between choosing a port and listening on it."""
    many = [f"p{number}" for number in range(200)]
    with Ports(many) as first, Ports(many) as second:
        assert not set(first.values()) & set(second.values())


def test_a_reserved_port_stays_reserved_until_it_is_released() -> None:
    """Release gives every port back."""
    ports = Ports(["api"])
    number = ports["api"]
    assert mark_of(number) is None
    ports.release()
    mark = mark_of(number)
    assert mark is not None
    mark.close()


def test_a_port_that_a_stranger_listens_on_is_not_free() -> None:
    """Programs that know nothing of the reservation are noticed too."""
    with socket.create_server((LOOPBACK, 0)) as stranger:
        assert not is_free(stranger.getsockname()[1])
