"""The contents of one cache: objects of one resource, indexed the ways that syncs look them up."""

import threading
from collections.abc import Iterable

from devcluster.hookdriver.objects import Object, controller_of, name_of, namespace_of

Key = tuple[str, str]


def key_of(obj: Object) -> Key:
    """Return namespace and name."""
    return namespace_of(obj), name_of(obj)


class Store:
    """Objects of one resource. What it hands out is shared and must not be changed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._objects: dict[Key, Object] = {}
        self._namespaces: dict[str, dict[Key, Object]] = {}
        self._owners: dict[str, dict[Key, Object]] = {}

    def put(self, obj: Object) -> Object | None:
        """Store an object; return the one it replaces."""
        with self._lock:
            old = self._take_out(key_of(obj))
            self._put_in(obj)
            return old

    def remove(self, obj: Object) -> Object | None:
        """Remove an object; return what was stored."""
        with self._lock:
            return self._take_out(key_of(obj))

    def get(self, namespace: str, name: str) -> Object | None:
        """Return one object."""
        with self._lock:
            return self._objects.get((namespace, name))

    def select(self, namespace: str = "") -> list[Object]:
        """Return all objects, or those of a namespace."""
        with self._lock:
            found = self._namespaces.get(namespace, {}) if namespace else self._objects
            return list(found.values())

    def owned_by(self, uid: str, namespace: str = "") -> list[Object]:
        """Return the objects that this UID controls; an empty UID: those that nobody controls."""
        with self._lock:
            found = list(self._owners.get(uid, {}).values())
        return [obj for obj in found if not namespace or namespace_of(obj) == namespace]

    def missing_from(self, objects: Iterable[Object]) -> list[Object]:
        """Return what is stored but not among the objects."""
        present = {key_of(obj) for obj in objects}
        with self._lock:
            return [obj for key, obj in self._objects.items() if key not in present]

    def _put_in(self, obj: Object) -> None:
        key = key_of(obj)
        self._objects[key] = obj
        self._namespaces.setdefault(key[0], {})[key] = obj
        self._owners.setdefault(_owner(obj), {})[key] = obj

    def _take_out(self, key: Key) -> Object | None:
        obj = self._objects.pop(key, None)
        if obj is not None:
            _discard(self._namespaces, key[0], key)
            _discard(self._owners, _owner(obj), key)
        return obj


def _owner(obj: Object) -> str:
    controller = controller_of(obj)
    return str(controller.get("uid", "")) if controller else ""


def _discard(index: dict[str, dict[Key, Object]], name: str, key: Key) -> None:
    index[name].pop(key, None)
    if not index[name]:
        del index[name]
