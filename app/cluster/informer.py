"""A cache of one kind of object that follows the API server: list in pages, then watch, for as long as the process lives.

Each namespace has one thread. It never dies of an error: whatever happens, it waits a jittered while and goes on where it
was, and ``on_change`` that raises is logged and counted. The cache is level-triggered help, not truth: decisions that must
not be wrong read the API itself.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable

from app.cluster.client import KubernetesApi
from app.cluster.objects import KubernetesObject, drop_managed_fields
from app.cluster.reflector import Reflector
from app.cluster.resources import Resource
from app.cluster.store import Change, Store

OnChange = Callable[[str, KubernetesObject | None, KubernetesObject | None], None]
"""Called with ADDED, MODIFIED or DELETED, the old object and the new one; one call at a time."""


class Informer:
    """``api`` to ask, ``resource`` to follow in ``namespaces`` (none named: in all), narrowed by ``label_selector``.

    ``on_change`` is called from the informer's threads, one call at a time, in the order of each object's history; it should
    hand work over and return. ``trim`` takes off what need not be kept and may change the object it is given.
    """

    def __init__(
        self,
        api: KubernetesApi,
        resource: Resource,
        namespaces: Iterable[str] = (),
        label_selector: str = "",
        on_change: OnChange | None = None,
        trim: Callable[[KubernetesObject], KubernetesObject] = drop_managed_fields,
    ) -> None:
        self.resource = resource
        self._store = Store(trim)
        self._on_change = on_change
        self._one_at_a_time = threading.RLock()
        scopes: list[str | None] = sorted(set(namespaces)) or [None]  # type: ignore[assignment]
        self._reflectors = [
            Reflector(api, resource, scope, label_selector, self._store, self._announce) for scope in scopes
        ]

    def start(self) -> None:
        """Start the threads and return at once; ``wait_synced`` waits for the first complete list."""
        for reflector in self._reflectors:
            reflector.start()

    def stop(self, deadline_seconds: float = 5.0) -> bool:
        """Close the watches and wait for the threads; False when one didn't end in time (it dies with the process)."""
        for reflector in self._reflectors:
            reflector.ask_to_stop()
        end = time.monotonic() + deadline_seconds
        return all(reflector.join(max(0.0, end - time.monotonic())) for reflector in self._reflectors)

    def get(self, namespace: str | None, name: str) -> KubernetesObject | None:
        """Return the newest known version of the object. It is shared: don't change it."""
        return self._store.get((namespace or "", name))

    def items(self) -> list[KubernetesObject]:
        """Return the newest known version of every object. They are shared: don't change them."""
        return self._store.items()

    def __len__(self) -> int:
        return len(self._store)

    def remember(self, item: KubernetesObject) -> None:
        """Make an object from the answer to a write readable at once, if it is newer than what is known.

        ``on_change`` is not called for it: that follows when the watch shows the write. Meant for objects that the label
        selector chooses; others are forgotten at the next sign of progress. ``item`` is trimmed in place.
        """
        self._store.remember(item)

    @property
    def synced(self) -> bool:
        """Whether every namespace has been listed completely once, those apart in which there is no right to."""
        return all(reflector.settled for reflector in self._reflectors)

    @property
    def refused(self) -> frozenset[str]:
        """The namespaces in which there is no right to list or watch."""
        return frozenset(
            reflector.namespace for reflector in self._reflectors if reflector.refused and reflector.namespace
        )

    def wait_synced(self, timeout_seconds: float) -> bool:
        """Wait until ``synced``; False when it took longer."""
        end = time.monotonic() + timeout_seconds
        return all(r.synced.wait(max(0.0, end - time.monotonic())) for r in self._reflectors)

    def silent_seconds(self) -> float:
        """Return the seconds since the quietest watch last heard from the server: about 60 at most while all is well."""
        now = time.monotonic()
        return max(now - reflector.heard_at for reflector in self._reflectors)

    @property
    def alive(self) -> bool:
        """Whether every thread runs."""
        return all(reflector.alive for reflector in self._reflectors)

    @property
    def errors(self) -> int:
        """How often listing or watching failed so far."""
        return sum(reflector.errors for reflector in self._reflectors)

    @property
    def callback_errors(self) -> int:
        """How often ``on_change`` raised so far."""
        return sum(reflector.callback_errors for reflector in self._reflectors)

    def _announce(self, change: Change) -> None:
        if self._on_change is not None:
            with self._one_at_a_time:
                self._on_change(change.type, change.old, change.new)
