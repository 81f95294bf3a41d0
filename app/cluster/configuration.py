"""Where the API server is and who we are there: the ``kubernetes`` package's loaders behind one small type.

Only this module imports ``kubernetes``. Tokens are read again while the process runs, because the kubelet rotates those of
service accounts and a kubeconfig may name a ``tokenFile``; exec plugins and auth providers refresh through the package.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import structlog
import urllib3
import yaml
from kubernetes import config as loaders
from kubernetes.client.configuration import Configuration
from kubernetes.client.rest import RESTClientObject

from app.cluster.errors import ConfigurationError

TOKEN_MAX_AGE_SECONDS = 60.0
"""How long a token is used before its source is read again; the kubelet renews them with a fifth of their life left."""

_log = structlog.get_logger(__name__)


class Authorization:
    """The value of the Authorization header, read again from its source once it is old or was refused."""

    def __init__(self, read: Callable[[], str | None], clock: Callable[[], float] = time.monotonic) -> None:
        self._read = read
        self._clock = clock
        self._lock = threading.Lock()
        self._value = read()
        self._read_at = clock()

    def current(self) -> str | None:
        """Return the header's value, None where a client certificate or nothing authenticates."""
        if self._clock() - self._read_at > TOKEN_MAX_AGE_SECONDS:
            self._refresh()
        return self._value

    def renewed(self, refused: str | None) -> bool:
        """Read the source now because the server refused this value; True when there is another one to try."""
        if self._value == refused:
            self._refresh()
        return self._value != refused

    def _refresh(self) -> None:
        with self._lock:
            try:
                self._value = self._read()
            except Exception as error:  # noqa: BLE001 - a half-written file: the old token may still be good
                _log.warning("token_not_refreshed", error=str(error))
            self._read_at = self._clock()


def load(kubeconfig: str | None) -> tuple[Configuration, Authorization]:
    """Return the configuration and the credentials of: ``kubeconfig``, else KUBECONFIG, else the Pod, else ~/.kube/config."""
    path = kubeconfig or os.environ.get("KUBECONFIG")
    if path is None and os.environ.get("KUBERNETES_SERVICE_HOST"):
        return _load_in_cluster()
    return _load_kubeconfig(Path(path or "~/.kube/config").expanduser(), named=path is not None)


def connection_pool(configuration: Configuration, size: int) -> urllib3.HTTPConnectionPool:
    """Return the pool of connections to the API server; TLS, proxies and keep-alive as ``configuration`` says."""
    configuration.connection_pool_maxsize = size
    configuration.keep_alive = True
    manager = RESTClientObject(configuration).pool_manager
    return manager.connection_from_url(configuration.host)


def _load_in_cluster() -> tuple[Configuration, Authorization]:
    def fresh() -> Configuration:
        configuration = Configuration()
        loaders.load_incluster_config(configuration, try_refresh_token=False)  # type: ignore[no-untyped-call]
        return configuration

    try:
        configuration = fresh()
    except loaders.ConfigException as error:
        raise ConfigurationError(f"the service account of this Pod cannot be used: {error}") from error
    return configuration, Authorization(lambda: _header(fresh()))


def _load_kubeconfig(path: Path, *, named: bool) -> tuple[Configuration, Authorization]:
    if not path.is_file():
        hint = "" if named else " (and this is not a Pod with a service account; name one with --kubeconfig)"
        raise ConfigurationError(f"kubeconfig {path} does not exist{hint}")

    def fresh() -> Configuration:
        configuration = Configuration()
        loaders.load_kube_config(  # type: ignore[no-untyped-call]
            str(path), client_configuration=configuration, persist_config=False
        )
        return configuration

    try:
        configuration = fresh()
        refreshes_itself = _user(path).keys() & {"exec", "auth-provider"}
    except (loaders.ConfigException, yaml.YAMLError, OSError, KeyError, TypeError, ValueError) as error:
        raise ConfigurationError(f"kubeconfig {path} cannot be used: {error}") from error
    if not configuration.host:
        raise ConfigurationError(f"kubeconfig {path} names no server")
    if refreshes_itself:
        return configuration, Authorization(lambda: _header(configuration))
    return configuration, Authorization(lambda: _header(fresh()))


def _header(configuration: Configuration) -> str | None:
    value = configuration.get_api_key_with_prefix("BearerToken", alias="authorization")
    return value.strip() if isinstance(value, str) else None


def _user(path: Path) -> dict[str, Any]:
    """Return the user entry of the current context: it says whether a plugin provides the token."""
    document = yaml.safe_load(path.read_text()) or {}
    contexts = {entry["name"]: entry["context"] for entry in document.get("contexts") or []}
    user = contexts.get(document.get("current-context"), {}).get("user")
    users = {entry["name"]: entry.get("user") or {} for entry in document.get("users") or []}
    found = users.get(user, {})
    return found if isinstance(found, dict) else {}
