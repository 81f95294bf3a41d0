"""The CA and the Authorization header of a hook, read once when its controller starts, as Metacontroller does."""

import base64
import ssl
from dataclasses import dataclass

from devcluster.hookdriver.api import Api
from devcluster.hookdriver.config import HookConfig, KeyRef
from devcluster.hookdriver.errors import ApiError, ConfigError


@dataclass(frozen=True)
class Endpoint:
    """How a hook is spoken to beyond its URL."""

    tls: ssl.SSLContext | None = None
    authorization: str = ""


def resolve(api: Api, config: HookConfig) -> Endpoint:
    """Read what the hook's settings refer to; raises ConfigError when it isn't there or no CA."""
    tls = None
    if config.ca is not None:
        pem = config.ca if isinstance(config.ca, str) else _read(api, config.ca)
        try:
            tls = ssl.create_default_context(cadata=pem)
        except ssl.SSLError as error:
            raise ConfigError(f"caBundle holds no certificates: {error}") from error
    if config.authorization is None:
        return Endpoint(tls)
    scheme, reference = config.authorization
    return Endpoint(tls, f"{scheme} {_read(api, reference).strip()}")


def _read(api: Api, reference: KeyRef) -> str:
    path = f"/api/v1/namespaces/{reference.namespace}/{reference.resource}/{reference.name}"
    place = f"{reference.resource} {reference.namespace}/{reference.name}"
    try:
        value = (api.get(path).get("data") or {}).get(reference.key)
    except ApiError as error:
        raise ConfigError(f"can't read {place}: {error}") from error
    if not value:
        raise ConfigError(f"{place} has no key {reference.key}")
    return base64.b64decode(value).decode() if reference.resource == "secrets" else str(value)
