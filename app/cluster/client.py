"""The few verbs that the operator needs, on plain dictionaries: raw JSON, no typed models.

A typed client costs tens of MiB and most of the CPU of a patch; the operator reads few fields of few kinds. Threads may
share one ``KubernetesApi``. Every failure is an ``ApiError`` of ``app.cluster.errors``.
"""

from __future__ import annotations

import builtins
import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import orjson

from app import vocabulary
from app.cluster import configuration
from app.cluster.errors import Gone, Unavailable
from app.cluster.objects import KubernetesObject
from app.cluster.resources import Resource
from app.cluster.transport import JSON, MERGE_PATCH, Timeouts, Transport
from app.cluster.watching import Watch

PAGE_SIZE: Final = 500
"""Objects in one page of a list, as client-go asks: bounds what one answer costs both sides."""

LIST_ATTEMPTS: Final = 3
"""How often a list starts again because the server forgot its version between two pages."""

WATCH_SECONDS: Final = 290
"""How long the server keeps one watch; it must end now and then, or load never spreads over API servers again."""

_VERSION: Final = re.compile(r"([0-9]{1,6})\.([0-9]{1,6})")


@dataclass(frozen=True, slots=True)
class Listing:
    """Objects of a collection at one moment of its history; ``more`` continues it."""

    items: list[KubernetesObject]
    resource_version: str
    more: str = ""


class KubernetesApi:
    """Verbs of the Kubernetes API over one pool of connections."""

    def __init__(self, transport: Transport, field_manager: str = vocabulary.EVENT_SOURCE) -> None:
        self._transport = transport
        self._written_by = {"fieldManager": field_manager}

    @classmethod
    def connect(
        cls,
        kubeconfig: str | None = None,
        *,
        pool_size: int = 32,
        timeouts: Timeouts | None = None,
        user_agent: str = vocabulary.EVENT_SOURCE,
    ) -> KubernetesApi:
        """Return a client of the API server that ``configuration.load`` finds; raises ConfigurationError.

        Nothing is sent yet. ``pool_size`` connections are kept open: at least one for each thread that writes and one for
        each watch, or threads open a connection, and a TLS session, for single requests.
        """
        settings, authorization = configuration.load(kubeconfig)
        pool = configuration.connection_pool(settings, pool_size)
        return cls(Transport(pool, authorization, user_agent, timeouts or Timeouts()))

    def get(self, resource: Resource, namespace: str | None, name: str) -> KubernetesObject:
        """Return the object as it is now, past any cache of ours."""
        return _parse(self._transport.call("GET", resource.path(namespace, name)))

    def list(
        self, resource: Resource, namespace: str | None, label_selector: str = "", field_selector: str = ""
    ) -> Listing:
        """Return all objects of the collection; namespace None means all namespaces."""
        for _ in range(LIST_ATTEMPTS - 1):
            with contextlib.suppress(Gone):
                return self._list_once(resource, namespace, label_selector, field_selector)
        return self._list_once(resource, namespace, label_selector, field_selector)

    def pages(
        self, resource: Resource, namespace: str | None, label_selector: str = "", field_selector: str = ""
    ) -> Iterator[Listing]:
        """Yield the collection page by page, all at one resourceVersion.

        Raises Gone when the server forgot that version before the last page: the caller starts again.
        """
        query = {"limit": str(PAGE_SIZE), **_selecting(label_selector, field_selector)}
        while True:
            page = _listing(_parse(self._transport.call("GET", resource.path(namespace), query)))
            yield page
            if not page.more:
                return
            query["continue"] = page.more

    def create(
        self, resource: Resource, namespace: str | None, body: KubernetesObject, dry_run: bool = False
    ) -> KubernetesObject:
        """Create the object, or with ``dry_run`` only hear what the API server would say to it."""
        query = {**self._written_by, **({"dryRun": "All"} if dry_run else {})}
        return _parse(self._transport.call("POST", resource.path(namespace), query, orjson.dumps(body), JSON))

    def merge_patch(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        patch: dict[str, Any],
        subresource: str | None = None,
    ) -> KubernetesObject:
        """Apply an RFC 7396 patch; with ``metadata.resourceVersion`` or ``uid`` in it, Conflict if those differ."""
        path = resource.path(namespace, name, subresource)
        return _parse(self._transport.call("PATCH", path, self._written_by, orjson.dumps(patch), MERGE_PATCH))

    def delete(
        self, resource: Resource, namespace: str | None, name: str, uid: str | None = None
    ) -> KubernetesObject:
        """Delete the object, only if it still has that ``uid`` where one is given (else Conflict)."""
        options: dict[str, Any] = {"apiVersion": "v1", "kind": "DeleteOptions"}
        if uid is not None:
            options["preconditions"] = {"uid": uid}
        path = resource.path(namespace, name)
        return _parse(self._transport.call("DELETE", path, None, orjson.dumps(options), JSON))

    def watch(
        self,
        resource: Resource,
        namespace: str | None,
        resource_version: str,
        label_selector: str = "",
        timeout_seconds: int = WATCH_SECONDS,
    ) -> Watch:
        """Return an iterator over (type, object) from ``resource_version`` on, BOOKMARK included; close it to end it."""
        path = resource.path(namespace)
        query = {
            "watch": "1",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            "timeoutSeconds": str(timeout_seconds),
            **_selecting(label_selector),
        }
        return Watch(self._transport.stream(path, query), f"WATCH {path}")

    def server_version(self) -> tuple[int, int]:
        """Return major and minor version of the API server that answered.

        Managed clusters write the minor with a sign behind it ("29+"). Raises Unavailable when the answer has no version.
        """
        body = self._transport.call("GET", "/version")
        try:
            found = _parse(body)
        except Unavailable as error:
            # There was an answer, a proxy's page perhaps: asking again may never help.
            raise Unavailable(error.message, status=200, request="GET /version") from error
        # Major and minor are informative, and builds from a bare source tree leave them empty.
        texts = (f"{found.get('major')}.{found.get('minor')}", str(found.get("gitVersion")).removeprefix("v"))
        version = next(filter(None, map(_VERSION.match, texts)), None)
        if version is None:
            raise Unavailable("an answer without a version", status=200, request="GET /version")
        return int(version[1]), int(version[2])

    def close(self) -> None:
        """Close the idle connections."""
        self._transport.close()

    def _list_once(
        self, resource: Resource, namespace: str | None, label_selector: str, field_selector: str
    ) -> Listing:
        items: builtins.list[KubernetesObject] = []
        version = ""
        for page in self.pages(resource, namespace, label_selector, field_selector):
            items += page.items
            version = page.resource_version
        return Listing(items, version)


def _selecting(label_selector: str, field_selector: str = "") -> dict[str, str]:
    query = {"labelSelector": label_selector, "fieldSelector": field_selector}
    return {name: value for name, value in query.items() if value}


def _listing(document: KubernetesObject) -> Listing:
    metadata = document.get("metadata") or {}
    items = document.get("items") or []
    kind = str(document.get("kind") or "").removesuffix("List")
    for item in items:
        # Lists of built-in kinds leave these out of their items; a reference to one needs them.
        item.setdefault("apiVersion", document.get("apiVersion", ""))
        item.setdefault("kind", kind)
    return Listing(items, metadata.get("resourceVersion") or "", metadata.get("continue") or "")


def _parse(body: bytes) -> KubernetesObject:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise Unavailable("an answer that isn't JSON") from error
    if not isinstance(document, dict):
        raise Unavailable("an answer that isn't an object")
    return document
