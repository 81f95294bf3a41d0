"""CompositeController: parents whose hook says which children they have and what their status is.

The sharp edges that hooks must live with: the parent's whole status is replaced after a fresh read, so nobody
else's words in it survive; children are written before the status; a status conflict, or a parent that is gone,
swallows the error of the children.
"""

from devcluster.hookdriver.claims import Claim, adopted, claim, released
from devcluster.hookdriver.config import ControllerConfig
from devcluster.hookdriver.controller import Controller, Runtime
from devcluster.hookdriver.errors import ApiError, ConfigError, Conflict, Gone, NotFound, SyncError
from devcluster.hookdriver.objects import (
    Object,
    ObjectMap,
    controller_of,
    describe,
    generation_of,
    grouped,
    identical,
    is_terminating,
    kind_of,
    labels_of,
    namespace_of,
    qualified_name,
    uid_of,
    with_metadata,
)
from devcluster.hookdriver.selectors import Requirement, Selector, parse_selector

CONTROLLER_UID = "controller-uid"
_STATUS = "status"


class CompositeController(Controller):
    """One CompositeController at work."""

    def __init__(self, config: ControllerConfig, runtime: Runtime) -> None:
        rule = config.parents[0]
        parent = runtime.discovery.by_name(rule.api_version, rule.resource)
        _check_parent_crd(runtime, parent.kind.group, rule.resource)
        if _STATUS not in parent.subresources:
            raise ConfigError(f"{rule.resource} has no status subresource")
        super().__init__(config, runtime)

    def reconcile(self, parent: Object) -> None:
        """Claim, ask, write the children, replace the status; in this order."""
        if not self.concerns(parent):
            return
        parent = self.finalizer.sync(self.resource_of(parent), parent)
        if not self.concerns(parent):
            return
        observed = self._claim_children(parent)
        related = self.customize.related_to(parent)
        response = self.call_hook(parent, observed, related)
        if response.resync_after_seconds > 0:
            self.enqueue_after(parent, response.resync_after_seconds)
        if response.finalized:
            parent = self.finalizer.remove(self.resource_of(parent), parent)
        desired = grouped(self._labelled(parent, child) for child in response.children)
        failure: SyncError | None = None
        try:
            self.manage(parent, observed, desired)
        except SyncError as error:
            failure = error
        try:
            self._replace_status(parent, response.status)
        except (NotFound, Conflict) as error:
            self.log.info("status not written", parent=describe(parent), error=str(error))
            return
        if failure is not None:
            raise failure

    def child_changed(self, child: Object) -> None:
        """Enqueue the child's parent, or whoever might adopt it when it has none."""
        if controller_of(child) is not None or is_terminating(child):
            super().child_changed(child)
            return
        for parent in self._all_parents():
            if self._might_adopt(parent, child):
                self.enqueue(parent)

    def _might_adopt(self, parent: Object, child: Object) -> bool:
        if self.resource_of(parent).namespaced and namespace_of(parent) != namespace_of(child):
            return False
        try:
            return self._selector(parent).matches(labels_of(child))
        except SyncError:
            return False

    def _selector(self, parent: Object) -> Selector:
        """Return what the parent's children must match: its own UID as a label, or its `.spec.selector`."""
        if self.config.generate_selector:
            return Selector((Requirement(CONTROLLER_UID, "In", frozenset([uid_of(parent)])),))
        try:
            selector = parse_selector((parent.get("spec") or {}).get("selector"))
        except (ConfigError, AttributeError, TypeError) as error:
            raise SyncError(f"can't get label selector from {describe(parent)}: {error}") from error
        if selector.empty:
            raise SyncError(".spec.selector must have either matchLabels, matchExpressions, or both")
        return selector

    def _labelled(self, parent: Object, child: Object) -> Object:
        """Return the desired child with the generated label; refuse one that would be an orphan at once."""
        labels = labels_of(child)
        if self.config.generate_selector and CONTROLLER_UID not in labels:
            labels = {**labels, CONTROLLER_UID: uid_of(parent)}
            child = with_metadata(child, labels=labels)
        if not self._selector(parent).matches(labels):
            raise SyncError(f"labels on desired child {describe(child)} don't match parent selector")
        return child

    def _claim_children(self, parent: Object) -> ObjectMap:
        """Return the parent's children as cached, after adopting and releasing what its selector says."""
        selector = self._selector(parent)
        errors: list[str] = []
        claimed: ObjectMap = {}
        for cache in self.children:
            group = claimed.setdefault(cache.resource.kind, {})
            owned = cache.store.owned_by(uid_of(parent), namespace_of(parent))
            for child in [*owned, *cache.store.owned_by("", namespace_of(parent))]:
                try:
                    if self._claim(parent, child, selector):
                        group[qualified_name(child)] = child
                except SyncError as error:
                    errors.append(f"can't claim {describe(child)}: {error}")
        if errors:
            raise SyncError(", ".join(errors))
        return claimed

    def _claim(self, parent: Object, child: Object, selector: Selector) -> bool:
        decision = claim(parent, child, selector)
        if decision in (Claim.KEEP, Claim.IGNORE):
            return decision is Claim.KEEP
        api, resource = self.runtime.api, self.runtime.discovery.by_kind(kind_of(child))
        try:
            if decision is Claim.RELEASE:
                self.log.info("releasing", parent=describe(parent), child=describe(child))
                api.atomic_update(resource, child, lambda current: released(current, parent))
                return False
            self._check_alive(parent)
            self.log.info("adopting", parent=describe(parent), child=describe(child))
            api.atomic_update(resource, child, lambda current: adopted(current, parent))
        except (NotFound, Gone):
            return False
        return True

    def _check_alive(self, parent: Object) -> None:
        """Refuse to adopt for a parent that the cache only believes to be there."""
        try:
            fresh = self.runtime.api.get(self.resource_of(parent).path_of(parent))
        except ApiError as error:
            raise SyncError(f"can't recheck {describe(parent)}: {error}") from error
        if uid_of(fresh) != uid_of(parent) or is_terminating(fresh):
            raise SyncError(f"{describe(parent)} has just been deleted")

    def _replace_status(self, parent: Object, status: Object | None) -> None:
        wanted = {**(status or {}), "observedGeneration": generation_of(parent)}

        def change(current: Object) -> Object | None:
            return None if identical(current.get(_STATUS), wanted) else {**current, _STATUS: wanted}

        self.runtime.api.atomic_update(self.resource_of(parent), parent, change, _STATUS)


def _check_parent_crd(runtime: Runtime, group: str, resource: str) -> None:
    """Refuse parents of built-in kinds, as Metacontroller does."""
    try:
        runtime.api.get(f"/apis/apiextensions.k8s.io/v1/customresourcedefinitions/{resource}.{group}")
    except NotFound as error:
        raise ConfigError(f"the parent resource {resource} has no CustomResourceDefinition") from error
