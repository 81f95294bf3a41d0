"""Watches the controller objects and keeps one controller running for each of them."""

import threading

import structlog

from devcluster.hookdriver.api import Api, Discovery
from devcluster.hookdriver.caches import Cache, Caches, Handlers
from devcluster.hookdriver.composite import CompositeController
from devcluster.hookdriver.config import API_VERSION, COMPOSITE, DECORATOR, parse_controller
from devcluster.hookdriver.controller import Controller, Runtime
from devcluster.hookdriver.decorator import DecoratorController
from devcluster.hookdriver.errors import ConfigError, DriverError, SyncError
from devcluster.hookdriver.events import Events
from devcluster.hookdriver.objects import Object, identical, kind_of, name_of
from devcluster.hookdriver.settings import Settings
from devcluster.hookdriver.workqueue import WorkQueue

log = structlog.get_logger(component="driver")

_TYPES = {COMPOSITE: CompositeController, DECORATOR: DecoratorController}
_PLURALS = {COMPOSITE: "compositecontrollers", DECORATOR: "decoratorcontrollers"}
# Every worker may hold a connection, and each cache a watch.
_WATCHES = 16

ControllerKey = tuple[str, str]


class Driver:
    """The whole stand-in: the composition root of caches, events and controllers."""

    def __init__(self, settings: Settings) -> None:
        connections = 2 * settings.workers + _WATCHES
        self._api = Api(settings.kubeconfig, connections=connections, qps=settings.qps, burst=settings.burst)
        self._discovery = Discovery(self._api)
        self._caches = Caches(self._api, settings.lags)
        self._runtime = Runtime(
            self._api,
            self._discovery,
            self._caches,
            Events(self._api),
            settings.workers,
            settings.relist_seconds,
            settings.services,
        )
        self._queue: WorkQueue[ControllerKey] = WorkQueue("controllers")
        self._sources: dict[str, Cache] = {}
        self._running: dict[ControllerKey, tuple[Object, Controller]] = {}

    def run(self, stop: threading.Event) -> None:
        """Drive until stopped."""
        if not self._subscribe(stop):
            return
        worker = threading.Thread(target=self._work, name="controllers", daemon=True)
        worker.start()
        stop.wait()
        self._queue.close()
        worker.join(timeout=5)
        for _, controller in self._running.values():
            controller.stop()

    def _subscribe(self, stop: threading.Event) -> bool:
        """Follow both kinds of controller objects, as soon as their CRDs are there."""
        handlers = Handlers(self._changed, lambda _, new: self._changed(new), self._changed)
        for kind, plural in _PLURALS.items():
            while kind not in self._sources:
                try:
                    resource = self._discovery.by_name(API_VERSION, plural)
                except DriverError as error:
                    log.info("waiting for the controllers' CRDs", error=str(error))
                    if stop.wait(1):
                        return False
                    continue
                self._sources[kind] = self._caches.acquire(resource)
                self._sources[kind].subscribe(handlers)
        return True

    def _changed(self, controller: Object) -> None:
        self._queue.add((kind_of(controller).kind, name_of(controller)))

    def _work(self) -> None:
        while (key := self._queue.get()) is not None:
            try:
                self._settle(key)
                self._queue.forget(key)
            except DriverError as error:
                self._refuse(key, error)
            finally:
                self._queue.done(key)

    def _settle(self, key: ControllerKey) -> None:
        """Start, restart or stop the controller of one object, as its spec asks."""
        kind, name = key
        wanted = self._sources[kind].store.get("", name)
        spec, running = self._running.get(key, (None, None))
        if wanted is not None and running is not None and identical(wanted.get("spec"), spec):
            return
        if running is not None:
            log.info("stopping", kind=kind, name=name)
            del self._running[key]
            running.stop()
        if wanted is not None:
            controller = _TYPES[kind](parse_controller(wanted), self._runtime)
            self._running[key] = (wanted["spec"], controller)
            controller.start()

    def _refuse(self, key: ControllerKey, error: DriverError) -> None:
        """Say why a controller can't run; what may heal by itself (a CRD to come) is tried again."""
        log.error("controller can't run", kind=key[0], name=key[1], error=str(error))
        controller = self._sources[key[0]].store.get("", key[1])
        if controller is not None:
            self._runtime.events.warning(controller, "CreateError", f"Cannot create new controller: {error}")
        if isinstance(error, ConfigError | SyncError):
            self._queue.retry(key)
