"""Our own hooks, recordings and rules, put together for a replay."""

from __future__ import annotations

from pathlib import Path

import orjson

from app.contract.requests import parse_composite, parse_decorator
from app.reconcile import worker as worker_hooks
from app.reconcile import workerpool as pool_hooks
from app.vocabulary import (
    CONTROLLER_REVISION_GROUP,
    POD_GROUP,
    WORKER_GROUP,
    WORKER_KIND,
    WORKER_POOL_KIND,
)
from tests.replay.history import History, histories
from tests.replay.pool_rules import PoolRules
from tests.replay.recording import Json, Recording
from tests.replay.travel import Report, travel
from tests.replay.worker_rules import WorkerRules

RECORDINGS = Path(__file__).parent / "recordings"


def recordings() -> dict[str, Recording]:
    """Return the committed recordings by name."""
    return {
        path.name.removesuffix(".json.gz"): Recording.load(path) for path in sorted(RECORDINGS.glob("*.gz"))
    }


def worker_hook(body: Json) -> Json:
    """Answer as /sync/worker or /finalize/worker do."""
    request = parse_decorator(orjson.dumps(body), WORKER_KIND, POD_GROUP, CONTROLLER_REVISION_GROUP)
    hook = worker_hooks.finalize_worker if request.finalizing else worker_hooks.sync_worker
    return hook(request).to_json()


def pool_hook(body: Json) -> Json:
    """Answer as /sync/workerpool or /finalize/workerpool do."""
    request = parse_composite(orjson.dumps(body), WORKER_POOL_KIND, WORKER_GROUP)
    hook = pool_hooks.finalize_pool if request.finalizing else pool_hooks.sync_pool
    return hook(request).to_json()


def workers_of(recording: Recording) -> list[History]:
    """Return what happened to each Worker."""
    return histories(recording.calls, WORKER_KIND)


def pools_of(recording: Recording) -> list[History]:
    """Return what happened to each pool."""
    return histories(recording.calls, WORKER_POOL_KIND)


def replay(recording: Recording) -> Report:
    """Send all Workers and pools of a recording through time."""
    total = Report(0, [])
    for history in workers_of(recording):
        total = total.with_more(travel(history, worker_hook, WorkerRules()))
    for history in pools_of(recording):
        total = total.with_more(travel(history, pool_hook, PoolRules()))
    return total
