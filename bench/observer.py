"""What the benchmark sees of the cluster: objects as a watch of its own delivers them, with the time of arrival."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from app.cluster.client import KubernetesApi
from app.cluster.errors import ApiError
from app.cluster.resources import Resource


class Observer:
    """Watches one kind in one namespace on a thread of its own and keeps the newest state of each object."""

    def __init__(self, api: KubernetesApi, resource: Resource, namespace: str) -> None:
        self._api, self._resource, self._namespace = api, resource, namespace
        self._changed = threading.Condition()
        self._objects: dict[str, dict[str, Any]] = {}
        self._over = threading.Event()
        self.first_seen: dict[str, float] = {}
        """Seconds since the epoch at which each object arrived for the first time, by name."""
        self._version = api.list(resource, namespace).resource_version
        threading.Thread(target=self._watch, name=f"observe-{resource.plural}", daemon=True).start()

    def stop(self) -> None:
        """Watch no longer."""
        self._over.set()

    def objects(self) -> list[dict[str, Any]]:
        """Return the objects as they are now."""
        with self._changed:
            return list(self._objects.values())

    def wait(self, condition: Callable[[list[dict[str, Any]]], bool], what: str, seconds: float) -> float:
        """Wait until the objects satisfy the condition; return how many seconds it took."""
        started = time.monotonic()
        with self._changed:
            while not condition(list(self._objects.values())):
                left = seconds - (time.monotonic() - started)
                if left <= 0:
                    raise TimeoutError(f"not within {seconds} s: {what} ({len(self._objects)} objects seen)")
                self._changed.wait(min(left, 0.5))
        return time.monotonic() - started

    def _watch(self) -> None:
        while not self._over.is_set():
            try:
                for kind, item in self._api.watch(self._resource, self._namespace, self._version):
                    self._note(kind, item, time.time())
            except ApiError:
                self._over.wait(0.2)

    def _note(self, kind: str, item: dict[str, Any], now: float) -> None:
        metadata = item.get("metadata", {})
        self._version = metadata.get("resourceVersion", self._version)
        if kind == "BOOKMARK" or "name" not in metadata:
            return
        with self._changed:
            if kind == "DELETED":
                self._objects.pop(metadata["name"], None)
            else:
                self._objects[metadata["name"]] = item
                self.first_seen.setdefault(metadata["name"], now)
            self._changed.notify_all()
