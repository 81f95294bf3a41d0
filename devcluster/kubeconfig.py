"""Kubeconfig files. JSON is YAML; certificates are named by path, so that no client copies keys to temporary files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from devcluster.pki import KeyPair

NAME = "devcluster"


def with_certificate(server: str, authority: Path, client: KeyPair) -> str:
    """Return a kubeconfig that authenticates by a client certificate."""
    return _render(
        server, authority, {"client-certificate": str(client.certificate), "client-key": str(client.key)}
    )


def with_token(server: str, authority: Path, token: str) -> str:
    """Return a kubeconfig that authenticates by a bearer token."""
    return _render(server, authority, {"token": token})


def write(path: Path, text: str) -> Path:
    """Write a kubeconfig for the owner's eyes only."""
    path.touch(mode=0o600)
    path.write_text(text)
    return path


def _render(server: str, authority: Path, user: dict[str, str]) -> str:
    document: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": NAME, "cluster": {"server": server, "certificate-authority": str(authority)}}],
        "users": [{"name": NAME, "user": user}],
        "contexts": [{"name": NAME, "context": {"cluster": NAME, "user": NAME}}],
        "current-context": NAME,
    }
    return json.dumps(document, indent=2) + "\n"
