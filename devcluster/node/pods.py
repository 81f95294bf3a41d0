"""All Pods of this node: one worker for each that isn't over, and what has to happen to those that are."""

import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from devcluster.node.events import Event
from devcluster.node.fit import rejection
from devcluster.node.ledger import Ledger
from devcluster.node.logs import LogFile
from devcluster.node.lost import LOST_VERDICT, recover
from devcluster.node.nodeview import NodeView
from devcluster.node.objects import PodObjects
from devcluster.node.observed import Verdict
from devcluster.node.podfiles import PodFiles, known_pods
from devcluster.node.podworker import Collaborators, Gone, PodWorker, Update
from devcluster.node.shapes import Json
from devcluster.node.times import rfc3339
from devcluster.node.volumes import unsupported

log = logging.getLogger(__name__)

_RETRY_SECONDS = 1.0


class Pods:
    """A handler for the Pods that are bound to this node; the ledger is kept up to date from here."""

    def __init__(self, folder: Path, work: Collaborators, node: NodeView, ledger: Ledger) -> None:
        self._folder, self._work, self._node, self._ledger = folder, work, node, ledger
        self._lock = threading.Lock()
        self._pods: dict[str, Json] = {}
        self._workers: dict[str, PodWorker] = {}
        self._over: set[str] = set()
        self._closers = ThreadPoolExecutor(4, thread_name_prefix="pod closer")

    def upsert(self, item: Json) -> None:
        """Take a Pod that is new or has changed."""
        uid = item["metadata"]["uid"]
        self._ledger.upsert(item)
        with self._lock:
            self._pods[uid] = item
            worker = self._workers.get(uid)
            if worker is None and uid not in self._over:
                self._begin(item)
        if worker is not None:
            worker.tell(Update(item))
        else:
            self._close_if_deleted(uid)

    def remove(self, item: Json) -> None:
        """Take note that a Pod object is gone."""
        uid = item["metadata"]["uid"]
        self._ledger.remove(item)
        with self._lock:
            self._pods.pop(uid, None)
            self._over.discard(uid)
            worker = self._workers.get(uid)
        self._work.events.forget(uid)
        if worker is not None:
            worker.tell(Gone())
        else:
            self._closers.submit(self._files(uid).remove)

    def sweep(self) -> None:
        """Remove the directories of Pods that don't exist any more; called once, after the first list."""
        for uid, files in known_pods(self._folder):
            with self._lock:
                known = uid in self._pods
            if not known:
                files.remove()

    def listing(self) -> list[Json]:
        """Return the Pods of this node as last seen."""
        with self._lock:
            return list(self._pods.values())

    def find_log(
        self, namespace: str, name: str, container: str, *, previous: bool
    ) -> tuple[Path, LogFile | None]:
        """Return the log of a container, live if it runs.

        Raises KeyError for a Pod that isn't here and ValueError for a container without a log.
        """
        with self._lock:
            metadata = [pod["metadata"] for pod in self._pods.values()]
            uid = next(
                (each["uid"] for each in metadata if (each["namespace"], each["name"]) == (namespace, name)),
                "",
            )
            worker = self._workers.get(uid)
        if not uid:
            raise KeyError(f'pod "{name}" not found')
        files = self._files(uid)
        attempt = files.latest_attempt(container)
        if attempt is not None and previous:
            attempt = attempt - 1 if attempt > 0 else None
        if attempt is None and previous:
            raise ValueError(f'previous terminated container "{container}" in pod "{name}" not found')
        if attempt is None:
            raise ValueError(f'container "{container}" in pod "{name}" is waiting to start')
        slot = worker.slots.get(container) if worker else None
        live = slot.log if slot else None
        return files.log(container, attempt), None if previous else live

    def _files(self, uid: str) -> PodFiles:
        """Return the directory of a Pod."""
        return PodFiles(self._folder / uid)

    def _begin(self, pod: Json) -> None:
        """Start a worker for a Pod that isn't over; the lock is held."""
        uid = pod["metadata"]["uid"]
        if (pod.get("status") or {}).get("phase") in {"Succeeded", "Failed"}:
            self._over.add(uid)
            return
        files = self._files(uid)
        lost = recover(pod, files.was_started, rfc3339())
        verdict = LOST_VERDICT if lost else _refusal(pod) or self._rejection(pod)
        worker = PodWorker(pod, files, self._work, self._worker_over, verdict)
        for name, observed in (lost or {}).items():
            worker.slots[name].observed = observed
        if verdict is not None:
            self._work.events.emit(pod, Event("Warning", verdict.reason, verdict.message))
        self._workers[uid] = worker
        worker.start()

    def _rejection(self, pod: Json) -> Verdict | None:
        """Return why the Pod doesn't fit this node, though somebody bound it here."""
        return rejection(pod, self._node.host, self._ledger.others(pod))

    def _worker_over(self, uid: str) -> None:
        """Take note that a Pod's worker has ended."""
        with self._lock:
            self._workers.pop(uid, None)
            exists = uid in self._pods
            if exists:
                self._over.add(uid)
        if exists:
            self._close_if_deleted(uid)
        else:
            self._closers.submit(self._files(uid).remove)

    def _close_if_deleted(self, uid: str) -> None:
        """Let the object of a Pod go that is over and deleted."""
        with self._lock:
            pod = self._pods.get(uid)
            over = uid in self._over
        if pod is None or not over:
            return
        metadata = pod["metadata"]
        # Once the API server has granted zero seconds, only finalizers keep the object.
        if "deletionTimestamp" in metadata and metadata.get("deletionGracePeriodSeconds") != 0:
            self._closers.submit(self._close, pod)

    def _close(self, pod: Json) -> None:
        """Delete the object, again if the API server doesn't answer."""
        while not PodObjects(self._work.client, pod).let_go():
            time.sleep(_RETRY_SECONDS)


def _refusal(pod: Json) -> Verdict | None:
    """Return why this node can't run a Pod at all, None when it can."""
    spec = pod["spec"]
    problems = unsupported(pod)
    problems += [f"{key} is set" for key in ("hostPID", "hostIPC", "shareProcessNamespace") if spec.get(key)]
    privileged = [
        each["name"]
        for each in [*(spec.get("initContainers") or []), *spec["containers"]]
        if (each.get("securityContext") or {}).get("privileged")
    ]
    problems += [f"container {name} is privileged" for name in privileged]
    if not problems:
        return None
    text = f"The process node can't run this Pod: {', '.join(problems)}"
    return Verdict("UnsupportedPodSpec", text, rejected=True)
