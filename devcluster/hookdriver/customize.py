"""Related objects: what the customize hook asks for, watched, and parents told when any of it changes.

The hook's answer is kept for 20 minutes by the parent's UID and generation: nothing in a status, label or
annotation can change what is related.
"""

import threading
import time
from collections.abc import Callable, Iterable

import structlog

from devcluster.hookdriver.api import Discovery, Resource
from devcluster.hookdriver.caches import Cache, Caches, Handlers
from devcluster.hookdriver.config import ControllerConfig
from devcluster.hookdriver.contract import customize_request, parse_customize_response
from devcluster.hookdriver.errors import DriverError, RelatedNotSynced
from devcluster.hookdriver.objects import (
    Object,
    ObjectMap,
    generation_of,
    kind_of,
    namespace_of,
    qualified_name,
    uid_of,
    version_of,
)
from devcluster.hookdriver.related import RelatedRule, parse_rule
from devcluster.hookdriver.webhook import Webhook

log = structlog.get_logger(component="customize")

ANSWER_SECONDS = 20 * 60.0

AnswerKey = tuple[str, int]


class Customize:
    """The related objects of one controller's parents; without a customize hook there are none."""

    def __init__(
        self,
        config: ControllerConfig,
        discovery: Discovery,
        caches: Caches,
        webhook: Webhook | None,
        parents: Callable[[], Iterable[Object]],
        enqueue: Callable[[Object], None],
    ) -> None:
        self._config, self._discovery, self._caches, self._webhook = config, discovery, caches, webhook
        self._parents, self._enqueue = parents, enqueue
        self._lock = threading.Lock()
        self._answers: dict[AnswerKey, tuple[float, list[RelatedRule]]] = {}
        self._related: dict[Resource, Cache] = {}
        self._handlers = Handlers(self._added, self._updated, self._deleted)

    def stop(self) -> None:
        """Give the caches back."""
        with self._lock:
            caches, self._related = list(self._related.values()), {}
        for cache in caches:
            cache.unsubscribe(self._handlers)
            self._caches.release(cache)

    def related_to(self, parent: Object) -> ObjectMap:
        """Return the related objects of a parent as the caches know them."""
        result: ObjectMap = {}
        for rule in self._rules(parent):
            resource = self._discovery.by_name(rule.api_version, rule.resource)
            namespace = rule.namespace_for(parent, version=self._version, namespaced=resource.namespaced)
            group = result.setdefault(resource.kind, {})
            for obj in self._cache(resource).store.select(namespace):
                if rule.selects(obj):
                    group[qualified_name(obj)] = obj
        return result

    @property
    def _version(self) -> str:
        return self._webhook.config.version if self._webhook else "v1"

    def _rules(self, parent: Object) -> list[RelatedRule]:
        if self._webhook is None:
            return []
        key, now = (uid_of(parent), generation_of(parent)), time.monotonic()
        with self._lock:
            expires, rules = self._answers.get(key, (0.0, []))
        if now < expires:
            return rules
        body = self._webhook.call(customize_request(self._config, parent))
        answer = parse_customize_response(body, strict=self._webhook.config.strict)
        rules = [parse_rule(rule) for rule in answer]
        with self._lock:
            for old in [old for old, (until, _) in self._answers.items() if until < now]:
                del self._answers[old]
            self._answers[key] = (now + ANSWER_SECONDS, rules)
        return rules

    def _cache(self, resource: Resource) -> Cache:
        with self._lock:
            cache = self._related.get(resource)
            fresh = cache is None
            if cache is None:
                cache = self._related[resource] = self._caches.acquire(resource)
        if fresh:
            cache.subscribe(self._handlers)
        if not cache.synced.is_set():
            raise RelatedNotSynced(f"the cache of {resource.name} isn't filled yet")
        return cache

    def _added(self, obj: Object) -> None:
        self._notify(obj)

    def _updated(self, old: Object, new: Object) -> None:
        if version_of(old) != version_of(new):
            self._notify(old, new)

    def _deleted(self, obj: Object) -> None:
        self._notify(obj)

    def _notify(self, *states: Object) -> None:
        """Enqueue the parents that any of the states matters to; every parent's rules are asked for."""
        for parent in self._parents():
            try:
                if any(self._concerns(rule, parent, obj) for rule in self._rules(parent) for obj in states):
                    self._enqueue(parent)
            except DriverError as error:
                # The parent's own sync, or the next relist, will say it again.
                log.info("can't relate", parent=qualified_name(parent), error=str(error))

    def _concerns(self, rule: RelatedRule, parent: Object, obj: Object) -> bool:
        resource = self._discovery.by_name(rule.api_version, rule.resource)
        if kind_of(obj) != resource.kind or not rule.selects(obj):
            return False
        namespace = rule.namespace_for(parent, version=self._version, namespaced=resource.namespaced)
        if self._version == "v1" and resource.namespaced and namespace_of(parent):
            return namespace_of(obj) == namespace_of(parent)
        return not namespace or namespace_of(obj) == namespace
