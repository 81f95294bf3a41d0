"""Writes Events about Pods from a thread of its own: an Event is worth no delay of a container."""

import logging
import queue
import threading
import time
from dataclasses import dataclass

from devcluster.node.api import ApiClient, ApiError, ApiUnavailable, NotFound
from devcluster.node.shapes import Json
from devcluster.node.times import rfc3339

log = logging.getLogger(__name__)

# Beyond this many unwritten Events new ones are dropped: a burst must not eat the node's memory.
_BACKLOG = 20_000


@dataclass(frozen=True)
class Event:
    """One Event; `field_path` names a container as `spec.containers{name}`."""

    kind: str
    reason: str
    message: str
    field_path: str = ""


class Events:
    """Queues Events and writes them in order; repeats of one within a Pod's life raise its count."""

    def __init__(self, client: ApiClient, component: str, host: str) -> None:
        self._client, self._source = client, {"component": component, "host": host}
        self._queue: queue.Queue[tuple[Json, Event, str, int]] = queue.Queue(_BACKLOG)
        self._written: dict[tuple[str, Event], Json] = {}
        self._thread = threading.Thread(target=self._run, name=f"events {component}", daemon=True)
        self._thread.start()

    def emit(self, pod: Json, event: Event) -> None:
        """Queue an Event about a Pod."""
        try:
            self._queue.put_nowait((pod["metadata"], event, rfc3339(), time.time_ns()))
        except queue.Full:
            log.warning("event dropped: pod=%s reason=%s", pod["metadata"]["name"], event.reason)

    def forget(self, uid: str) -> None:
        """Drop what is remembered of a Pod that is gone."""
        for key in [key for key in self._written.copy() if key[0] == uid]:
            self._written.pop(key, None)

    def _run(self) -> None:
        """Write queued Events for ever."""
        while True:
            metadata, event, now, order = self._queue.get()
            try:
                self._write(metadata, event, now, order)
            except (ApiError, ApiUnavailable) as error:
                log.debug("event not written: reason=%s error=%s", event.reason, error)

    def _write(self, metadata: Json, event: Event, now: str, order: int) -> None:
        """Create an Event or count a repeat."""
        collection = f"/api/v1/namespaces/{metadata['namespace']}/events"
        key = (metadata["uid"], event)
        known = self._written.get(key)
        if known is not None:
            change = {"count": known["count"] + 1, "lastTimestamp": now}
            try:
                self._written[key] = self._client.patch(f"{collection}/{known['metadata']['name']}", change)
                return
            except NotFound:
                pass
        # Times have whole seconds, so kubectl shows Events of one second in the order of their names.
        name = f"{metadata['name'][:200]}.{order:016x}"
        body: Json = {
            "metadata": {"name": name, "namespace": metadata["namespace"]},
            "involvedObject": {
                "apiVersion": "v1",
                "kind": "Pod",
                "name": metadata["name"],
                "namespace": metadata["namespace"],
                "uid": metadata["uid"],
                "fieldPath": event.field_path or None,
            },
            "type": event.kind,
            "reason": event.reason,
            "message": event.message[:1024],
            "source": self._source,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
            "reportingComponent": self._source["component"],
            "reportingInstance": self._source["host"],
        }
        self._written[key] = self._client.post(collection, body)
