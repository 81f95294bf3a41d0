"""Whether a run ended because its namespace is being deleted: then that is what its user is told."""

from dataclasses import replace
from typing import Final

from app.agent.runtime import Api
from app.cluster.errors import Forbidden, NotFound
from app.cluster.resources import NAMESPACES
from protocol.runs import Outcome, Reason

_SYMPTOMS: Final = frozenset({Reason.POD_DELETED, Reason.CONFIG_ERROR, Reason.REFUSED, Reason.INIT_FAILED})
"""Reasons that the end of a namespace may hide behind: it takes Pods, Secrets and ConfigMaps away in any order."""


def blame_namespace(api: Api, namespace: str, outcome: Outcome) -> Outcome:
    """Return the verdict with the reason NamespaceDeleted if that is what is behind it.

    Raises ApiError, except where the operator may not read namespaces: then the verdict stays as it is.
    """
    if outcome.reason not in _SYMPTOMS or not _ends(api, namespace):
        return outcome
    text = f"namespace {namespace} is being deleted: {outcome.message}"
    return replace(outcome, reason=Reason.NAMESPACE_DELETED, message=text)


def _ends(api: Api, namespace: str) -> bool:
    try:
        found = api.get(NAMESPACES, None, namespace)
    except (NotFound, Forbidden):
        return False
    return "deletionTimestamp" in found["metadata"]
