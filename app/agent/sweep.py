"""Deletes the settings revisions that no run refers to any more.

Run Secrets need no sweep of their own: each is deleted by name at its verdict, at a rejection, or when its claim is
tried again, and the operator may not list Secrets.
"""

import contextlib
import datetime as dt
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import structlog

from app import vocabulary as words
from app.agent.decisions import revisions
from app.agent.effects import RevisionStore
from app.agent.pool_state import parse_pool
from app.agent.runtime import Clock, Cluster, Key
from app.agent.worker_state import parse_worker
from app.cluster.errors import Forbidden, NotFound
from app.cluster.resources import CONTROLLER_REVISIONS, WORKERS

_log = structlog.get_logger(__name__)


def sweep_revisions(
    cluster: Cluster,
    store: RevisionStore,
    namespaces: tuple[str, ...],
    clock: Clock,
    owns: Callable[[Key], bool] = lambda _pool: True,
) -> int:
    """Delete unused revisions of owned pools in the namespaces served; return how many went."""
    found: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for namespace in namespaces or (None,):
        try:
            listing = cluster.api.list(CONTROLLER_REVISIONS, namespace, words.POOL_LABEL)
        except Forbidden:
            # A namespace without the grant, which its pools are told of; the others are swept all the same.
            continue
        for item in listing.items:
            data = item.get("data")
            pool = data.get("pool") if isinstance(data, dict) else None
            if isinstance(pool, dict):
                found[item["metadata"]["namespace"], str(pool.get("name"))].append(item)
    return sum(
        _sweep_pool(cluster, store, namespace, name, items, clock)
        for (namespace, name), items in found.items()
        if owns((namespace, name))
    )


def _sweep_pool(
    cluster: Cluster,
    store: RevisionStore,
    namespace: str,
    name: str,
    items: list[dict[str, Any]],
    clock: Clock,
) -> int:
    pool = cluster.pools.get(namespace, name)
    current = store.current(parse_pool(pool)) if pool is not None else None
    if pool is not None and current is None:
        return 0
    ages = {item["metadata"]["name"]: _age(item, clock.now()) for item in items}
    if not revisions.unused(ages, (), current):
        return 0
    # Only now is it worth asking the API server itself which revisions runs refer to.
    ulids = {item["metadata"]["labels"][words.POOL_LABEL] for item in items}
    referred: set[str] = set()
    for ulid in ulids:
        workers = cluster.api.list(WORKERS, namespace, f"{words.POOL_LABEL}={ulid}").items
        views = [parse_worker(worker) for worker in workers]
        if not all(view.understood for view in views):
            return 0
        referred |= {view.run.settings for view in views if view.run}
    gone = 0
    for revision in sorted(revisions.unused(ages, referred, current)):
        if store.claim_for_deletion(namespace, revision, clock.monotonic()):
            with contextlib.suppress(NotFound):
                cluster.api.delete(CONTROLLER_REVISIONS, namespace, revision)
                gone += 1
            _log.info("settings_revision_deleted", namespace=namespace, name=revision)
    return gone


def _age(item: dict[str, Any], now: dt.datetime) -> float:
    created = item["metadata"].get("creationTimestamp")
    return (now - dt.datetime.fromisoformat(created)).total_seconds() if created else 0.0
