"""TLS and credentials of hooks, as Metacontroller 4.17.2 resolves them: at the hook, else by host, read once."""

import base64
import datetime as dt
from typing import Any, cast

import pytest

from app.webhook.authority import Authority
from devcluster.hookdriver.api import Api
from devcluster.hookdriver.config import HookConfig, KeyRef, parse_controller
from devcluster.hookdriver.endpoint import resolve
from devcluster.hookdriver.errors import ConfigError, NotFound

SERVICE = {"name": "hooks", "namespace": "operator", "port": 443, "protocol": "https"}
BEARER = {"secretRef": {"name": "s", "namespace": "operator", "key": "token"}}
PEM = Authority.create(dt.datetime.now(dt.UTC)).bundle.decode()


class Objects:
    """An API server with these objects."""

    def __init__(self, **objects: dict[str, str]) -> None:
        self.objects = objects

    def get(self, path: str) -> dict[str, Any]:
        """Return an object by the last part of its path."""
        name = path.rsplit("/", 1)[1]
        if name not in self.objects:
            raise NotFound(404, f"no {name}")
        return {"data": self.objects[name]}


def hook(webhook: dict[str, Any] | None = None, *endpoints: dict[str, Any]) -> HookConfig:
    """Return the sync hook of a controller."""
    spec = {
        "parentResource": {"apiVersion": "v1", "resource": "pods"},
        "hooks": {"sync": {"webhook": {"path": "/sync", "service": SERVICE, **(webhook or {})}}},
        "endpointConfigs": list(endpoints),
    }
    found = parse_controller({"kind": "CompositeController", "metadata": {"name": "c"}, "spec": spec}).sync
    assert found is not None
    return found


def test_settings_by_host_count_where_the_hook_has_none_of_its_own() -> None:
    """The first entry of the host; a hook's own settings are taken as a whole, without the entry's."""
    entry = {"host": "HOOKS.operator:443", "caBundle": {"inline": PEM}, "authorization": BEARER}
    other = {"host": "elsewhere:443", "caBundle": {"inline": "other"}}
    found = hook(None, other, entry)
    assert (found.ca, found.authorization) == (PEM, ("Bearer", KeyRef("secrets", "operator", "s", "token")))
    own = hook({"caBundle": {"secretRef": {"name": "ca", "namespace": "x"}}}, entry)
    assert (own.ca, own.authorization) == (KeyRef("secrets", "x", "ca", "ca.crt"), None)
    assert hook(None, other).ca is None


@pytest.mark.parametrize(
    "settings",
    [
        {"caBundle": {}, "clientTLS": {"secretRef": {}}},
        {"basicAuth": {"secretRef": {}}},
        {"caBundle": {"inline": PEM, "secretRef": {"name": "ca", "namespace": "x"}}},
        {"authorization": {"type": "basic", **BEARER}},
    ],
)
def test_what_it_cannot_do_or_metacontroller_refuses_is_refused(settings: dict[str, Any]) -> None:
    """Never ignored: a hook would be called without what protects it."""
    with pytest.raises(ConfigError):
        hook(settings)


def test_secrets_and_config_maps_are_read_and_what_is_missing_is_named() -> None:
    """A controller whose Secret comes later is tried again."""
    token = base64.b64encode(b" word\n").decode()
    ca = {"configMapRef": {"name": "ca", "namespace": "x"}}
    config = hook({"caBundle": ca, "authorization": {"type": "Token", **BEARER}})
    found = resolve(cast("Api", Objects(s={"token": token}, ca={"ca.crt": PEM})), config)
    assert found.authorization == "Token word"
    assert found.tls is not None
    with pytest.raises(ConfigError, match="secrets operator/s"):
        resolve(cast("Api", Objects(ca={"ca.crt": PEM})), config)
    with pytest.raises(ConfigError, match="no key token"):
        resolve(cast("Api", Objects(s={}, ca={"ca.crt": PEM})), config)
    with pytest.raises(ConfigError, match="no certificates"):
        resolve(cast("Api", Objects(s={"token": token}, ca={"ca.crt": "nonsense"})), config)
