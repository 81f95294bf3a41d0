"""The mothership as a process, and the certificates it makes for itself and the broker."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from devcluster import python
from devcluster.ports import LOOPBACK
from devcluster.processes import Program
from devcluster.site import Site, answers, trusting


def make_authority(site: Site, hosts: Collection[str] = (LOOPBACK,)) -> None:
    """Make the mothership's authority, its and the broker's certificates for these hosts, and the admin token."""
    named = (part for host in hosts for part in ("--host", host))
    python.run(python.module("mothership", "ca", "init", "--data-dir", str(site.mothership_data), *named))


def program(site: Site, arguments: tuple[str, ...], environment: Mapping[str, str]) -> Program:
    """Return the mothership."""
    argv = python.module(
        "mothership",
        "serve",
        "--data-dir",
        str(site.mothership_data),
        "--listen",
        site.address("mothership"),
        "--broker",
        site.via("mothership-broker", "mqtts"),
        "--public-broker",
        site.via("operator-broker", "mqtts"),
        "--public-endpoint",
        site.via("launcher-mothership"),
        *arguments,
    )

    def ready() -> bool:
        return answers(site.ports["mothership"], "/healthz", trusting(site.mothership_data / "ca.crt"))

    return Program("mothership", argv, ready, environment)


def environment(site: Site) -> dict[str, str]:
    """Return what the mothership's command line and other clients read from the environment."""
    return {
        "MOTHERSHIP_ENDPOINT": site.url("mothership"),
        "MOTHERSHIP_CA": str(site.mothership_data / "ca.crt"),
        "MOTHERSHIP_DATA_DIR": str(site.mothership_data),
        "MOTHERSHIP_ADMIN_TOKEN_FILE": str(site.mothership_data / "admin-token"),
    }
