"""The operator of a scenario: the agent's engine, pools and memory of one process over the cluster's API."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Any, cast

from app.agent.runtime import Key
from app.cluster.errors import ApiError, Conflict
from app.cluster.resources import PODS, WORKERPOOLS, WORKERS, Resource
from protocol.messages import Message
from tests.mutations.control import Broker
from tests.unit.agent.world import FakeApi, World

Json = dict[str, Any]
RETRY = 1.0
"""Seconds until work that failed is tried again, as the agent's queues do."""


class Crash(BaseException):
    """The process is killed here; nothing of the product may catch it."""


class Hands:
    """One process' way to the API: `before` and `after` (verb, plural, name) may kill it there, or raise API errors."""

    def __init__(self, api: FakeApi) -> None:
        self._api = api
        self.dead = False
        self.before: Callable[[str, str, str], None] = lambda *_: None
        self.after: Callable[[str, str, str], None] = lambda *_: None

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the API has
        found = getattr(self._api, name)
        if name not in ("get", "list", "create", "merge_patch", "delete"):
            return found

        def call(resource: Resource, *args: Any, **more: Any) -> Any:  # noqa: ANN401 - the API's own types
            if self.dead:
                raise Crash
            about = args[1] if len(args) > 1 else ""
            told = name, resource.plural, about["metadata"]["name"] if isinstance(about, dict) else about
            self.before(*told)
            answer = found(resource, *args, **more)
            self.after(*told)
            return answer

        return call


class Operator(World):
    """One process."""

    def __init__(self, secret: Json, api: FakeApi, broker: Broker, time: float) -> None:
        self.hands = Hands(api)
        super().__init__(secret["data"], api=cast("FakeApi", self.hands))
        self.time, self.date = time, dt.datetime.now(dt.UTC)
        self.broker = broker
        self._pool_due: dict[Key, float] = {}

    @property
    def alive(self) -> bool:
        """Whether the process lives."""
        return not self.hands.dead

    def start(self) -> None:
        """List everything there is, as a fresh process does, and connect."""
        for (plural, _, _), found in list(self.api.objects.items()):
            resource = {each.plural: each for each in (WORKERPOOLS, WORKERS, PODS)}.get(plural)
            if resource is not None and not self.caches[plural].frozen:
                self._watch(resource, None, found)
        self.step()

    def stop(self) -> None:
        """End this process."""
        self.hands.dead = True
        if self._watch in self.api.watchers:
            self.api.watchers.remove(self._watch)

    def step(self) -> None:
        """Work on everything that was woken, once around; connect what isn't."""
        pools, self.pools_woken = self.pools_woken, set()
        for key in pools:
            pause = self._tried(lambda key=key: self.pools.reconcile(key))  # type: ignore[misc]
            self._pool_due[key] = self.time + pause if pause is not None else float("inf")
        for link in self.links:
            if not link.state.ready and not link.stopped:
                link.connect(session_present=True)
        for key in [key for key, when in self.woken.items() if when <= self.time]:
            self.woken.pop(key)
            pause = self._tried(lambda key=key: self.engine.reconcile(key))  # type: ignore[misc]
            if pause is not None:
                self._wake(key, pause)
        for link in self.links:
            published, link.published = link.published, []
            for topic, message in published:
                self.broker.send_up(topic, message)

    def pass_to(self, time: float) -> None:
        """Let time pass."""
        self.time = time
        self.pools_woken |= {key for key, when in self._pool_due.items() if when <= time}

    def receive(self, worker_ulid: str, message: Message) -> int:
        """Take a message from the broker; return its packet identifier."""
        return self.link.deliver(message, worker_ulid)

    def _tried(self, work: Callable[[], float | None]) -> float | None:
        try:
            return work()
        except Conflict:
            return 0.0
        except ApiError:
            return RETRY
