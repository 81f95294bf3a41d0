"""The immutable revisions that freeze a pool's Pod settings for the runs scheduled under them; pure.

A run refers to its settings by name only, so that a thousand busy Workers don't carry them through every pool
sync. The name holds the hash of the content: equal settings are one object, changed settings are another.
"""

import hashlib
from collections.abc import Collection, Mapping
from typing import Any

import orjson

from app import vocabulary as words
from app.agent.pool_state import PoolView

HASH_DIGITS = 10
"""Hex digits of the content's hash in a revision's name."""

MIN_AGE = 600.0
"""Seconds a revision lives at least: a claim that is under way may be about to refer to it."""


def revision_data(pool: PoolView, *, native_sidecars: bool = False) -> dict[str, Any]:
    """Return what a revision holds: the pool's settings, whose they are, and what the cluster can do."""
    return {
        "pod": pool.pod,
        "pool": {"name": pool.name, "uid": pool.uid},
        "cluster": {"nativeSidecars": native_sidecars},
    }


def revision_name(pool: PoolView, *, native_sidecars: bool = False) -> str:
    """Return the name of the revision that holds the pool's current settings."""
    data = revision_data(pool, native_sidecars=native_sidecars)
    content = orjson.dumps(data, option=orjson.OPT_SORT_KEYS)
    return f"{pool.name}-{hashlib.sha256(content).hexdigest()[:HASH_DIGITS]}"


def revision_body(pool: PoolView, pool_ulid: str, *, native_sidecars: bool = False) -> dict[str, Any]:
    """Return the ControllerRevision of the pool's current settings.

    It has no owner: foreground deletion of the pool would take it from under a run.
    """
    return {
        "apiVersion": words.SETTINGS_API_VERSION,
        "kind": words.SETTINGS_KIND,
        "metadata": {
            "name": revision_name(pool, native_sidecars=native_sidecars),
            "namespace": pool.namespace,
            "labels": {words.POOL_LABEL: pool_ulid},
        },
        "data": revision_data(pool, native_sidecars=native_sidecars),
        "revision": 1,
    }


def unused(ages: Mapping[str, float], referred: Collection[str], current: str | None) -> set[str]:
    """Return the names of the revisions to delete: no run refers to them and they are not the pool's current one."""
    return {name for name, age in ages.items() if name not in referred and name != current and age >= MIN_AGE}
