"""Kubernetes Events: what ``kubectl describe`` shows. Best effort in the background; never blocks and never raises.

Repeats within ten minutes raise the count of the Event that is there, as client-go's recorder does, so that an hour of
failing to connect is one line with ``x120 over 60m``.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

import structlog

from app.cluster.client import KubernetesApi
from app.cluster.errors import ApiError, NotFound
from app.cluster.objects import KubernetesObject
from app.cluster.resources import EVENTS

REPEAT_SECONDS: Final = 600.0
"""How long a repeat counts on the Event that is there."""

MESSAGE_BYTES: Final = 1024
"""The API refuses longer messages."""

QUEUE_LIMIT: Final = 1000
"""Events that wait; a burst of the largest pool fits, an API server that is away for hours costs no memory."""

_REMEMBERED: Final = 4096

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class _Happening:
    reference: KubernetesObject
    type: str
    reason: str
    message: str
    time: float


@dataclass(slots=True)
class _Written:
    namespace: str
    name: str
    count: int
    last: float


class EventRecorder:
    """Writes Events through ``api`` in the name of ``component``, from a thread of its own."""

    def __init__(
        self,
        api: KubernetesApi,
        component: str,
        clock: Callable[[], float] = time.time,
        queue_limit: int = QUEUE_LIMIT,
    ) -> None:
        self._api = api
        self._component = component
        self._clock = clock
        self._queue: queue.Queue[_Happening | None] = queue.Queue(queue_limit)
        self._written: OrderedDict[tuple[str, ...], _Written] = OrderedDict()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="events", daemon=True)
        self.dropped = 0
        """Events that were not written: the queue was full or the API server refused."""

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
            happening = _Happening(
                _reference(reference_object), type, reason, _bounded(message), self._clock()
            )
            self._queue.put_nowait(happening)
        except (queue.Full, KeyError, TypeError):
            self.dropped += 1

    def _run(self) -> None:
        while (happening := self._queue.get()) is not None:
            try:
                self._write(happening)
            except ApiError as error:
                self.dropped += 1
                _log.warning("event_not_written", reason=happening.reason, error=str(error))
            except Exception:  # noqa: BLE001 - recording must outlive whatever one Event does to it
                self.dropped += 1
                _log.exception("event_not_written", reason=happening.reason)

    def _write(self, happening: _Happening) -> None:
        key = (happening.reference["uid"], happening.type, happening.reason, happening.message)
        known = self._written.get(key)
        if known is not None and happening.time - known.last < REPEAT_SECONDS:
            try:
                self._count(known, happening)
            except NotFound:
                # Events expire (an hour by default) and may be deleted: start a new one.
                pass
            else:
                self._written.move_to_end(key)
                return
        self._written[key] = self._create(happening)
        self._written.move_to_end(key)
        while len(self._written) > _REMEMBERED:
            self._written.popitem(last=False)

    def _count(self, known: _Written, happening: _Happening) -> None:
        patch = {"count": known.count + 1, "lastTimestamp": _timestamp(happening.time)}
        self._api.merge_patch(EVENTS, known.namespace, known.name, patch)
        known.count += 1
        known.last = happening.time

    def _create(self, happening: _Happening) -> _Written:
        reference = happening.reference
        namespace = reference.get("namespace") or "default"
        when = _timestamp(happening.time)
        # The name client-go gives: unique, and sorted by time for one object.
        name = f"{reference['name'][:230]}.{time.time_ns():x}"
        body: dict[str, Any] = {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": namespace},
            "involvedObject": reference,
            "type": happening.type,
            "reason": happening.reason,
            "message": happening.message,
            "source": {"component": self._component},
            "reportingComponent": self._component,
            "reportingInstance": "",
            "count": 1,
            "firstTimestamp": when,
            "lastTimestamp": when,
        }
        self._api.create(EVENTS, namespace, body)
        return _Written(namespace, name, 1, happening.time)


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


def _bounded(message: str) -> str:
    encoded = message.encode("utf-8", "replace")
    if len(encoded) <= MESSAGE_BYTES:
        return encoded.decode()
    return encoded[: MESSAGE_BYTES - 3].decode("utf-8", "ignore") + "..."


def _timestamp(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
