"""Caches against a real API server: each lags by itself, and lists and watches alike."""

import time
from collections.abc import Callable, Iterator

import pytest

from devcluster.hookdriver.api import Api, Discovery
from devcluster.hookdriver.caches import Cache, Caches, Handlers
from devcluster.hookdriver.errors import AlreadyExists
from tests.integration.hookdriver.world import GROUP, wait_for

pytestmark = pytest.mark.e2e

LAG_SECONDS = 1.5
NAMESPACE = "fidelity-caches"


@pytest.fixture
def namespace(api: Api) -> Iterator[str]:
    """Make a namespace of this test's own."""

    def make() -> bool:
        try:
            api.create("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}})
        except AlreadyExists:
            return False
        return True

    wait_for(make, "the namespace of an earlier run is gone")
    yield NAMESPACE
    api.delete(f"/api/v1/namespaces/{NAMESPACE}", {})


def seconds_until(condition: Callable[[], bool]) -> float:
    """Return how long it took until the condition held."""
    started = time.monotonic()
    wait_for(condition, "the cache knows")
    return time.monotonic() - started


def filled(cache: Cache) -> float:
    """Return how long it took to fill the cache."""
    return seconds_until(cache.synced.is_set)


def test_each_cache_lags_by_itself(api: Api, namespace: str) -> None:
    """What one cache knows at once, the other knows after its lag, from the first list to the last event."""
    discovery, caches = Discovery(api), Caches(api, {"items.fidelity.example.com": LAG_SECONDS})
    prompt = caches.acquire(discovery.by_name(GROUP, "pools"))
    late = caches.acquire(discovery.by_name(GROUP, "items"))
    try:
        assert filled(prompt) < LAG_SECONDS
        assert filled(late) > LAG_SECONDS / 2
        for kind, plural in (("Pool", "pools"), ("Item", "items")):
            path = f"/apis/{GROUP}/namespaces/{namespace}/{plural}"
            api.create(path, {"apiVersion": GROUP, "kind": kind, "metadata": {"name": "one"}})
        assert seconds_until(lambda: prompt.store.get(namespace, "one") is not None) < LAG_SECONDS / 2
        assert late.store.get(namespace, "one") is None
        assert seconds_until(lambda: late.store.get(namespace, "one") is not None) > LAG_SECONDS / 2
    finally:
        caches.release(prompt)
        caches.release(late)


def test_a_late_subscriber_is_told_what_is_known(api: Api, namespace: str) -> None:
    """As a resync: the same object as old and as new."""
    path = f"/apis/{GROUP}/namespaces/{namespace}/pools"
    api.create(path, {"apiVersion": GROUP, "kind": "Pool", "metadata": {"name": "two"}})
    caches = Caches(api, {})
    cache = caches.acquire(Discovery(api).by_name(GROUP, "pools"))
    told: list[bool] = []
    try:
        wait_for(lambda: cache.store.get(namespace, "two") is not None, "the cache is filled")
        cache.subscribe(Handlers(lambda _: None, lambda old, new: told.append(old is new), lambda _: None))
        assert told
        assert all(told)
    finally:
        caches.release(cache)
