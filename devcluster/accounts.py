"""Processes of this machine that are ServiceAccounts to the API server: they have the rights of the manifests, and no more."""

from __future__ import annotations

from devcluster import kubeconfig
from devcluster.kubectl import Kubectl
from devcluster.site import Site

TOKEN_LIFETIME = "24h"  # noqa: S105 - longer than any cluster lives, not a token


def write_kubeconfig(site: Site, kubectl: Kubectl, who: str, link: str, namespace: str, account: str) -> None:
    """Ask for a token of the account and write the kubeconfig of `who`, which reaches the API server by `link`."""
    token = kubectl("create", "token", account, f"--namespace={namespace}", f"--duration={TOKEN_LIFETIME}")
    text = kubeconfig.with_token(site.via(link), site.certs / "ca.crt", token.strip())
    kubeconfig.write(site.kubeconfig(who), text)
