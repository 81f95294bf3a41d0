"""How a Worker leaves: once no run is on it and the mothership was told, or could not be in time.

Called by the engine for every Worker. A deleted Secret, a dead mothership or a terminating namespace never leave a
finalizer behind for ever, and what a finalizer waits for is told in an Event.
"""

from typing import Protocol

from app.agent import patches
from app.agent.case import Case
from app.agent.decisions import leaving, registration, worker_events
from app.agent.decisions.graces import Graces
from app.agent.runtime import Clock, Cluster, Key
from app.agent.session import Session
from app.agent.status import StatusWriter
from app.agent.worker_state import WorkerView
from app.cluster.errors import NotFound
from app.cluster.resources import WORKERPOOLS
from protocol.runs import Phase


class Pools(Protocol):
    """What is asked of the pools."""

    def session(self, key: Key) -> Session | None:
        """Return the pool's session, None when it has none."""

    def admitted(self, key: Key, worker_uid: str) -> bool:
        """Return whether a Worker may be registered."""


class Leaving:
    """Lets Workers go that are deleted, or whose pool is gone."""

    def __init__(
        self, cluster: Cluster, status: StatusWriter, pools: Pools, graces: Graces, clock: Clock
    ) -> None:
        self._cluster, self._status, self._pools = cluster, status, pools
        self._graces, self._clock = graces, clock

    def farewell(self, worker: WorkerView, case: Case) -> tuple[WorkerView, float | None]:
        """Bring a Worker that is to go nearer to its end; return after how many seconds to look again, too."""
        self._look_for_pool(worker, case)
        worker = self._leave_unheard(worker, case)
        worker, pause = self._deregister(worker, case)
        self._explain(worker, case)
        return worker, pause

    def _deregister(self, worker: WorkerView, case: Case) -> tuple[WorkerView, float | None]:
        admitted = self._pools.admitted((worker.namespace, worker.pool_name), worker.uid)
        orphaned = case.memory.orphaned
        label = f"{worker.registration}:{worker.deleting or orphaned}:{worker.in_flight}"
        waited = case.memory.hold("farewell", label, self._clock.monotonic())
        next_step = registration.farewell(
            worker,
            admitted=admitted,
            answered=case.memory.unregistered,
            waited=waited,
            graces=self._graces,
            orphaned=orphaned,
        )
        match next_step:
            case registration.Farewell.BEGIN:
                return self._deregister(self._status.write(worker, patches.deregistering(worker)), case)
            case registration.Farewell.CONFIRMED:
                return self._status.write(worker, patches.gone(worker)), None
            case registration.Farewell.UNCONFIRMED:
                self._event(worker, worker_events.deregistration_unconfirmed())
                return self._status.write(worker, patches.gone(worker)), None
            case registration.Farewell.WAIT:
                return worker, self._graces.deregistration - waited
        return worker, None

    def _leave_unheard(self, worker: WorkerView, case: Case) -> WorkerView:
        """Free a Worker whose verdict nobody takes: its pool is gone or another one, or it is deleted itself."""
        current = self._pools.session((worker.namespace, worker.pool_name))
        served = case.session is not None or (case.pool is not None and current is None)
        run = worker.run if worker.run is not None and worker.run.phase is Phase.FINISHED else None
        unheard = run is not None and (worker.deleting or case.memory.orphaned or not served)
        label = f"{unheard}:{worker.run.key if worker.run else ''}"
        waited = case.memory.hold("unheard", label, self._clock.monotonic())
        if run is None or not unheard or waited < self._graces.verdict_report:
            return worker
        self._event(worker, worker_events.verdict_unreported(run))
        return self._status.write(worker, patches.released(worker))

    def _look_for_pool(self, worker: WorkerView, case: Case) -> None:
        """Find out whether the Worker's own pool object is gone, on the API server's word alone."""
        if case.memory.orphaned or not leaving.may_be_orphan(worker, case.pool):
            return
        try:
            found = self._cluster.api.get(WORKERPOOLS, worker.namespace, worker.pool_name)
        except NotFound:
            found = None
        if found is not None and found["metadata"]["uid"] == worker.owner_uid:
            self._cluster.pools.remember(found)
            return
        case.memory.orphaned = True
        self._event(worker, worker_events.orphaned(worker))

    def _explain(self, worker: WorkerView, case: Case) -> None:
        """Tell what a deleted Worker waits for, once for each thing it waits for."""
        text = leaving.held_by(worker, connected=case.connected)
        if text is not None and text != case.memory.told_held:
            self._event(worker, worker_events.deletion_waits(text))
        case.memory.told_held = text

    def _event(self, worker: WorkerView, event: worker_events.EventText) -> None:
        self._cluster.events.emit(worker.reference, *event)
