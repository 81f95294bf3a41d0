"""Whether this cluster's CRDs keep the ledger: their schema revision, read from an annotation."""

import threading

from app import vocabulary as words
from app.agent.runtime import Api
from app.cluster.errors import ApiError, NotFound
from app.cluster.resources import CUSTOM_RESOURCE_DEFINITIONS

CRDS = (f"{words.WORKER_PLURAL}.{words.GROUP}", f"{words.WORKER_POOL_PLURAL}.{words.GROUP}")


class SchemaCheck:
    """Holds the last answer; nothing is registered or claimed while it is no.

    An API server that can't be asked changes nothing: what was read before still holds.
    """

    def __init__(self, api: Api) -> None:
        self._api = api
        self._lock = threading.Lock()
        self._fault = "the CRDs' schema revision has not been read yet"

    @property
    def fault(self) -> str:
        """Why nothing is claimed; empty when all is well."""
        with self._lock:
            return self._fault

    def ok(self) -> bool:
        """Return whether the CRDs keep what this operator writes."""
        return not self.fault

    def refresh(self) -> bool:
        """Read the CRDs again; return whether the answer is a different one now."""
        try:
            fault = next(filter(None, map(self._fault_of, CRDS)), "")
        except ApiError:
            return False
        with self._lock:
            changed, self._fault = fault != self._fault, fault
        return changed

    def _fault_of(self, name: str) -> str:
        try:
            found = self._api.get(CUSTOM_RESOURCE_DEFINITIONS, None, name)
        except NotFound:
            return f"CRD {name} is not installed"
        annotations = found["metadata"].get("annotations") or {}
        revision = annotations.get(words.SCHEMA_REVISION_ANNOTATION)
        if revision is None:
            return (
                f"CRD {name} has no annotation {words.SCHEMA_REVISION_ANNOTATION}: apply the operator's crds/"
            )
        if revision.partition(".")[0] != words.SCHEMA_REVISION:
            return (
                f"CRD {name} has schema revision {revision}, this operator needs {words.SCHEMA_REVISION}: "
                f"apply the operator's crds/"
            )
        return ""
