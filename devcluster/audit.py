"""What the API server wrote of the operator's and the hook driver's requests. See `Options.audit`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, order=True)
class Asked:
    """One request of a ServiceAccount, as RBAC judged it."""

    account: str
    verb: str
    group: str
    resource: str
    """With its subresource, if there is one: `workers/status`."""
    namespace: str
    name: str
    allowed: bool
    by: str
    """What allowed it, or why nothing did."""


def requests(log: Path) -> Iterator[Asked]:
    """Yield every request for a resource that the log holds, rotated parts first."""
    for file in [*sorted(log.parent.glob(f"{log.stem}-*{log.suffix}")), log]:
        if file.exists():
            with file.open(encoding="utf-8") as lines:
                # The last line may be half written.
                yield from (
                    _asked(json.loads(line))
                    for line in lines
                    if line.endswith("\n") and '"objectRef"' in line
                )


def _asked(event: dict[str, dict[str, str]]) -> Asked:
    about, notes = event["objectRef"], event.get("annotations") or {}
    resource = about.get("resource", "")
    return Asked(
        account=event["user"]["username"].removeprefix("system:serviceaccount:"),
        verb=str(event["verb"]),
        group=about.get("apiGroup", ""),
        resource=f"{resource}/{about['subresource']}" if "subresource" in about else resource,
        namespace=about.get("namespace", ""),
        name=about.get("name", ""),
        allowed=notes.get("authorization.k8s.io/decision") != "forbid",
        by=notes.get("authorization.k8s.io/reason", ""),
    )
