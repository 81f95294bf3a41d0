"""The Kubernetes API as the stand-in uses it: raw JSON, typed errors, discovery, a rate limit.

The transport is the connection pool of the `kubernetes` package, which also reads the kubeconfig.
"""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import kubernetes.client
import kubernetes.config
import orjson
import urllib3
from urllib3.exceptions import HTTPError

from devcluster.hookdriver.errors import AlreadyExists, ApiError, ConfigError, Conflict, Gone, NotFound
from devcluster.hookdriver.objects import Kind, Object, name_of, namespace_of, uid_of
from devcluster.hookdriver.workqueue import TokenBucket

# How often a changed CRD is noticed: Metacontroller's --discovery-interval.
DISCOVERY_SECONDS = 30.0
# A kind that isn't known is looked up again, but not in a hot loop.
DISCOVERY_MISS_SECONDS = 1.0
CONNECT_SECONDS, READ_SECONDS = 5.0, 60.0
# A conflict is most often gone at the next try: client-go's default back-off for read-modify-write.
CONFLICT_DELAYS = (0.01, 0.05, 0.25)

_NOT_FOUND, _CONFLICT, _GONE = 404, 409, 410
_FIRST_ERROR = 400


@dataclass(frozen=True)
class Resource:
    """One resource of the API as discovery describes it."""

    kind: Kind
    name: str
    namespaced: bool
    subresources: frozenset[str]

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """Return the URL path of a collection, an object or a subresource."""
        prefix = "/apis/" if "/" in self.kind.api_version else "/api/"
        scope = ["namespaces", namespace] if self.namespaced and namespace else []
        rest = [part for part in (name, subresource) if part]
        return prefix + "/".join([self.kind.api_version, *scope, self.name, *rest])

    def path_of(self, obj: Object, subresource: str = "") -> str:
        """Return the URL path of an object."""
        return self.path(namespace_of(obj), name_of(obj), subresource)


class Api:
    """The API server; safe to use from many threads."""

    def __init__(self, kubeconfig: str | None, *, connections: int, qps: float = 0, burst: int = 1) -> None:
        configuration = kubernetes.client.Configuration()
        kubernetes.config.load_config(  # type: ignore[no-untyped-call]
            config_file=kubeconfig, client_configuration=configuration
        )
        configuration.connection_pool_maxsize = connections
        client = kubernetes.client.ApiClient(configuration)
        self._client = client
        self._pool: urllib3.PoolManager = client.rest_client.pool_manager
        self._host = str(configuration.host).rstrip("/")
        self._bucket = TokenBucket(qps, burst) if qps > 0 else None

    def get(self, path: str) -> Object:
        """Read an object, a collection or a discovery document."""
        return self._exchange("GET", path)

    def create(self, path: str, obj: Object) -> Object:
        """Create an object in a collection."""
        return self._exchange("POST", path, obj)

    def update(self, path: str, obj: Object) -> Object:
        """Replace an object, or its subresource."""
        return self._exchange("PUT", path, obj)

    def delete(self, path: str, options: Object) -> None:
        """Delete an object."""
        self._exchange("DELETE", path, {"kind": "DeleteOptions", "apiVersion": "v1", **options})

    def watch(self, path: str, version: str, seconds: int) -> "Watch":
        """Open a watch from a resource version; the server ends it after some seconds."""
        query = {
            "watch": "1",
            "resourceVersion": version,
            "allowWatchBookmarks": "true",
            "timeoutSeconds": str(seconds),
        }
        timeout = urllib3.Timeout(connect=CONNECT_SECONDS, read=seconds + READ_SECONDS)
        return Watch(self._send("GET", f"{path}?{urlencode(query)}", None, timeout, stream=True))

    def atomic_update(
        self,
        resource: Resource,
        original: Object,
        change: Callable[[Object], Object | None],
        subresource: str = "",
    ) -> Object:
        """Read an object afresh, change it and write it back, again on conflict; None from change: no write.

        Only the identity of the original is used: another object of its name is NotFound.
        """
        for delay in (*CONFLICT_DELAYS, None):
            current = self.get(resource.path_of(original))
            if uid_of(current) != uid_of(original):
                raise NotFound(_NOT_FOUND, f"{resource.path_of(original)} is another object by now")
            changed = change(current)
            if changed is None:
                return current
            try:
                return self.update(resource.path_of(original, subresource), changed)
            except Conflict:
                if delay is None:
                    raise
                time.sleep(delay)
        raise AssertionError("unreachable: the last attempt returns or raises")

    def _exchange(self, method: str, path: str, body: Object | None = None) -> Object:
        timeout = urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS)
        response = self._send(method, path, body, timeout, stream=False)
        answer: Object = orjson.loads(response.data)
        return answer

    def _send(
        self, method: str, path: str, body: Object | None, timeout: urllib3.Timeout, *, stream: bool
    ) -> urllib3.BaseHTTPResponse:
        if self._bucket is not None:
            time.sleep(self._bucket.reserve())
        headers = {"Accept": "application/json", "User-Agent": "hookdriver"}
        self._client.update_params_for_auth(headers, [], ["BearerToken"], path, method, body)
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            response = self._pool.request(
                method,
                self._host + path,
                body=None if body is None else orjson.dumps(body),
                headers=headers,
                timeout=timeout,
                preload_content=not stream,
                retries=False,
            )
            if response.status >= _FIRST_ERROR:
                raise _error(response.status, response.data)
        except HTTPError as error:
            raise ApiError(0, f"{method} {path}: {error}") from error
        return response


class Watch:
    """An open watch: iterate over its events; `close` from another thread ends the iteration."""

    def __init__(self, response: urllib3.BaseHTTPResponse) -> None:
        self._response = response

    def __iter__(self) -> Iterator[tuple[str, Object]]:
        rest = b""
        try:
            for chunk in self._response.stream(1 << 16):
                *lines, rest = (rest + chunk).split(b"\n")
                for line in lines:
                    if line:
                        event = orjson.loads(line)
                        yield event["type"], event["object"]
        except (HTTPError, OSError, ValueError, AttributeError) as error:
            # Also what closing from another thread looks like.
            raise ApiError(0, f"watch broke off: {error}") from error

    def close(self) -> None:
        """End the watch."""
        try:
            self._response.shutdown()
        except (OSError, ValueError, RuntimeError):
            self._response.close()


def error_of(status: Mapping[str, Any]) -> ApiError:
    """Turn a Status object into the error of its kind."""
    code, reason = int(status.get("code") or 0), status.get("reason")
    message = str(status.get("message") or reason or code)
    if code == _NOT_FOUND:
        return NotFound(code, message)
    if code == _CONFLICT:
        return (AlreadyExists if reason == "AlreadyExists" else Conflict)(code, message)
    if code == _GONE:
        return Gone(code, message)
    return ApiError(code, message)


def _error(code: int, data: bytes) -> ApiError:
    try:
        status = orjson.loads(data)
    except orjson.JSONDecodeError:
        status = {"message": data.decode(errors="replace")}
    return error_of({**status, "code": code})


class Discovery:
    """Which resources there are, asked when needed and remembered for a while."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._lock = threading.Lock()
        self._known: dict[str, tuple[float, list[Resource]]] = {}

    def by_name(self, api_version: str, name: str) -> Resource:
        """Return the resource of a plural name."""
        return self._find(api_version, name, lambda resource: resource.name == name)

    def by_kind(self, kind: Kind) -> Resource:
        """Return the resource of a kind."""
        return self._find(kind.api_version, kind.kind, lambda resource: resource.kind == kind)

    def _find(self, api_version: str, wanted: str, matches: Callable[[Resource], bool]) -> Resource:
        for longest_age in (DISCOVERY_SECONDS, DISCOVERY_MISS_SECONDS):
            for resource in self._resources(api_version, longest_age):
                if matches(resource):
                    return resource
        raise ConfigError(f"discovery: can't find {wanted} in apiVersion {api_version}")

    def _resources(self, api_version: str, longest_age: float) -> list[Resource]:
        with self._lock:
            asked, resources = self._known.get(api_version, (float("-inf"), []))
            if time.monotonic() - asked < longest_age:
                return resources
        prefix = "/apis/" if "/" in api_version else "/api/"
        try:
            resources = _parse_resources(api_version, self._api.get(prefix + api_version))
        except NotFound:
            resources = []
        with self._lock:
            self._known[api_version] = (time.monotonic(), resources)
        return resources


def _parse_resources(api_version: str, document: Object) -> list[Resource]:
    entries = document.get("resources") or []
    subresources: dict[str, set[str]] = {}
    for entry in entries:
        name, _, subresource = entry["name"].partition("/")
        if subresource:
            subresources.setdefault(name, set()).add(subresource)
    return [
        Resource(
            Kind(api_version, entry["kind"]),
            entry["name"],
            entry["namespaced"],
            frozenset(subresources.get(entry["name"], ())),
        )
        for entry in entries
        if "/" not in entry["name"]
    ]
