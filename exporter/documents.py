"""What the exporter asks the API: GraphQL documents, and the names under which they are sent.

Source: the clients' measured requests (fields, operation name, variables) and, for the two queries that tell runs by what
they need, the fields of a newer version of the public exporter.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

MAIN_OPERATION: Final = "PrometheusExporter"
"""Operation name of the scrape's query, which backends may tell the exporter by."""

_ROOTS: Final = {
    "publicWorkerPool": "{parallelism busyWorkers pendingRuns}",
    "workerPools": "{id name pendingRuns busyWorkers workers{id drained}}",
    "usage": "{billingPeriodStart billingPeriodEnd usedPrivateMinutes usedPublicMinutes usedSeats}",
    "metrics": "{"
    + " ".join(
        f"{name}{{value labels}}"
        for name in (
            "stacksCountByState",
            "resourcesCountByDrift",
            "avgStackSizeByResourceCount",
            "averageRunDuration",
            "medianRunDuration",
        )
    )
    + "}",
}


@dataclass(frozen=True, slots=True)
class Operation:
    """One request's document."""

    document: str
    name: str = ""

    def body(self, variables: Mapping[str, str] | None = None) -> bytes:
        """Return the request's body."""
        parts: dict[str, object] = {"query": self.document}
        if variables:
            parts["variables"] = dict(variables)
        if self.name:
            parts["operationName"] = self.name
        return json.dumps(parts).encode()


def _query(name: str, roots: Mapping[str, str]) -> Operation:
    selections = " ".join(f"{root}{fields}" for root, fields in roots.items())
    return Operation(f"query {name}{{{selections}}}", name)


EXCHANGE: Final = Operation(
    "mutation($id:ID!,$secret:String!){apiKeyUser(id:$id,secret:$secret){jwt validUntil}}"
)
"""An API key for a token."""

SCRAPE: Final = _query(MAIN_OPERATION, _ROOTS)
"""Everything that the public exporter asks, in its one query."""

POOLS_ONLY: Final = _query(MAIN_OPERATION, {"workerPools": _ROOTS["workerPools"]})
"""What API keys may ask of a backend that keeps the other roots from them."""

SCHEDULABLE: Final = _query(f"{MAIN_OPERATION}SchedulableRuns", {"workerPools": "{id schedulableRunsCount}"})
"""Runs that need a worker now."""

WAITING: Final = _query(
    f"{MAIN_OPERATION}WaitingRuns",
    {
        "publicWorkerPool": "{schedulableRunsCount}",
        "metrics": "{needsApprovalRuns{id} runsRequiringAttention{id}}",
    },
)
"""Runs that wait for a person, which the API counts for the account; and the public pool's."""
