"""The thread that keeps one namespace of an informer's store in step with the API server."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import Final

import structlog

from app.cluster.client import WATCH_SECONDS, KubernetesApi
from app.cluster.errors import ApiError, Forbidden, Gone
from app.cluster.objects import Key, key_of, version_of
from app.cluster.resources import Resource
from app.cluster.store import Change, Store
from app.cluster.watching import Watch

FIRST_PAUSE_SECONDS: Final = 0.2
"""Pause after the first failure; doubles with each further one."""

LONGEST_PAUSE_SECONDS: Final = 15.0
"""A server that is back is noticed within this time; client-go waits up to 30."""

_log = structlog.get_logger(__name__)


class Reflector:
    """Lists and watches ``resource`` in ``namespace`` (None: everywhere) into ``store``; ``announce`` hears each change."""

    def __init__(
        self,
        api: KubernetesApi,
        resource: Resource,
        namespace: str | None,
        label_selector: str,
        store: Store,
        announce: Callable[[Change], None],
    ) -> None:
        self._api = api
        self._resource = resource
        self._namespace = namespace
        self._selector = label_selector
        self._store = store
        self._announce = announce
        self._stopping = threading.Event()
        self._watch: Watch | None = None
        self._heard_at = time.monotonic()
        self._version = ""
        self._failures = 0
        self.synced = threading.Event()
        self.refused = False
        self.errors = 0
        self.callback_errors = 0
        name = f"informer-{resource.plural}" + (f"-{namespace}" if namespace else "")
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._log = _log.bind(resource=str(resource), namespace=namespace)

    def start(self) -> None:
        """Start the thread."""
        self._heard_at = time.monotonic()
        self._thread.start()

    def ask_to_stop(self) -> None:
        """Tell the thread to end and wake it up."""
        self._stopping.set()
        watch = self._watch
        if watch is not None:
            watch.close()

    def join(self, timeout_seconds: float) -> bool:
        """Wait for the thread; True when it ended or never ran."""
        if self._thread.ident is not None:
            self._thread.join(timeout_seconds)
        return not self._thread.is_alive()

    @property
    def settled(self) -> bool:
        """Whether the collection was listed once, or can't be: in one of several namespaces, rights may be missing."""
        return self.synced.is_set() or self.refused

    @property
    def namespace(self) -> str | None:
        """The namespace, None for all."""
        return self._namespace

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    @property
    def heard_at(self) -> float:
        """When the server last sent anything (monotonic clock); before that, when the thread was started."""
        watch = self._watch
        return max(self._heard_at, watch.last_byte) if watch is not None else self._heard_at

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                if not self._version:
                    self._list()
                if self._version:
                    self._follow()
            except Gone:
                self._log.info("watch_expired", version=self._version)
                self._pause_after_failure(relist=True)
            except ApiError as error:
                self._failed(error)
            except Exception as error:  # noqa: BLE001 - a thread that ends would leave a cache that lies
                self._log.exception("informer_failed")
                self._failed(error, relist=True)

    def _list(self) -> None:
        """Bring the store to one moment of the collection's history, page by page, so that no copy of all is held."""
        seen: set[Key] = set()
        version = ""
        for page in self._api.pages(self._resource, self._namespace, self._selector):
            self._heard_at = time.monotonic()
            version = page.resource_version
            for item in page.items:
                seen.add(key_of(item))
                self._tell(self._store.listed(item))
            if self._stopping.is_set():
                return
        for change in self._store.vanished(seen, _number(version), self._in_scope):
            self._tell(change)
        self._version = version
        self.refused = False
        self.synced.set()

    def _follow(self) -> None:
        """Apply events until the server ends the watch, which is no failure."""
        # Spread over time, so that replicas and kinds don't all reconnect in one moment.
        seconds = int(WATCH_SECONDS * random.uniform(0.8, 1.2))  # noqa: S311 - jitter
        watch = self._api.watch(self._resource, self._namespace, self._version, self._selector, seconds)
        self._watch = watch
        opened = time.monotonic()
        try:
            if self._stopping.is_set():
                watch.close()
            for kind, item in watch:
                self._recovered()
                self._apply(kind, item)
        finally:
            self._heard_at = max(self._heard_at, watch.last_byte)
            self._watch = None
            watch.close()
        if time.monotonic() - opened < 1.0 and not self._stopping.is_set():
            # A server that ends every watch at once must not turn this thread into a load generator.
            self._pause_after_failure()

    def _apply(self, kind: str, item: dict[str, object]) -> None:
        if kind != "BOOKMARK":
            self._tell(self._store.observe(kind, item))
        version = version_of(item)
        if version:
            self._version = str(version)
            self._store.passed(version, self._in_scope)

    def _tell(self, change: Change | None) -> None:
        if change is None:
            return
        try:
            self._announce(change)
        except Exception:  # noqa: BLE001 - the caller's mistake must not stop the cache
            self.callback_errors += 1
            self._log.exception("on_change_failed", type=change.type)

    def _recovered(self) -> None:
        self.refused = False
        if self._failures:
            self._log.info("informer_connected", attempts=self._failures)
            self._failures = 0

    def _failed(self, error: Exception, *, relist: bool = False) -> None:
        self.errors += 1
        if isinstance(error, Forbidden) and self._namespace is not None:
            # The server is well: a missing grant in one namespace must not stop the work in the others.
            self.refused, self._heard_at = True, time.monotonic()
        # One line for each outage, not one for each attempt: the server may be away for an hour.
        if self._failures == 0 and not self._stopping.is_set():
            self._log.warning("informer_disconnected", error=str(error), error_type=type(error).__name__)
        asked = error.retry_after if isinstance(error, ApiError) else None
        self._pause_after_failure(relist=relist, at_least=asked or 0.0)

    def _pause_after_failure(self, *, relist: bool = False, at_least: float = 0.0) -> None:
        if relist:
            self._version = ""
        longest = min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2 ** min(self._failures, 10))
        self._failures += 1
        self._stopping.wait(max(at_least, random.uniform(longest / 2, longest)))  # noqa: S311 - jitter

    def _in_scope(self, key: Key) -> bool:
        return self._namespace is None or key[0] == self._namespace


def _number(version: str) -> int:
    return int(version) if version.isdigit() else 0
