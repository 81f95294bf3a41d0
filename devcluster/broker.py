"""Mosquitto, with the configuration that the mothership writes: TLS, client certificates, persistence, the ACL."""

from __future__ import annotations

from devcluster import prerequisites, python
from devcluster.processes import Program
from devcluster.site import Site, listens


def write_configuration(site: Site, listen: str | None = None) -> None:
    """Let the mothership write the broker's configuration, for this cluster's port or another `host:port`."""
    where = ["--data-dir", str(site.mothership_data), "--out", str(site.root / "broker")]
    address = listen or site.address("mosquitto")
    python.run(python.module("mothership", "broker-config", *where, "--listen", address))


def program(site: Site) -> Program:
    """Return the broker."""
    argv = (
        prerequisites.find("mosquitto") or "mosquitto",
        "-c",
        str(site.root / "broker" / "mosquitto.conf"),
    )
    return Program("mosquitto", argv, ready=lambda: listens(site.ports["mosquitto"]))


def environment(site: Site) -> dict[str, str]:
    """Return how clients reach the broker."""
    return {
        "BROKER_ENDPOINT": site.url("mosquitto", "mqtts"),
        "BROKER_CA": str(site.mothership_data / "ca.crt"),
    }
