"""Keeps threads from writing for a pool that this process doesn't work on any more.

Work begins only when the pool is owned; between that and a write anything may happen: a pause of the process, a call
that hangs. So each write asks again. What slips through all the same is fenced by resourceVersion, UID and grant.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from app.agent.runtime import Api, Events, Key
from app.cluster.objects import KubernetesObject
from app.cluster.resources import Resource


class LostPoolError(Exception):
    """The pool that a thread works on belongs to another replica now."""


class Guard:
    """Knows which pool each thread works on."""

    def __init__(self, owns: Callable[[Key], bool]) -> None:
        self.owns = owns
        self._here = threading.local()

    @contextmanager
    def working_on(self, pool: Key) -> Iterator[None]:
        """Let the writes of this thread count as writes for `pool`."""
        former = getattr(self._here, "pool", None)
        self._here.pool = pool
        try:
            yield
        finally:
            self._here.pool = former

    def allowed(self) -> bool:
        """Return whether this thread may write: what it works on, if that is a pool, is owned."""
        pool: Key | None = getattr(self._here, "pool", None)
        return pool is None or self.owns(pool)

    def check(self) -> None:
        """Raise LostPoolError when this thread may not write."""
        if not self.allowed():
            raise LostPoolError(f"{'/'.join(self._here.pool)} belongs to another replica")


class GuardedApi:
    """The API, which a thread reads at any time, and writes only while it owns what it works on."""

    def __init__(self, api: Api, guard: Guard) -> None:
        self._api, self._guard = api, guard

    def get(self, resource: Resource, namespace: str | None, name: str) -> KubernetesObject:
        """Return the object as it is now."""
        return self._api.get(resource, namespace, name)

    def list(
        self, resource: Resource, namespace: str | None, label_selector: str = "", field_selector: str = ""
    ) -> Any:  # noqa: ANN401 - as the Api protocol has it
        """Return a listing with `items`."""
        return self._api.list(resource, namespace, label_selector, field_selector)

    def create(
        self, resource: Resource, namespace: str | None, body: KubernetesObject, dry_run: bool = False
    ) -> KubernetesObject:
        """Create the object; raise LostPoolError instead when the pool isn't ours."""
        self._guard.check()
        return self._api.create(resource, namespace, body, dry_run)

    def merge_patch(
        self,
        resource: Resource,
        namespace: str | None,
        name: str,
        patch: dict[str, Any],
        subresource: str | None = None,
    ) -> KubernetesObject:
        """Apply a merge patch; raise LostPoolError instead when the pool isn't ours."""
        self._guard.check()
        return self._api.merge_patch(resource, namespace, name, patch, subresource)

    def delete(
        self, resource: Resource, namespace: str | None, name: str, uid: str | None = None
    ) -> KubernetesObject:
        """Delete the object; raise LostPoolError instead when the pool isn't ours."""
        self._guard.check()
        return self._api.delete(resource, namespace, name, uid)


class GuardedEvents:
    """The Event recorder, which says nothing about a pool that isn't ours."""

    def __init__(self, events: Events, guard: Guard) -> None:
        self._events, self._guard = events, guard

    def emit(self, reference_object: KubernetesObject, type: str, reason: str, message: str) -> None:  # noqa: A002
        """Record an Event, unless the pool isn't ours."""
        if self._guard.allowed():
            self._events.emit(reference_object, type, reason, message)
