"""What must hold of the WorkerPool hook's answers."""

from __future__ import annotations

from tests.replay.history import Name
from tests.replay.recording import Json
from tests.replay.travel import Truth, View

BUSY_WORKER_DROPPED = "a busy Worker dropped"

CLOSED_NUMBER_USED = "a closed sequence number used again"
GONE_BEFORE_ITS_WORKERS = "a pool let go before its Workers"


class PoolRules:
    """No Worker that is seen busy is dropped, no number used twice, no pool let go before its Workers.

    A Worker that became busy after the view was taken is held by its own finalizer: that is the Worker hook's part.
    """

    def dropped(self, child: Json, view: View, truth: Truth) -> str:  # noqa: ARG002 - judged by what it could see
        """Judge a Worker that the pool would have deleted."""
        if "deletionTimestamp" in child["metadata"]:
            return ""
        status = child.get("status") or {}
        return BUSY_WORKER_DROPPED if status.get("run") or status.get("state") == "BUSY" else ""

    def wished(self, name: Name, view: View, truth: Truth) -> str:
        """Judge a Worker that the pool would have made: its number is above those that are closed for good."""
        closed = (view.parent.get("status") or {}).get("sequence") or 0
        former = next((found.children[name] for found in truth.moments if name in found.children), None)
        used = former is not None and former["spec"]["sequence"] <= closed
        return CLOSED_NUMBER_USED if used else ""

    def finalized(self, view: View, truth: Truth) -> str:  # noqa: ARG002 - as above
        """Judge that the pool goes."""
        return GONE_BEFORE_ITS_WORKERS if view.children else ""
