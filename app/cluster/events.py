"""Kubernetes Events: what ``kubectl describe`` shows. Best effort in the background; never blocks and never raises.

One thread writes them in the order in which they happened, as ``event_correlation`` says: repeats raise the count of
the Event that is there, so that an hour of failing to connect is one line with ``x120 over 60m``.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import structlog

from app.cluster.client import KubernetesApi
from app.cluster.errors import AlreadyExists, ApiError, NotFound, TooManyRequests, Unavailable
from app.cluster.event_correlation import Correlator, EventRecord, Happening, bounded
from app.cluster.objects import KubernetesObject
from app.cluster.resources import EVENTS

QUEUE_LIMIT: Final = 5000
"""Events that wait: the burst of a thousand Workers fits, an API server that is away for hours costs at most 10 MB."""

PAUSES: Final = (1.0, 2.0, 5.0, 10.0)
"""Seconds before each further try of an Event for which the API server had no answer or no time."""

_log = structlog.get_logger(__name__)


class EventRecorder:
    """Writes Events through ``api`` in the name of ``component``, from a thread of its own."""

    def __init__(
        self,
        api: KubernetesApi,
        component: str,
        clock: Callable[[], float] = time.time,
        queue_limit: int = QUEUE_LIMIT,
        pauses: Sequence[float] = PAUSES,
    ) -> None:
        self._api = api
        self._component = component
        self._clock = clock
        self._pauses = pauses
        self._queue: queue.Queue[Happening | None] = queue.Queue(queue_limit)
        self._correlator = Correlator()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="events", daemon=True)
        self.dropped = 0
        """Events that were not written: over their object's budget, the queue was full, or the API server refused."""

    def start(self) -> None:
        """Start writing. Events emitted before wait in the queue."""
        self._thread.start()

    def stop(self, deadline_seconds: float = 5.0) -> bool:
        """Write what waits, within the deadline; False when that was not enough."""
        end = time.monotonic() + deadline_seconds
        self._stopping.set()
        try:
            self._queue.put(None, timeout=deadline_seconds)
        except queue.Full:
            return False
        if self._thread.ident is not None:
            self._thread.join(max(0.0, end - time.monotonic()))
        return not self._thread.is_alive()

    def emit(self, reference_object: KubernetesObject, type: str, reason: str, message: str) -> None:  # noqa: A002
        """Record that something happened to the object: type Normal or Warning, a CamelCase reason, text for people."""
        if self._stopping.is_set():
            self.dropped += 1
            return
        try:
            happening = Happening(_reference(reference_object), type, reason, bounded(message), self._clock())
            self._queue.put_nowait(happening)
        except (queue.Full, KeyError, TypeError):
            self.dropped += 1

    def _run(self) -> None:
        while (happening := self._queue.get()) is not None:
            try:
                record = self._correlator.correlate(happening)
                if record is None:
                    self.dropped += 1
                else:
                    self._write(record)
            except ApiError as error:
                self.dropped += 1
                _log.warning("event_not_written", reason=happening.reason, error=str(error))
            except Exception:  # noqa: BLE001 - recording must outlive whatever one Event does to it
                self.dropped += 1
                _log.exception("event_not_written", reason=happening.reason)

    def _write(self, record: EventRecord) -> None:
        """Write it, later if need be; those behind it wait, so that the order holds."""
        for pause in self._pauses:
            try:
                return self._write_once(record)
            except (Unavailable, TooManyRequests) as error:
                self._stopping.wait(error.retry_after or pause)
        return self._write_once(record)

    def _write_once(self, record: EventRecord) -> None:
        if record.written:
            try:
                self._count(record)
            except NotFound:
                # Events expire (an hour by default) and may be deleted: it comes back with its count.
                pass
            else:
                return
        try:
            self._create(record)
        except AlreadyExists:
            # An earlier try was carried out although its answer was lost.
            self._count(record)
        record.written = True

    def _count(self, record: EventRecord) -> None:
        patch: dict[str, Any] = {"count": record.count, "lastTimestamp": _timestamp(record.last)}
        if record.combined:
            patch["message"] = record.message
        self._api.merge_patch(EVENTS, _namespace(record.reference), record.name, patch)

    def _create(self, record: EventRecord) -> None:
        namespace = _namespace(record.reference)
        body: dict[str, Any] = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": record.name, "namespace": namespace},
            "involvedObject": record.reference,
            "type": record.type,
            "reason": record.reason,
            "message": record.message,
            "source": {"component": self._component},
            "reportingComponent": self._component,
            "reportingInstance": "",
            "count": record.count,
            "firstTimestamp": _timestamp(record.first),
            "lastTimestamp": _timestamp(record.last),
        }
        self._api.create(EVENTS, namespace, body)


def _namespace(reference: KubernetesObject) -> str:
    return reference.get("namespace") or "default"


def _reference(item: KubernetesObject) -> KubernetesObject:
    metadata = item["metadata"]
    reference = {
        "apiVersion": item["apiVersion"],
        "kind": item["kind"],
        "name": metadata["name"],
        "uid": metadata["uid"],
    }
    for field in ("namespace", "resourceVersion"):
        if metadata.get(field):
            reference[field] = metadata[field]
    return reference


def _timestamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
