"""Tells the owners of pools that nobody works on why that is so, and by which command it would change.

Two kinds of pools are meant when the operator serves some namespaces only: those of other namespaces, which are told only
while no operator has said anything on them (there may be one for each team); and those of its own namespaces in which it
has no rights.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

import structlog

from app import vocabulary as words
from app.agent.decisions import reporting
from app.agent.pool_state import PoolView, parse_pool
from app.agent.runtime import Api, Clock, Events, Key
from app.cluster.errors import ApiError, Forbidden
from app.cluster.resources import WORKERPOOLS

LOOK_SECONDS: Final = 20.0
"""How often all pools are listed, while some namespaces only are served."""

SETTLING_SECONDS: Final = 30.0
"""How long a pool of another namespace is left to whoever may serve it, since we first saw it."""

REPEAT_SECONDS: Final = 600.0
"""Seconds after which an Event is repeated: Events are kept for an hour only."""

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Grant:
    """Who the operator is to the API server, and which ClusterRole holds the rights in a namespace of pools."""

    namespace: str
    account: str
    role: str

    def command(self, namespace: str) -> str:
        """Return the command that grants the rights in a namespace."""
        binding = f"{self.role.removesuffix('-role')}-rolebinding"
        account = f"{self.namespace}:{self.account}"
        return (
            f"kubectl create rolebinding {binding} --namespace={namespace} "
            f"--clusterrole={self.role} --serviceaccount={account}"
        )


class Unserved:
    """Looks at all pools now and then; ``refused`` says in which of its own namespaces the operator has no rights."""

    def __init__(
        self,
        api: Api,
        events: Events,
        namespaces: tuple[str, ...],
        grant: Grant,
        refused: Callable[[], frozenset[str]],
        owns: Callable[[Key], bool],
        clock: Clock,
    ) -> None:
        self._api, self._events, self._namespaces, self._grant = api, events, frozenset(namespaces), grant
        self._refused, self._owns, self._clock = refused, owns, clock
        self._told: dict[str, float] = {}
        self._seen: dict[str, float] = {}
        self._blind = False

    def look(self) -> None:
        """Tell each pool what is to be told; raises ApiError when the API server can't be asked."""
        if not self._namespaces:
            return
        try:
            found = [parse_pool(each) for each in self._api.list(WORKERPOOLS, None).items]
        except Forbidden as error:
            if not self._blind:
                _log.info("unserved_pools_unseen", error=error.message)
            self._blind = True
            return
        self._blind = False
        now = self._clock.monotonic()
        self._seen = {each.uid: self._seen.get(each.uid, now) for each in found}
        self._told = {uid: at for uid, at in self._told.items() if uid in self._seen}
        for pool, text in self._reasons(found):
            if self._owns((pool.namespace, pool.name)):
                self._tell(pool, text)

    def _reasons(self, pools: list[PoolView]) -> Iterator[tuple[PoolView, str]]:
        refused = self._refused()
        for pool in pools:
            command = self._grant.command(pool.namespace)
            if pool.namespace in refused:
                yield pool, f"The operator has no rights in namespace {pool.namespace}. Grant them: {command}"
            elif pool.namespace not in self._namespaces and self._is_alone(pool):
                served = ", ".join(sorted(self._namespaces))
                text = f"The operator serves the namespaces {served}, and not this one. "
                yield pool, f"{text}Add {pool.namespace} to its --namespaces, and grant: {command}"

    def _is_alone(self, pool: PoolView) -> bool:
        """Return whether no operator has said anything on a pool, or we did."""
        if pool.connection:
            return f'"{words.NOT_SERVED_EVENT}"' in pool.connection
        return self._clock.monotonic() - self._seen[pool.uid] >= SETTLING_SECONDS

    def _tell(self, pool: PoolView, text: str) -> None:
        report = reporting.Report(words.CONNECTION_UNREGISTERED, words.NOT_SERVED_EVENT, text)
        now = self._clock.monotonic()
        news = reporting.differs(report, pool.connection)
        if news or now - self._told.get(pool.uid, float("-inf")) >= REPEAT_SECONDS:
            self._told[pool.uid] = now
            self._events.emit(pool.reference, words.EVENT_WARNING, words.NOT_SERVED_EVENT, text)
        if not news:
            return
        annotations = {words.CONNECTION_ANNOTATION: report.annotation(self._clock.timestamp())}
        patch = {"metadata": {"uid": pool.uid, "annotations": annotations}}
        try:
            self._api.merge_patch(WORKERPOOLS, pool.namespace, pool.name, patch)
        except ApiError as error:
            _log.info("unserved_pool_not_told", namespace=pool.namespace, pool=pool.name, error=error.message)
