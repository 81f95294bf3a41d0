"""Why a run Pod doesn't come: asks the API server in a dry run what it would say to it."""

from dataclasses import dataclass
from typing import cast

import structlog

from app import vocabulary as words
from app.agent.decisions import refusal
from app.agent.decisions.graces import Graces
from app.agent.decisions.refusal import Refusal
from app.agent.effects import RevisionStore
from app.agent.runtime import Cluster
from app.agent.worker_state import Attempt, WorkerView
from app.cluster.errors import (
    AlreadyExists,
    ApiError,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    TooManyRequests,
    Unauthorized,
    Unavailable,
)
from app.cluster.resources import PODS, SECRETS, WORKERS
from app.errors import PodSettingsError
from protocol.runs import Outcome, Reason, Result

_KINDS: dict[type[ApiError], Refusal] = {
    Forbidden: Refusal.FORBIDDEN,
    Invalid: Refusal.INVALID,
    NotFound: Refusal.NOT_FOUND,
    Unavailable: Refusal.OTHER,
}
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Denial:
    """Why a run's Pod doesn't come: the verdict (None: it still may come), and what the API server says to it."""

    outcome: Outcome | None
    said: str = ""


class Refusals:
    """Judges an attempt in phase Scheduled whose Pod hasn't appeared."""

    def __init__(self, cluster: Cluster, revisions: RevisionStore, graces: Graces) -> None:
        self._cluster, self._revisions, self._graces = cluster, revisions, graces

    def judge(self, worker: WorkerView, run: Attempt, waited: float) -> Denial | None:
        """Return why the Pod doesn't come, None when nobody refuses it."""
        revision = self._revisions.get(worker.namespace, run.settings)
        if revision is None:
            text = f"the settings revision {run.settings} of this run is gone: its Pod can't be built"
            return Denial(Outcome(Result.FAILED, Reason.CONFIG_ERROR, text))
        if not self._has_secret(worker, run):
            text = f"the run's Secret {run.secret_name} is gone: the run never started"
            return Denial(Outcome(Result.FAILED, Reason.CONFIG_ERROR, text))
        try:
            body = self._cluster.run_pod_of(
                self._cluster.api.get(WORKERS, worker.namespace, worker.name), revision
            )
        except PodSettingsError as error:
            return Denial(Outcome(Result.FAILED, Reason.CONFIG_ERROR, f"spec.pod of the pool: {error}"))
        return None if body is None else self._try(worker, run, body, waited)

    def _has_secret(self, worker: WorkerView, run: Attempt) -> bool:
        try:
            found = self._cluster.api.get(SECRETS, worker.namespace, run.secret_name)
        except NotFound:
            return False
        return bool(found["metadata"]["uid"] == run.secret_uid)

    def _try(self, worker: WorkerView, run: Attempt, body: dict[str, object], waited: float) -> Denial | None:
        metadata = cast("dict[str, object]", body["metadata"])
        # Some clusters let only those set an owner who may delete it; that says nothing of the Pod.
        alone = {key: value for key, value in metadata.items() if key != "ownerReferences"}
        try:
            self._cluster.api.create(PODS, worker.namespace, {**body, "metadata": alone}, dry_run=True)
        except (TooManyRequests, Conflict, Unauthorized):
            return None
        except AlreadyExists as error:
            if self._is_ours(worker, run):
                return None
            return self._denial(Refusal.NAME_TAKEN, error.message, waited)
        except ApiError as error:
            kind = _KINDS.get(type(error), Refusal.OTHER)
            if error.status == 0:
                # No answer at all says nothing of the Pod.
                return None
            _log.warning("run_pod_refused", run=run.run, sequence=run.sequence, error=error.message)
            return self._denial(kind, error.message, waited)
        return None

    def _denial(self, kind: Refusal, text: str, waited: float) -> Denial:
        said = "" if refusal.is_about_the_agent(kind, text) else refusal.in_words(text)
        return Denial(refusal.judge(kind, text, waited, self._graces), said)

    def _is_ours(self, worker: WorkerView, run: Attempt) -> bool:
        try:
            found = self._cluster.api.get(PODS, worker.namespace, run.pod_name)
        except NotFound:
            return True
        labels = found["metadata"].get("labels") or {}
        mine = {
            words.RUN_LABEL: run.run,
            words.SEQUENCE_LABEL: str(run.sequence),
            words.WORKER_LABEL: worker.ulid,
        }
        if any(labels.get(key) != value for key, value in mine.items()):
            return False
        self._cluster.pods.remember(found)
        return True
