"""What the agent writes to the cluster beside Worker.status: run Secrets, settings revisions, Pod finalizers.

Each function is safe to repeat. Errors of the API pass through: who called decides again later.
"""

import base64
import contextlib
import threading
from collections.abc import Callable
from typing import Any

from app import vocabulary as words
from app.agent.decisions import revisions
from app.agent.pod_state import PodView
from app.agent.pool_state import PoolView
from app.agent.runtime import Api
from app.agent.worker_state import Attempt, WorkerView, attempt_name
from app.cluster.errors import AlreadyExists, Conflict, NotFound, Unavailable
from app.cluster.resources import CONTROLLER_REVISIONS, PODS, SECRETS
from protocol.messages import RunScheduled
from protocol.sealing import RunPayload


class NameTaken(Exception):  # noqa: N818 - an answer, not a fault of ours
    """A Secret of the run Secret's name exists and belongs to something else."""


def create_run_secret(
    api: Api, worker: WorkerView, scheduled: RunScheduled, payload: RunPayload, authority: str
) -> dict[str, Any]:
    """Create the Secret of an attempt that is about to be claimed, and return it.

    One that an earlier try left behind is replaced: its token may be an older one. Raise `NameTaken` when the
    name belongs to something else.
    """
    body = _secret_body(worker, scheduled, payload, authority)
    try:
        return api.create(SECRETS, worker.namespace, body)
    except AlreadyExists:
        name = body["metadata"]["name"]
    with contextlib.suppress(NotFound):
        former = api.get(SECRETS, worker.namespace, name)
        if (former["metadata"].get("labels") or {}) != body["metadata"]["labels"]:
            raise NameTaken(f"a Secret named {name} exists and is not this run's")
        delete_run_secret(api, worker.namespace, name, former["metadata"]["uid"])
    return api.create(SECRETS, worker.namespace, body)


def delete_run_secret(api: Api, namespace: str, name: str, uid: str) -> bool:
    """Delete a run Secret; return False when another object has its name by now, which is let be."""
    try:
        api.delete(SECRETS, namespace, name, uid or None)
    except NotFound:
        return True
    except Conflict:
        return False
    return True


def delete_secret_of(api: Api, worker: WorkerView, run: Attempt) -> None:
    """Delete the Secret of an attempt that has its verdict.

    Another replica that lost the race for the claim may have put its own in the place of the recorded one: it is the
    same attempt's by its labels, and nobody else knows of it.
    """
    if not delete_run_secret(api, worker.namespace, run.secret_name, run.secret_uid):
        sweep_run_secret(api, worker.namespace, worker.ulid, run.run, run.stage, run.sequence)


def delete_unclaimed_secret(
    api: Api, namespace: str, worker_ulid: str, pool_ulid: str, scheduled: RunScheduled
) -> None:
    """Delete the Secret that a try to claim this attempt left behind, if one did; nothing else of that name."""
    name = attempt_name(scheduled.run, scheduled.stage, scheduled.sequence)
    with contextlib.suppress(NotFound):
        found = api.get(SECRETS, namespace, name)["metadata"]
        if (found.get("labels") or {}) == _secret_labels(worker_ulid, pool_ulid, scheduled):
            delete_run_secret(api, namespace, name, found["uid"])


def sweep_run_secret(api: Api, namespace: str, worker_ulid: str, run: str, stage: str, sequence: int) -> bool:
    """Delete the Secret of an attempt that nobody holds; return whether there was one.

    Only the mothership's word that the attempt is closed allows it. What has its name and not its labels is let be.
    """
    wanted = {words.RUN_LABEL: run, words.WORKER_LABEL: worker_ulid, words.SEQUENCE_LABEL: str(sequence)}
    try:
        found = api.get(SECRETS, namespace, attempt_name(run, stage, sequence))["metadata"]
    except NotFound:
        return False
    labels = found.get("labels") or {}
    if any(labels.get(key) != value for key, value in wanted.items()):
        return False
    delete_run_secret(api, namespace, found["name"], found["uid"])
    return True


def remove_verdict_finalizer(api: Api, pod: PodView) -> None:
    """Take our finalizer off a Pod whose verdict is stored; raise Conflict when the Pod has changed."""
    rest = [each for each in pod.finalizers if each != words.VERDICT_FINALIZER]
    metadata = {"resourceVersion": pod.resource_version, "uid": pod.uid, "finalizers": rest or None}
    with contextlib.suppress(NotFound):
        api.merge_patch(PODS, pod.namespace, pod.name, {"metadata": metadata})


class RevisionStore:
    """Makes sure that a pool's settings revision exists before a run refers to it.

    What was seen is remembered, so that a claim costs no call for it; `forget` and `used` serve the sweep.
    `native_sidecars` says whether the cluster has them, None while that isn't known.
    """

    def __init__(self, api: Api, native_sidecars: Callable[[], bool | None] = lambda: False) -> None:
        self._api, self._native_sidecars = api, native_sidecars
        self._lock = threading.Lock()
        self._used: dict[tuple[str, str], float] = {}

    def ensure(self, pool: PoolView, pool_ulid: str, now: float) -> str:
        """Return the name of the revision of the pool's current settings, having created it if need be.

        Raise Unavailable while it isn't known what the cluster can do: a guess would be another revision soon.
        """
        native = self._native_sidecars()
        if native is None:
            raise Unavailable("the API server's version is not known yet")
        name = revisions.revision_name(pool, native_sidecars=native)
        key = pool.namespace, name
        with self._lock:
            known = key in self._used
            if known:
                self._used[key] = now
        if not known:
            with contextlib.suppress(AlreadyExists):
                body = revisions.revision_body(pool, pool_ulid, native_sidecars=native)
                self._api.create(CONTROLLER_REVISIONS, pool.namespace, body)
            with self._lock:
                self._used[key] = now
        return name

    def current(self, pool: PoolView) -> str | None:
        """Return the name that the revision of the pool's current settings has, None while that can't be told."""
        native = self._native_sidecars()
        return None if native is None else revisions.revision_name(pool, native_sidecars=native)

    def get(self, namespace: str, name: str) -> dict[str, Any] | None:
        """Return a revision from the API server, None when it isn't there."""
        try:
            return self._api.get(CONTROLLER_REVISIONS, namespace, name)
        except NotFound:
            self.forget(namespace, name)
            return None

    def forget(self, namespace: str, name: str) -> None:
        """Believe no longer that a revision exists."""
        with self._lock:
            self._used.pop((namespace, name), None)

    def claim_for_deletion(self, namespace: str, name: str, now: float) -> bool:
        """Return whether a revision may be deleted: no claim of this process used it lately; forget it then."""
        with self._lock:
            last = self._used.get((namespace, name))
            if last is not None and now - last < revisions.MIN_AGE:
                return False
            self._used.pop((namespace, name), None)
            return True


def _secret_body(
    worker: WorkerView, scheduled: RunScheduled, payload: RunPayload, authority: str
) -> dict[str, Any]:
    content = {
        words.SECRET_RUN_TOKEN: payload.run_token.encode(),
        words.SECRET_API_ENDPOINT: payload.api_endpoint.encode(),
        words.SECRET_CA: authority.encode(),
        words.SECRET_WORKSPACE_KEY: base64.b64encode(payload.workspace_key),
    }
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "Opaque",
        "immutable": True,
        "metadata": {
            "name": attempt_name(scheduled.run, scheduled.stage, scheduled.sequence),
            "namespace": worker.namespace,
            "labels": _secret_labels(worker.ulid, worker.pool_ulid, scheduled),
        },
        "data": {key: base64.b64encode(value).decode("ascii") for key, value in content.items()},
    }


def _secret_labels(worker_ulid: str, pool_ulid: str, scheduled: RunScheduled) -> dict[str, str]:
    return {
        words.RUN_LABEL: scheduled.run,
        words.WORKER_LABEL: worker_ulid,
        words.POOL_LABEL: pool_ulid,
        words.SEQUENCE_LABEL: str(scheduled.sequence),
    }
