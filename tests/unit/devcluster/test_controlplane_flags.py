"""The control plane's command lines: what must be on, and where it listens."""

from pathlib import Path

import pytest

from devcluster import controlplane
from devcluster.controlplane import Credentials, api_server_flags, controller_manager_flags, make_credentials
from devcluster.ports import FIRST
from devcluster.site import PURPOSES, Site


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """Return a place with fixed ports."""
    made = Site(
        tmp_path, Path("/tools"), {purpose: FIRST + number for number, purpose in enumerate(PURPOSES)}
    )
    made.make_directories()
    return made


@pytest.fixture
def credentials(site: Site) -> Credentials:
    """Return certificates made for it."""
    return make_credentials(site)


def test_the_api_server_enforces_roles_and_keeps_the_service_account_plugin(
    site: Site, credentials: Credentials
) -> None:
    """RBAC is on, and no admission plugin that is on by default is turned off."""
    flags = api_server_flags(site, credentials)
    assert flags["authorization-mode"] == "Node,RBAC"
    assert "disable-admission-plugins" not in flags
    assert "anonymous-auth" not in flags


def test_everything_listens_on_loopback_alone(site: Site, credentials: Credentials) -> None:
    """Nothing of a local cluster is reachable from elsewhere."""
    assert api_server_flags(site, credentials)["bind-address"] == "127.0.0.1"
    assert controller_manager_flags(site, credentials)["bind-address"] == "127.0.0.1"
    listening = [flag for flag in controlplane.etcd(site, credentials).argv if "-urls=" in flag]
    assert len(listening) == 4
    assert all("://127.0.0.1:" in flag for flag in listening)


def test_etcd_takes_nobody_but_the_api_server(site: Site, credentials: Credentials) -> None:
    """Its clients show a certificate of an authority that signs for no one else."""
    argv = controlplane.etcd(site, credentials).argv
    assert "--client-cert-auth=true" in argv
    assert f"--trusted-ca-file={site.certs / 'etcd-ca.crt'}" in argv


def test_every_file_that_a_flag_names_exists(site: Site, credentials: Credentials) -> None:
    """A forgotten certificate would only show when the program starts."""
    for flags in (api_server_flags(site, credentials), controller_manager_flags(site, credentials)):
        for name, value in flags.items():
            if value.startswith("/"):
                assert Path(value).is_file(), name


@pytest.mark.parametrize("controller", ["garbage-collector", "namespace", "serviceaccount"])
def test_the_controllers_that_the_product_meets_run(
    site: Site, credentials: Credentials, controller: str
) -> None:
    """Owners, namespaces and default ServiceAccounts behave as in any cluster."""
    assert f"{controller}-controller" in controller_manager_flags(site, credentials)["controllers"].split(",")


@pytest.mark.usefixtures("credentials")
def test_each_client_has_a_kubeconfig_that_others_cannot_read(site: Site) -> None:
    """They hold or name what lets one in."""
    for who in ("admin", "controller-manager", "node", "scheduler"):
        assert site.kubeconfig(who).stat().st_mode & 0o777 == 0o600
