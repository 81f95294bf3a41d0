"""What an informer knows: the objects that the watch showed, and newer ones that we wrote and it has not shown yet.

No thread and no I/O: the informer feeds it. Readers get our own writes at once (``remember``), while the stream of
changes stays exactly the server's, so that whoever keeps an index by changes misses none.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from app.cluster.objects import Key, KubernetesObject, key_of, version_of


@dataclass(frozen=True, slots=True)
class Change:
    """One step of the observed history: ``old`` None when it appeared, ``new`` None when it went."""

    type: str
    old: KubernetesObject | None
    new: KubernetesObject | None


class Store:
    """Thread-safe. Objects that were handed out are shared: nobody changes them."""

    def __init__(self, trim: Callable[[KubernetesObject], KubernetesObject]) -> None:
        self._trim = trim
        self._lock = threading.Lock()
        self._observed: dict[Key, KubernetesObject] = {}
        self._written: dict[Key, KubernetesObject] = {}

    def get(self, key: Key) -> KubernetesObject | None:
        """Return the newest version that we know."""
        with self._lock:
            return self._written.get(key) or self._observed.get(key)

    def items(self) -> list[KubernetesObject]:
        """Return the newest known version of every object."""
        with self._lock:
            if not self._written:
                return list(self._observed.values())
            return list({**self._observed, **self._written}.values())

    def __len__(self) -> int:
        with self._lock:
            return len(self._observed.keys() | self._written.keys())

    def remember(self, item: KubernetesObject) -> None:
        """Keep an object that the API server answered a write with, until the watch has caught up with it."""
        key, version = key_of(item), version_of(item)
        with self._lock:
            known = self._written.get(key) or self._observed.get(key)
            if known is None or version > version_of(known):
                self._written[key] = self._trim(item)

    def listed(self, item: KubernetesObject) -> Change | None:
        """Take one object of a fresh list; None when that version is known.

        A list is believed even where its version is lower: after a restore of etcd all of them are.
        """
        key, version = key_of(item), version_of(item)
        with self._lock:
            old = self._observed.get(key)
            if old is not None and version == version_of(old):
                return None
            return self._keep(key, version, old, item)

    def observe(self, kind: str, item: KubernetesObject) -> Change | None:
        """Take one event of the watch; None when it says nothing new (the server repeats itself after a reconnect)."""
        key, version = key_of(item), version_of(item)
        with self._lock:
            old = self._observed.get(key)
            if old is not None and version <= version_of(old):
                return None
            if kind != "DELETED":
                return self._keep(key, version, old, item)
            self._forget_written(key, version)
            return Change(kind, self._observed.pop(key), None) if old is not None else None

    def passed(self, version: int, in_scope: Callable[[Key], bool]) -> None:
        """Learn that the watch has shown everything up to ``version``: what we wrote before, it will never show."""
        with self._lock:
            if self._written:
                for key in [key for key in self._written if in_scope(key)]:
                    self._forget_written(key, version)

    def vanished(self, seen: set[Key], version: int, in_scope: Callable[[Key], bool]) -> list[Change]:
        """Take off what a complete list of the scope at ``version`` did not hold."""
        with self._lock:
            gone = [key for key in self._observed if in_scope(key) and key not in seen]
            changes = [Change("DELETED", self._observed.pop(key), None) for key in gone]
            for key in [key for key in self._written if in_scope(key) and key not in seen]:
                self._forget_written(key, version)
        return changes

    def _keep(self, key: Key, version: int, old: KubernetesObject | None, item: KubernetesObject) -> Change:
        self._forget_written(key, version)
        self._observed[key] = new = self._trim(item)
        return Change("MODIFIED" if old is not None else "ADDED", old, new)

    def _forget_written(self, key: Key, version: int) -> None:
        written = self._written.get(key)
        if written is not None and version_of(written) <= version:
            del self._written[key]
