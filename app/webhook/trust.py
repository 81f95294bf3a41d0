"""What the Secret with the hooks' credentials holds, and what Metacontroller has to be told of it. Pure.

Metacontroller (4.17.2) reads a hook's CA and token when its controller object is made or its ``spec`` changes, and never
again by itself (``pkg/controller/composite/metacontroller.go`` compares specs). So the CA goes into the spec itself, with
the token's fingerprint in front of it as a line that no PEM reader minds: whichever of both changes, the spec does.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import hashlib
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from app import vocabulary as words
from app.cluster.objects import KubernetesObject
from app.webhook.authority import Authority, AuthorityError

TOKEN_BYTES: Final = 32
"""Randomness of a token that we make."""

_FIX: Final = "delete the Secret, and a new one is made"


class SecretError(ValueError):
    """The Secret can't be used; the text names the key and the fix, never a value."""


@dataclass(frozen=True, slots=True)
class HookSecret:
    """The Secret's contents: an authority, and the token that callers need."""

    authority: Authority
    token: str

    @classmethod
    def make(cls, now: dt.datetime, former: HookSecret | None = None) -> HookSecret:
        """Return new contents; the token of ``former`` stays, its authority stays trusted."""
        token = former.token if former else secrets.token_urlsafe(TOKEN_BYTES)
        return cls(Authority.create(now, former.authority if former else None), token)

    @classmethod
    def read(cls, secret: KubernetesObject) -> HookSecret:
        """Read a Secret; raises SecretError."""
        data = secret.get("data") or {}
        token = _decoded(data, words.HOOK_TOKEN_KEY).decode("ascii", "replace").strip()
        if not token.isascii() or not token:
            raise SecretError(f"its key {words.HOOK_TOKEN_KEY} is no text of ASCII letters: {_FIX}")
        certificate, key = (_decoded(data, each) for each in (words.HOOK_CA_KEY, words.HOOK_CA_PRIVATE_KEY))
        try:
            return cls(Authority.load(certificate, key), token)
        except AuthorityError as error:
            raise SecretError(
                f"its keys {words.HOOK_CA_KEY} and {words.HOOK_CA_PRIVATE_KEY}: {error}: {_FIX}"
            ) from None

    def to_object(self, name: str, namespace: str) -> KubernetesObject:
        """Return the Secret."""
        texts = {
            words.HOOK_CA_KEY: self.authority.bundle,
            words.HOOK_CA_PRIVATE_KEY: self.authority.key,
            words.HOOK_TOKEN_KEY: self.token.encode("ascii"),
        }
        return {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": name,
                "namespace": namespace,
                "labels": {"app.kubernetes.io/name": "spacelift-workerpool-controller"},
            },
            "type": "Opaque",
            "data": {key: base64.b64encode(value).decode("ascii") for key, value in texts.items()},
        }

    def bundle(self, *, with_token: bool) -> str:
        """Return the PEM for Metacontroller, with the token's fingerprint in front if it sends the token."""
        pem = self.authority.bundle.decode("ascii")
        if not with_token:
            return pem
        # Of 256 random bits, a fingerprint tells nothing.
        return f"# token {hashlib.sha256(self.token.encode()).hexdigest()[:16]}\n{pem}"


@dataclass(frozen=True, slots=True)
class Trust:
    """What Metacontroller needs for our hooks: the PEM to trust, and where it finds the token (None: it sends none)."""

    bundle: str
    token: Mapping[str, str] | None = None

    def entry(self, host: str) -> dict[str, Any]:
        """Return the entry of ``spec.endpointConfigs`` for a host."""
        entry: dict[str, Any] = {"host": host, "caBundle": {"inline": self.bundle}}
        if self.token is not None:
            # With the type that the definition defaults to: else the comparison would always find a difference.
            entry["authorization"] = {"type": "Bearer", "secretRef": dict(self.token)}
        return entry


def trust_patch(controller: Mapping[str, Any], trust: Trust) -> dict[str, Any] | None:
    """Return the merge patch by which every HTTPS hook of the controller is called with ``trust``; None if all are.

    It goes into ``spec.endpointConfigs``, which the manifests leave out: so nothing has two writers. Hooks and hosts that
    an administrator gave a Secret or ConfigMap of his own are left alone.
    """
    spec = controller.get("spec") or {}
    present = {str(entry.get("host")): entry for entry in spec.get("endpointConfigs") or ()}
    hosts = {_host(hook.get("webhook") or {}) for hook in (spec.get("hooks") or {}).values()} - {None}
    wanted = dict(present)
    for host in sorted(filter(None, hosts)):
        if not _elsewhere(present.get(host, {})):
            wanted[host] = trust.entry(host)
    return None if wanted == present else {"spec": {"endpointConfigs": list(wanted.values())}}


def _host(webhook: Mapping[str, Any]) -> str | None:
    """Return host and port that a hook is called at; None if it isn't HTTPS, or has settings of its own."""
    if any(webhook.get(name) for name in ("caBundle", "clientTLS", "authorization", "basicAuth")):
        return None
    url = urlsplit(str(webhook.get("url") or ""))
    if url.scheme:
        return url.netloc if url.scheme == "https" else None
    service = webhook.get("service") or {}
    if service.get("protocol") != "https":
        return None
    return f"{service['name']}.{service['namespace']}:{service.get('port', 80)}"


def _elsewhere(entry: Mapping[str, Any]) -> bool:
    bundle = entry.get("caBundle") or {}
    return any(bundle.get(name) for name in ("secretRef", "configMapRef")) or any(
        entry.get(name) for name in ("clientTLS", "basicAuth")
    )


def _decoded(data: Mapping[str, str], key: str) -> bytes:
    try:
        return base64.b64decode(data[key], validate=True)
    except KeyError:
        raise SecretError(f"it has no key {key}: {_FIX}") from None
    except (binascii.Error, ValueError):
        raise SecretError(f"its key {key} is no base64: {_FIX}") from None
