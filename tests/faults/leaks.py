"""What must not be left: objects in the cluster, and files, threads, connections and memory of the parts."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.faults.clients import CallError, JsonClient

GROUP = "/apis/workers.spacelift.io/v1beta1"
RUN_LABEL = "workers.spacelift.io/run-id"
POOL_LABEL = "workers.spacelift.io/workerpool"
WATCHED = ("operator", "mothership")


@dataclass(frozen=True)
class Footprint:
    """What the processes of one part hold together."""

    files: int
    threads: int
    memory_mib: float

    @classmethod
    def of(cls, pids: Iterable[int]) -> Footprint:
        """Measure these processes; one that has ended counts nothing."""
        files, threads, memory = 0, 0, 0.0
        for process in (Path(f"/proc/{pid}") for pid in pids):
            try:
                files += len(os.listdir(process / "fd"))  # noqa: PTH208 - a count, no paths
                threads += len(os.listdir(process / "task"))  # noqa: PTH208
                # Proportional: what two processes share counts once.
                memory += _proportional(process)
            except (FileNotFoundError, ProcessLookupError):
                continue
        return cls(files, threads, memory)


SLACK = Footprint(files=40, threads=40, memory_mib=48)
"""What a part may hold more than before: threads and kept connections come with the first calls that need them, and
allocators keep what they once had. A leak grows with every fault, and a run of the suite has hundreds."""


def grown(before: Mapping[str, Footprint], now: Mapping[str, Footprint]) -> list[str]:
    """Return a sentence for everything of which a part holds more than before, beyond the slack."""
    return [
        f"{part} holds {getattr(now[part], kind):.0f} {kind}, {getattr(before[part], kind):.0f} before"
        for part in now
        for kind in ("files", "threads", "memory_mib")
        if getattr(now[part], kind) > getattr(before[part], kind) + getattr(SLACK, kind)
    ]


def unrest(api: JsonClient, pool: str, size: int, kept: bool) -> list[str]:
    """Return what is not as it is in a pool where nothing happens; `kept` says that ended Pods may be there."""
    found = [f"worker {_name(item)}: {why}" for item in workers(api, pool) if (why := _not_idle(item))]
    count = len(workers(api, pool))
    found += [f"{count} workers instead of {size}"] * (count != size)
    found += [f"Secret {_name(item)} is left" for item in secrets(api, pool)]
    found += [
        f"Pod {_name(item)} is left ({item['status'].get('phase')})"
        for item in pods(api, pool)
        if not (kept and item["status"].get("phase") in ("Succeeded", "Failed"))
    ]
    return found


def remains(api: JsonClient, pool: str, name: str) -> list[str]:
    """Return what is left of a pool that was deleted, with the finalizers that hold it."""
    objects = {
        "WorkerPool": _found(api, f"{GROUP}/namespaces/default/workerpools/{name}"),
        "Worker": workers(api, pool),
        "Pod": pods(api, pool),
        "Secret": secrets(api, pool),
    }
    return [
        f"{kind} {_name(item)} is left, finalizers {item['metadata'].get('finalizers', [])}"
        for kind, items in objects.items()
        for item in items
    ]


def workers(api: JsonClient, pool: str) -> list[dict[str, Any]]:
    """Return a pool's Workers."""
    return _listed(api, f"{GROUP}/workers", pool)


def pods(api: JsonClient, pool: str) -> list[dict[str, Any]]:
    """Return a pool's run Pods."""
    return _listed(api, "/api/v1/pods", pool)


def secrets(api: JsonClient, pool: str) -> list[dict[str, Any]]:
    """Return a pool's run Secrets."""
    return _listed(api, "/api/v1/secrets", pool)


def _listed(api: JsonClient, path: str, pool: str) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = api.call("GET", path, query={"labelSelector": f"{POOL_LABEL}={pool}"})[
        "items"
    ]
    return items


def _found(api: JsonClient, path: str) -> list[dict[str, Any]]:
    try:
        return [api.call("GET", path)]
    except CallError as error:
        if error.status == 404:
            return []
        raise


def _not_idle(worker: Mapping[str, Any]) -> str:
    status = worker.get("status", {})
    if not status.get("registered"):
        return f"registration {status.get('registration')}"
    if status.get("run"):
        return f"holds run {status['run'].get('id')} in {status['run'].get('phase')}"
    return "" if status.get("state") == "IDLE" else f"state {status.get('state')}"


def _name(item: Mapping[str, Any]) -> str:
    return str(item["metadata"]["name"])


def _proportional(process: Path) -> float:
    for line in (process / "smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    return 0.0
