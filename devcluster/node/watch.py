"""Keeps a handler up to date with the objects that a selector matches: list, then watch, then list again if it must.

The handler hears of every object at least once and of its removal at least once; it must take repeats.
"""

import logging
import threading
from collections.abc import Callable
from typing import Protocol

from devcluster.node.api import ApiClient, ApiError, ApiUnavailable
from devcluster.node.shapes import Json

log = logging.getLogger(__name__)

# Servers end watches after 5 to 10 minutes by themselves; asking for less keeps a broken connection's cost small.
WATCH_SECONDS = 290


class Handler(Protocol):
    """What a reflector tells about."""

    def upsert(self, item: Json) -> None:
        """Take an object that is new or has changed."""

    def remove(self, item: Json) -> None:
        """Take the last known state of an object that is gone or doesn't match any more."""


class Reflector(threading.Thread):
    """A thread that follows one list; `sleep` returns True when the node is stopping.

    `on_listed` is called once, after the first list.
    """

    def __init__(
        self,
        client: ApiClient,
        path: str,
        selector: str,
        handler: Handler,
        sleep: Callable[[float], bool],
        on_listed: Callable[[], None] | None = None,
    ) -> None:
        super().__init__(name=f"watch {path} {selector}", daemon=True)
        self._client, self._path, self._selector = client, path, selector
        self._handler, self._sleep = handler, sleep
        self._known: dict[str, Json] = {}
        self._on_listed = on_listed

    def run(self) -> None:
        """Follow the list until the node stops."""
        pause = 0.0
        while not self._sleep(pause):
            try:
                version = self._list()
                pause = 0.2
                while not self._sleep(0):
                    version = self._watch(version)
            except (ApiUnavailable, ApiError) as error:
                pause = min(max(pause * 2, 0.2), 5.0)
                log.warning("watch broke, listing again: path=%s error=%s", self._path, error)

    def _list(self) -> str:
        """Bring the handler up to date with a list and return the version to watch from."""
        answer = self._client.get(self._path, fieldSelector=self._selector)
        items = {item["metadata"]["uid"]: item for item in answer.get("items") or []}
        for uid in self._known.keys() - items.keys():
            self._handler.remove(self._known[uid])
        self._known = items
        for item in items.values():
            self._handler.upsert(item)
        if self._on_listed is not None:
            self._on_listed()
            self._on_listed = None
        version: str = answer["metadata"]["resourceVersion"]
        return version

    def _watch(self, version: str) -> str:
        """Follow one watch to its end and return the version to go on from."""
        stream = self._client.watch(
            self._path,
            WATCH_SECONDS,
            fieldSelector=self._selector,
            resourceVersion=version,
            allowWatchBookmarks="true",
        )
        for event in stream:
            kind, item = event["type"], event["object"]
            if kind == "ERROR":
                raise ApiError(item.get("code", 0), item.get("reason", ""), item.get("message", ""))
            version = item["metadata"]["resourceVersion"]
            if kind in {"ADDED", "MODIFIED"}:
                self._known[item["metadata"]["uid"]] = item
                self._handler.upsert(item)
            elif kind == "DELETED":
                self._known.pop(item["metadata"]["uid"], None)
                self._handler.remove(item)
        return version
