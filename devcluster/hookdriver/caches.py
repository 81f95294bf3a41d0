"""Informer-like caches: list, watch, hand every change to handlers. Each may lag behind by itself.

A lag delays everything that the API said, the first list included: with `--lag workers=3` the cache of workers
is always what the API held three seconds ago, while the others are up to date. That is what a loaded or freshly
restarted Metacontroller looks like, and what hooks must survive.
"""

import queue
import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import structlog

from devcluster.hookdriver.api import Api, Resource, Watch, error_of
from devcluster.hookdriver.errors import ApiError, Gone
from devcluster.hookdriver.objects import Object, version_of
from devcluster.hookdriver.store import Store

log = structlog.get_logger(component="caches")

WATCH_SECONDS = (300, 600)
# A watch that breaks off at once must not become a hot loop.
SHORTEST_WATCH = 1.0
SHORTEST_BACKOFF, LONGEST_BACKOFF = 0.2, 10.0


@dataclass(frozen=True)
class Handlers:
    """Who wants to know of changes; an update with one object twice is a resync."""

    added: Callable[[Object], None]
    updated: Callable[[Object, Object], None]
    deleted: Callable[[Object], None]


class Cache:
    """The cache of one resource, shared by all that subscribe to it."""

    def __init__(self, api: Api, resource: Resource, lag_seconds: float) -> None:
        self.resource = resource
        self.store = Store()
        self.synced = threading.Event()
        self._api, self._lag = api, lag_seconds
        self._handlers: list[Handlers] = []
        self._dispatching = threading.RLock()
        self._stopped = threading.Event()
        self._watch: Watch | None = None
        self._version = ""
        self._late: queue.SimpleQueue[tuple[float, Callable[[], None]]] = queue.SimpleQueue()

    def start(self) -> None:
        """Begin to list and watch."""
        self._thread(self._follow, "reflector")
        if self._lag > 0:
            self._thread(self._deliver_late, "lag")

    def stop(self) -> None:
        """End the watch and forget the handlers."""
        self._stopped.set()
        if self._watch is not None:
            self._watch.close()

    def subscribe(self, handlers: Handlers) -> None:
        """Add handlers; they are told of what is known already as if it were resynced."""
        with self._dispatching:
            self._handlers.append(handlers)
            self.resync(handlers)

    def unsubscribe(self, handlers: Handlers) -> None:
        """Remove handlers; none of them runs any more when this returns."""
        with self._dispatching:
            self._handlers.remove(handlers)

    def resync(self, handlers: Handlers) -> None:
        """Tell the handlers of every object as it is in the cache."""
        for obj in self.store.select():
            handlers.updated(obj, obj)

    def _thread(self, target: Callable[[], None], role: str) -> None:
        threading.Thread(target=target, name=f"{self.resource.name}-{role}", daemon=True).start()

    def _follow(self) -> None:
        failures = 0
        while not self._stopped.is_set():
            started = time.monotonic()
            try:
                if not self._version:
                    self._list()
                self._watch_once()
            except Gone:
                self._version = ""
            except ApiError as error:
                if not self._stopped.is_set():
                    log.warning("cache can't follow", resource=self.resource.name, error=str(error))
            failures = 0 if time.monotonic() - started > SHORTEST_WATCH else failures + 1
            if failures:
                delay = min(LONGEST_BACKOFF, SHORTEST_BACKOFF * 2 ** min(failures, 10))
                self._stopped.wait(delay * random.uniform(0.5, 1))  # noqa: S311  # jitter, not a secret

    def _list(self) -> None:
        listed = self._api.get(self.resource.path())
        objects = [self._complete(item) for item in listed.get("items") or []]
        self._hand_over(partial(self._replace, objects))
        self._version = version_of(listed)

    def _watch_once(self) -> None:
        seconds = random.randint(*WATCH_SECONDS)  # noqa: S311  # so that caches don't reconnect all at once
        self._watch = watch = self._api.watch(self.resource.path(), self._version, seconds)
        if self._stopped.is_set():
            watch.close()
            return
        for kind, obj in watch:
            if kind == "ERROR":
                # Whatever it is, only a fresh list helps.
                error = error_of(obj)
                raise Gone(error.status, str(error))
            self._version = version_of(obj)
            if kind == "DELETED":
                self._hand_over(partial(self._remove, obj))
            elif kind != "BOOKMARK":
                self._hand_over(partial(self._put, obj))

    def _complete(self, item: Object) -> Object:
        """Return a listed item with its kind, which lists of built-in kinds leave out."""
        kind = self.resource.kind
        return {"apiVersion": kind.api_version, "kind": kind.kind, **item}

    def _hand_over(self, change: Callable[[], None]) -> None:
        if self._lag > 0:
            self._late.put((time.monotonic() + self._lag, change))
        else:
            change()

    def _deliver_late(self) -> None:
        while not self._stopped.is_set():
            due, change = self._late.get()
            if not self._stopped.wait(max(0.0, due - time.monotonic())):
                change()

    def _replace(self, objects: list[Object]) -> None:
        for gone in self.store.missing_from(objects):
            self._remove(gone)
        for obj in objects:
            self._put(obj)
        self.synced.set()

    def _put(self, obj: Object) -> None:
        old = self.store.put(obj)
        with self._dispatching:
            for handlers in self._handlers:
                if old is None:
                    handlers.added(obj)
                else:
                    handlers.updated(old, obj)

    def _remove(self, obj: Object) -> None:
        self.store.remove(obj)
        with self._dispatching:
            for handlers in self._handlers:
                handlers.deleted(obj)


class Caches:
    """All caches, one for each resource, kept while somebody uses them."""

    def __init__(self, api: Api, lags: Mapping[str, float]) -> None:
        self._api, self._lags = api, lags
        self._lock = threading.Lock()
        self._caches: dict[Resource, tuple[Cache, int]] = {}

    def acquire(self, resource: Resource) -> Cache:
        """Return the cache of a resource, started; pair with release."""
        with self._lock:
            cache, users = self._caches.get(resource, (None, 0))
            if cache is None:
                cache = Cache(self._api, resource, self._lag_of(resource))
                cache.start()
            self._caches[resource] = (cache, users + 1)
            return cache

    def release(self, cache: Cache) -> None:
        """Give a cache back; the last user's stops it."""
        with self._lock:
            _, users = self._caches[cache.resource]
            if users > 1:
                self._caches[cache.resource] = (cache, users - 1)
                return
            del self._caches[cache.resource]
        cache.stop()

    def _lag_of(self, resource: Resource) -> float:
        qualified = f"{resource.name}.{resource.kind.group}"
        return self._lags.get(qualified, self._lags.get(resource.name, 0.0))
