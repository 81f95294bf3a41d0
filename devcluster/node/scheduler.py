"""Binds Pods without a node to this one. A real scheduler may do that instead: the rest of the node doesn't care."""

import logging
import queue
import threading
from collections.abc import Mapping

from devcluster.node.api import STRATEGIC_PATCH, ApiClient, ApiError, ApiUnavailable, Conflict, NotFound
from devcluster.node.events import Event, Events
from devcluster.node.shapes import Json
from devcluster.node.times import rfc3339

log = logging.getLogger(__name__)

UNSCHEDULED = "spec.nodeName=,status.phase!=Succeeded,status.phase!=Failed"
_THREADS = 4


class Scheduler:
    """A handler for the Pods that match UNSCHEDULED; it looks at node selectors and nothing else."""

    def __init__(self, client: ApiClient, node: str, labels: Mapping[str, str], events: Events) -> None:
        self._client, self._node, self._labels, self._events = client, node, labels, events
        self._todo: queue.SimpleQueue[Json] = queue.SimpleQueue()
        self._refused: set[str] = set()
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
        self._refused.discard(item["metadata"]["uid"])

    def _run(self) -> None:
        """Bind queued Pods for ever."""
        while True:
            pod = self._todo.get()
            try:
                self._schedule(pod)
            except (NotFound, Conflict):
                log.debug("not bound, it is gone or bound already: pod=%s", pod["metadata"]["name"])
            except ApiUnavailable as error:
                log.warning("binding failed, trying again: pod=%s error=%s", pod["metadata"]["name"], error)
                threading.Timer(1.0, self._todo.put, [pod]).start()
            except ApiError as error:
                log.warning("binding refused: pod=%s error=%s", pod["metadata"]["name"], error)

    def _schedule(self, pod: Json) -> None:
        """Bind a Pod, or say why it can't be."""
        if misfit := unschedulable(pod, self._labels):
            self._refuse(pod, misfit)
            return
        metadata = pod["metadata"]
        where = f"{metadata['namespace']}/{metadata['name']}"
        self._client.post(
            f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}/binding",
            {
                "apiVersion": "v1",
                "kind": "Binding",
                "metadata": {"name": metadata["name"], "uid": metadata["uid"]},
                "target": {"apiVersion": "v1", "kind": "Node", "name": self._node},
            },
        )
        self._events.emit(pod, Event("Normal", "Scheduled", f"Successfully assigned {where} to {self._node}"))

    def _refuse(self, pod: Json, message: str) -> None:
        """Report a Pod as unschedulable, once."""
        metadata = pod["metadata"]
        if metadata["uid"] in self._refused:
            return
        self._refused.add(metadata["uid"])
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


def unschedulable(pod: Json, labels: Mapping[str, str]) -> str:
    """Return why a node with these labels doesn't fit, empty when it does."""
    selector = pod["spec"].get("nodeSelector") or {}
    if all(labels.get(key) == value for key, value in selector.items()):
        return ""
    return (
        "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector. "
        "preemption: 0/1 nodes are available: 1 Preemption is not helpful for scheduling."
    )
