"""Binds Pods without a node to this one. A real scheduler may do that instead: the rest of the node doesn't care.

A Pod that doesn't fit gets the condition and the Event that kube-scheduler writes, and is tried again when the Node has
changed or something on it was freed.
"""

import logging
import queue
import threading

from devcluster.node.api import STRATEGIC_PATCH, ApiClient, ApiError, ApiUnavailable, Conflict, NotFound
from devcluster.node.events import Event, Events
from devcluster.node.fit import Load, Misfit, failed_scheduling, misfit
from devcluster.node.ledger import Ledger
from devcluster.node.nodeview import NodeView
from devcluster.node.shapes import Json
from devcluster.node.times import rfc3339

log = logging.getLogger(__name__)

UNSCHEDULED = "spec.nodeName=,status.phase!=Succeeded,status.phase!=Failed"
_THREADS = 4


class Scheduler:
    """A handler for the Pods that match UNSCHEDULED."""

    def __init__(self, client: ApiClient, node: NodeView, ledger: Ledger, events: Events) -> None:
        self._client, self._node, self._ledger, self._events = client, node, ledger, events
        self._todo: queue.SimpleQueue[Json] = queue.SimpleQueue()
        self._waiting: dict[str, tuple[Json, str]] = {}
        self._lock = threading.Lock()
        ledger.on_free = node.on_change = self.retry
        for number in range(_THREADS):
            threading.Thread(target=self._run, name=f"scheduler {number}", daemon=True).start()

    def upsert(self, item: Json) -> None:
        """Take a Pod that may want a node."""
        spec = item["spec"]
        wanted = spec.get("schedulerName", "default-scheduler") == "default-scheduler"
        if wanted and not spec.get("schedulingGates") and "deletionTimestamp" not in item["metadata"]:
            self._todo.put(item)

    def remove(self, item: Json) -> None:
        """Forget a Pod that has a node or is gone."""
        with self._lock:
            self._waiting.pop(item["metadata"]["uid"], None)

    def retry(self) -> None:
        """Try every Pod again that didn't fit."""
        with self._lock:
            waiting = [pod for pod, _ in self._waiting.values()]
        for pod in waiting:
            self._todo.put(pod)

    def _run(self) -> None:
        """Bind queued Pods for ever."""
        while True:
            pod = self._todo.get()
            try:
                self._schedule(pod)
            except (NotFound, Conflict):
                self.remove(pod)
                log.debug("not bound, it is gone or bound already: pod=%s", pod["metadata"]["name"])
            except ApiUnavailable as error:
                log.warning("binding failed, trying again: pod=%s error=%s", pod["metadata"]["name"], error)
                threading.Timer(1.0, self._todo.put, [pod]).start()
            except ApiError as error:
                log.warning("binding refused: pod=%s error=%s", pod["metadata"]["name"], error)

    def _schedule(self, pod: Json) -> None:
        """Bind a Pod, or say why it can't be."""
        found: Misfit | None = None

        def fits(load: Load) -> bool:
            nonlocal found
            found = misfit(pod, self._node.host, load)
            return found is None

        if not self._ledger.try_book(pod, fits) and found is not None:
            self._refuse(pod, failed_scheduling(found))
            return
        with self._lock:
            self._waiting.pop(pod["metadata"]["uid"], None)
        try:
            self._bind(pod)
        except (ApiError, ApiUnavailable):
            self._ledger.unbook(pod)
            raise

    def _bind(self, pod: Json) -> None:
        """Give a Pod this node."""
        metadata = pod["metadata"]
        where = f"{metadata['namespace']}/{metadata['name']}"
        self._client.post(
            f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}/binding",
            {
                "apiVersion": "v1",
                "kind": "Binding",
                "metadata": {"name": metadata["name"], "uid": metadata["uid"]},
                "target": {"apiVersion": "v1", "kind": "Node", "name": self._node.host.name},
            },
        )
        message = f"Successfully assigned {where} to {self._node.host.name}"
        self._events.emit(pod, Event("Normal", "Scheduled", message))

    def _refuse(self, pod: Json, message: str) -> None:
        """Report a Pod as unschedulable, once for each text."""
        metadata = pod["metadata"]
        with self._lock:
            _, said = self._waiting.get(metadata["uid"], (pod, ""))
            self._waiting[metadata["uid"]] = (pod, message)
        if said == message:
            return
        condition = {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": message,
            "lastTransitionTime": rfc3339(),
        }
        path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}/status"
        self._client.patch(path, {"status": {"conditions": [condition]}}, STRATEGIC_PATCH)
        self._events.emit(pod, Event("Warning", "FailedScheduling", message))
