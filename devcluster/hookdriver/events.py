"""Kubernetes Events about failed syncs, written behind the syncs' backs and seldom, as Metacontroller does."""

import queue
import threading
import uuid
from datetime import UTC, datetime

import structlog

from devcluster.hookdriver.api import Api
from devcluster.hookdriver.errors import ApiError
from devcluster.hookdriver.objects import Object, name_of, namespace_of, uid_of, version_of
from devcluster.hookdriver.workqueue import TokenBucket

log = structlog.get_logger(component="events")

# Metacontroller's defaults for one object: 25 Events at once, then one in five minutes.
BURST, PER_SECOND = 25, 1 / 300
LONGEST_MESSAGE = 1024
# Objects whose rate is remembered; beyond that everybody starts anew.
REMEMBERED = 4096
SOURCE = "metacontroller"


class Events:
    """The recorder; a full or refused Event is dropped, never waited for."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._buckets: dict[str, TokenBucket] = {}
        self._queue: queue.SimpleQueue[Object] = queue.SimpleQueue()
        threading.Thread(target=self._write, name="events", daemon=True).start()

    def warning(self, about: Object, reason: str, message: str) -> None:
        """Record a warning about an object."""
        self._queue.put(_event(about, reason, message, datetime.now(UTC)))

    def _write(self) -> None:
        while True:
            event = self._queue.get()
            if self._too_many(event["involvedObject"].get("uid", "")):
                continue
            try:
                self._api.create(f"/api/v1/namespaces/{namespace_of(event)}/events", event)
            except ApiError as error:
                log.info("event refused", error=str(error))

    def _too_many(self, uid: str) -> bool:
        if len(self._buckets) > REMEMBERED:
            self._buckets.clear()
        return not self._buckets.setdefault(uid, TokenBucket(PER_SECOND, BURST)).take()


def _event(about: Object, reason: str, message: str, now: datetime) -> Object:
    time_text = now.strftime("%Y-%m-%dT%H:%M:%SZ")
    namespace = namespace_of(about) or "default"
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{name_of(about)}.{uuid.uuid4().hex[:16]}", "namespace": namespace},
        "involvedObject": {
            "apiVersion": about.get("apiVersion"),
            "kind": about.get("kind"),
            "name": name_of(about),
            "namespace": namespace_of(about),
            "uid": uid_of(about),
            "resourceVersion": version_of(about),
        },
        "type": "Warning",
        "reason": reason,
        "message": message[:LONGEST_MESSAGE],
        "source": {"component": SOURCE},
        "firstTimestamp": time_text,
        "lastTimestamp": time_text,
        "count": 1,
    }
