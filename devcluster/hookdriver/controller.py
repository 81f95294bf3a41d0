"""What composite and decorator controllers have in common: caches, the queue, workers, hooks, writes."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import structlog

from devcluster.hookdriver.api import Api, Discovery, Resource
from devcluster.hookdriver.caches import Cache, Caches, Handlers
from devcluster.hookdriver.children import Method, Unchanged, plan
from devcluster.hookdriver.config import ControllerConfig, HookConfig, ParentRule
from devcluster.hookdriver.contract import HookResponse, parse_sync_response, sync_request
from devcluster.hookdriver.customize import Customize
from devcluster.hookdriver.endpoint import resolve
from devcluster.hookdriver.errors import DriverError, RelatedNotSynced, SyncError, TooManyRequests
from devcluster.hookdriver.events import Events
from devcluster.hookdriver.finalizer import Finalizer
from devcluster.hookdriver.manage import carry_out
from devcluster.hookdriver.objects import (
    Kind,
    Object,
    ObjectMap,
    annotations_of,
    controller_of,
    generation_of,
    group_of,
    is_terminating,
    kind_of,
    labels_of,
    name_of,
    namespace_of,
    uid_of,
    version_of,
)
from devcluster.hookdriver.webhook import Webhook
from devcluster.hookdriver.workqueue import WorkQueue


@dataclass(frozen=True)
class Runtime:
    """What all controllers of one driver share."""

    api: Api
    discovery: Discovery
    caches: Caches
    events: Events
    workers: int
    relist_seconds: float
    services: Mapping[str, str] = field(default_factory=dict)


class ParentKey(NamedTuple):
    """One parent in the work queue."""

    kind: Kind
    namespace: str
    name: str


class ParentKind(NamedTuple):
    """One kind of parents: the rule that names it and where it is cached."""

    rule: ParentRule
    resource: Resource
    cache: Cache


class Controller(ABC):
    """One running controller object."""

    def __init__(self, config: ControllerConfig, runtime: Runtime) -> None:
        self.config, self.runtime = config, runtime
        self.log = structlog.get_logger(component=config.kind, controller=config.name)
        find = runtime.discovery.by_name
        parents = [(rule, find(rule.api_version, rule.resource)) for rule in config.parents]
        children = [(rule, find(rule.api_version, rule.resource)) for rule in config.children]
        self.methods = {(res.kind.group, res.kind.kind): rule.method for rule, res in children}
        endpoints = {
            hook: resolve(runtime.api, hook)
            for hook in (config.sync, config.finalize, config.customize)
            if hook
        }
        # Nothing may fail from here on: caches that were acquired must be given back.
        acquire = runtime.caches.acquire
        self.parents = {
            (res.kind.group, res.kind.kind): ParentKind(rule, res, acquire(res)) for rule, res in parents
        }
        self.children = [acquire(res) for _, res in children]
        self.queue: WorkQueue[ParentKey] = WorkQueue(config.name)
        self.finalizer = Finalizer(runtime.api, config.finalizer, wanted=config.finalize is not None)
        webhooks = {
            hook: Webhook(hook, runtime.workers, endpoint, runtime.services)
            for hook, endpoint in endpoints.items()
        }
        self.hooks = {hook: webhooks[hook] for hook in (config.sync, config.finalize) if hook}
        customize = webhooks[config.customize] if config.customize else None
        self.customize = Customize(
            config, runtime.discovery, runtime.caches, customize, self._all_parents, self.enqueue
        )
        self._unchanged: dict[str, Unchanged] = {}
        self._stopped = threading.Event()
        self._parent_handlers = Handlers(self.enqueue, self._parent_updated, self.enqueue)
        self._child_handlers = Handlers(self.child_changed, self._child_updated, self.child_deleted)

    @abstractmethod
    def reconcile(self, parent: Object) -> None:
        """Bring the world closer to what the hook wants for this parent."""

    def start(self) -> None:
        """Begin to work; nothing is synced before all caches are filled."""
        for parent in self.parents.values():
            parent.cache.subscribe(self._parent_handlers)
        for cache in self.children:
            cache.subscribe(self._child_handlers)
        self._thread(self._run_workers, "start")
        self._thread(self._resync_periodically, "resync")

    def stop(self) -> None:
        """Stop working; a sync that runs ends by itself."""
        self._stopped.set()
        self.queue.close()
        for parent in self.parents.values():
            parent.cache.unsubscribe(self._parent_handlers)
            self.runtime.caches.release(parent.cache)
        for cache in self.children:
            cache.unsubscribe(self._child_handlers)
            self.runtime.caches.release(cache)
        self.customize.stop()

    # -- events ---------------------------------------------------------------------------------------------

    def enqueue(self, parent: Object) -> None:
        """Ask for a sync of the parent, if this controller cares about it."""
        if self.concerns(parent):
            self.queue.add(ParentKey(kind_of(parent), namespace_of(parent), name_of(parent)))

    def enqueue_after(self, parent: Object, seconds: float) -> None:
        """Ask for a sync of the parent in some time."""
        self.queue.add_after(ParentKey(kind_of(parent), namespace_of(parent), name_of(parent)), seconds)

    def child_changed(self, child: Object) -> None:
        """Enqueue the parent of a child that was created or changed."""
        owner = controller_of(child)
        parent = self._resolve(owner, namespace_of(child)) if owner else None
        if parent is not None:
            self.enqueue(parent)

    def child_deleted(self, child: Object) -> None:
        """Enqueue the parent of a child that is gone or going."""
        Controller.child_changed(self, child)

    def _child_updated(self, old: Object, new: Object) -> None:
        if version_of(old) != version_of(new):
            self.child_changed(new)

    def _parent_updated(self, old: Object, new: Object) -> None:
        kind = kind_of(new)
        rule = self.parents[kind.group, kind.kind].rule
        # One object twice is a resync, which always counts.
        if rule.ignore_status_changes and old is not new and not is_terminating(new):
            watched = (generation_of, labels_of, annotations_of)
            if all(read(old) == read(new) for read in watched):
                return
        self.enqueue(new)

    def _resolve(self, owner: Object, namespace: str) -> Object | None:
        """Return the cached parent that an owner reference means, if it is one of ours."""
        kind = self.parents.get((group_of(str(owner.get("apiVersion", ""))), str(owner.get("kind"))))
        if kind is None:
            return None
        scope = namespace if kind.resource.namespaced else ""
        parent = kind.cache.store.get(scope, str(owner.get("name")))
        if parent is None or uid_of(parent) != owner.get("uid") or not self.concerns(parent):
            return None
        return parent

    def _all_parents(self) -> list[Object]:
        return [parent for kind in self.parents.values() for parent in kind.cache.store.select()]

    # -- selection ------------------------------------------------------------------------------------------

    def matches(self, parent: Object) -> bool:
        """Tell whether the controller's selectors choose this parent."""
        kind = kind_of(parent)
        known = self.parents.get((kind.group, kind.kind))
        if known is None:
            return False
        rule = known.rule
        return rule.labels.matches(labels_of(parent)) and rule.annotations.matches(annotations_of(parent))

    def concerns(self, parent: Object) -> bool:
        """Tell whether there is anything to do: it matches, or still carries the finalizer."""
        return self.finalizer.on(parent) or self.matches(parent)

    def resource_of(self, parent: Object) -> Resource:
        """Return the resource of a parent."""
        kind = kind_of(parent)
        return self.parents[kind.group, kind.kind].resource

    # -- syncing --------------------------------------------------------------------------------------------

    def call_hook(self, parent: Object, observed: ObjectMap, related: ObjectMap) -> HookResponse:
        """Ask the finalize hook about a parent that is leaving, the sync hook about any other."""
        leaving = is_terminating(parent) or not self.matches(parent)
        finalizing = self.config.finalize is not None and leaving
        hook: HookConfig | None = self.config.finalize if finalizing else self.config.sync
        if hook is None:
            raise SyncError("no enabled hook found")
        request = sync_request(
            self.config, parent, observed, related, finalizing=finalizing, version=hook.version
        )
        body = self.hooks[hook].call(request)
        return parse_sync_response(body, self.config, parent, strict=hook.strict)

    def manage(self, parent: Object, observed: ObjectMap, desired: ObjectMap) -> None:
        """Write the children, unless they are the garbage collector's by now."""
        if not self.finalizer.allows_managing(parent):
            return
        unchanged = self._unchanged.setdefault(uid_of(parent), Unchanged())
        result = plan(parent, observed, desired, self._method, unchanged)
        carry_out(result, parent, self.runtime.api, self.runtime.discovery)

    def _method(self, kind: Kind) -> Method:
        return self.methods.get((kind.group, kind.kind), Method.ON_DELETE)

    # -- threads --------------------------------------------------------------------------------------------

    def _thread(self, target: Callable[[], None], role: str) -> None:
        threading.Thread(target=target, name=f"{self.config.name}-{role}", daemon=True).start()

    def _run_workers(self) -> None:
        for cache in [*(parent.cache for parent in self.parents.values()), *self.children]:
            while not cache.synced.wait(0.5):
                if self._stopped.is_set():
                    return
        self.log.info("started", workers=self.runtime.workers)
        for number in range(self.runtime.workers):
            self._thread(self._work, f"worker-{number}")

    def _work(self) -> None:
        while (key := self.queue.get()) is not None:
            try:
                self._sync(key)
            finally:
                self.queue.done(key)

    def _sync(self, key: ParentKey) -> None:
        parent = self.parents[key.kind.group, key.kind.kind].cache.store.get(key.namespace, key.name)
        if parent is None:
            self.queue.forget(key)
            return
        try:
            self.reconcile(parent)
        except TooManyRequests as pause:
            self.log.info("hook asks for a pause", key=key, seconds=pause.after_seconds)
            self.queue.add_after(key, pause.after_seconds)
        except RelatedNotSynced:
            self.queue.retry(key)
        except DriverError as error:
            self._failed(key, parent, str(error))
        except Exception as error:
            # A worker that dies silently would stop a share of all syncs for ever.
            self.log.exception("unexpected")
            self._failed(key, parent, repr(error))
        else:
            self.queue.forget(key)

    def _failed(self, key: ParentKey, parent: Object, text: str) -> None:
        self.log.warning("sync failed", key=key, error=text)
        self.runtime.events.warning(parent, "SyncError", f"Sync error: {text}")
        self.queue.retry(key)

    def _resync_periodically(self) -> None:
        relist = self.runtime.relist_seconds
        period = min(relist, self.config.resync_seconds or relist)
        while not self._stopped.wait(period):
            for parent in self.parents.values():
                parent.cache.resync(self._parent_handlers)
            alive = {uid_of(parent) for parent in self._all_parents()}
            for uid in self._unchanged.keys() - alive:
                self._unchanged.pop(uid, None)
