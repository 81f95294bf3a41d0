"""DecoratorController: existing objects of any kind, given attachments, labels, annotations and perhaps a status.

The sharp edges: without a status in the hook's answer the parent's is left alone; changes of the parent are
written with the cached resourceVersion, and a conflict ends the sync silently, before the attachments; nothing is
ever adopted.
"""

from collections.abc import Mapping

from devcluster.hookdriver.contract import HookResponse
from devcluster.hookdriver.controller import Controller
from devcluster.hookdriver.errors import Conflict, NotFound, SyncError
from devcluster.hookdriver.objects import (
    Object,
    ObjectMap,
    annotations_of,
    describe,
    finalizers_of,
    grouped,
    identical,
    labels_of,
    namespace_of,
    qualified_name,
    uid_of,
    version_of,
    with_metadata,
)

DECORATED_BY = "metacontroller.k8s.io/decorator-controller"
_STATUS = "status"


class DecoratorController(Controller):
    """One DecoratorController at work."""

    def reconcile(self, parent: Object) -> None:
        """Ask, change the parent, write the attachments; in this order."""
        if not self.concerns(parent):
            return
        parent = self.finalizer.sync(self.resource_of(parent), parent)
        if not self.concerns(parent):
            return
        observed = self._attachments(parent)
        related = self.customize.related_to(parent)
        response = self.call_hook(parent, observed, related)
        if response.resync_after_seconds > 0:
            self.enqueue_after(parent, response.resync_after_seconds)
        try:
            self._change(parent, response)
        except (NotFound, Conflict) as error:
            self.log.info("parent changed meanwhile", parent=describe(parent), error=str(error))
            return
        # The parent as it was before the changes decides whether its attachments may still be written.
        self.manage(parent, observed, grouped(self._marked(child) for child in response.children))

    def _attachments(self, parent: Object) -> ObjectMap:
        """Return what this decorator made for the parent, and nothing that others did."""
        observed: ObjectMap = {}
        for cache in self.children:
            group = observed.setdefault(cache.resource.kind, {})
            for child in cache.store.owned_by(uid_of(parent), namespace_of(parent)):
                if annotations_of(child).get(DECORATED_BY) == self.config.name:
                    group[qualified_name(child)] = child
        return observed

    def _marked(self, child: Object) -> Object:
        return with_metadata(child, annotations={**annotations_of(child), DECORATED_BY: self.config.name})

    def _change(self, parent: Object, response: HookResponse) -> None:
        """Write labels, annotations, status and finalizer of the parent, if anything differs."""
        labels = overlaid(labels_of(parent), response.labels)
        annotations = overlaid(annotations_of(parent), response.annotations)
        status = parent.get(_STATUS)
        if status is not None and not isinstance(status, dict):
            raise SyncError(f"the status of {describe(parent)} is no object")
        wanted = status if response.status is None else response.status
        status_changed = not identical(status, wanted)
        releasing = response.finalized and self.finalizer.on(parent)
        if not (
            labels != labels_of(parent)
            or annotations != annotations_of(parent)
            or status_changed
            or releasing
        ):
            return
        changed = with_metadata(parent, labels=labels, annotations=annotations)
        if wanted is not None:
            changed[_STATUS] = wanted
        api, resource = self.runtime.api, self.resource_of(parent)
        if status_changed and _STATUS in resource.subresources:
            written = api.update(resource.path_of(parent, _STATUS), changed)
            changed = with_metadata(changed, resourceVersion=version_of(written))
        if response.finalized:
            kept = [name for name in finalizers_of(changed) if name != self.finalizer.name]
            changed = with_metadata(changed, finalizers=kept)
        api.update(resource.path_of(parent), changed)


def overlaid(current: Mapping[str, str], changes: Mapping[str, str | None]) -> dict[str, str]:
    """Return the strings with the changes; None takes one out."""
    merged = {**current, **changes}
    return {name: value for name, value in merged.items() if value is not None}
