"""The finalizer that gives a controller the chance to clean up after its parents."""

from devcluster.hookdriver.api import Api, Resource
from devcluster.hookdriver.objects import Object, finalizers_of, is_terminating, with_metadata

# With one of these on the parent, the garbage collector deletes or orphans its children itself.
_COLLECTORS = frozenset({"foregroundDeletion", "orphan"})


class Finalizer:
    """One controller's finalizer; wanted on its parents only while it has a finalize hook."""

    def __init__(self, api: Api, name: str, *, wanted: bool) -> None:
        self._api, self.name, self._wanted = api, name, wanted

    def on(self, parent: Object) -> bool:
        """Tell whether the parent carries it."""
        return self.name in finalizers_of(parent)

    def sync(self, resource: Resource, parent: Object) -> Object:
        """Add or remove it as needed; return the parent as it is now. The cached state is believed."""
        if self.on(parent) == self._wanted:
            return parent
        if not self._wanted:
            return self.remove(resource, parent)
        # A parent that is being deleted never gets it: it may have been removed a moment ago.
        return parent if is_terminating(parent) else self._api.atomic_update(resource, parent, self._with)

    def remove(self, resource: Resource, parent: Object) -> Object:
        """Remove it; return the parent as it is now."""
        return self._api.atomic_update(resource, parent, self._without)

    def allows_managing(self, parent: Object) -> bool:
        """Tell whether the children of this parent are still ours to write."""
        if not is_terminating(parent):
            return True
        if _COLLECTORS.intersection(finalizers_of(parent)):
            return False
        return self._wanted and self.on(parent)

    def _with(self, parent: Object) -> Object | None:
        if self.on(parent):
            return None
        return with_metadata(parent, finalizers=[*finalizers_of(parent), self.name])

    def _without(self, parent: Object) -> Object | None:
        if not self.on(parent):
            return None
        kept = [finalizer for finalizer in finalizers_of(parent) if finalizer != self.name]
        return with_metadata(parent, finalizers=kept)
