"""The Workers of a pool as a state machine: which exist, which are registered, and when they go.

Pool hook, admission and farewell are the product's own functions. Hook drivers see old views and may fall back to an
empty one; the agent may crash; users scale, delete Workers, ask for a cycle, delete the pool. A run is no more than
"busy" here, and a message is there at once: its way is `run_model`'s.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple, cast

from app import vocabulary as words
from app.agent import patches
from app.agent.decisions import registration
from app.agent.worker_state import WorkerView, parse_worker
from app.contract.requests import CompositeRequest, DecoratorRequest
from app.cycle_mark import next_mark, read_mark
from app.reconcile import pool_view, workerpool
from app.reconcile import worker as worker_hooks
from app.reconcile.identity import worker_ulid
from protocol.messages import RunScheduled
from tests.model.agent_part import NAMESPACE, POOL_NAME, merge
from tests.model.checker import Label, Step
from tests.model.faults_left import Faults
from tests.model.interning import Objects
from tests.model.mothership_part import POOL, POOL_UID
from tests.model.run_state import put

Json = dict[str, Any]

WITHIN_SIZE = "no more Workers are registered than the pool was ever meant to have"
NOT_GONE_BUSY = "a Worker with a run in flight is never gone"
IDLE_ONLY = "the pool hook lets go of no Worker that its view shows busy"

_CYCLES = ("01HPS6XB76J1JB3EHSK4AWE5AB", "01HPS85J6SRG37DG6FGNRZGHMM")


@dataclass(frozen=True, slots=True)
class PoolBounds:
    """Sizes (the first is the one at the beginning), the highest sequence number, hook drivers, and faults as in
    `run_state.Bounds`: crash, restart, scale, udel, cycle, pooldel.
    """

    sizes: tuple[int, ...] = (1, 2)
    numbers: int = 4
    drivers: int = 1
    runs: int = 1
    total: int = 0
    faults: tuple[tuple[str, int], ...] = ()


class Pool(NamedTuple):
    """The WorkerPool: its size, H of its status, its cycle mark, and whether it is being deleted or gone."""

    size: int
    closed: int
    cycled: int
    requests: int
    deleting: bool
    gone: bool


class View(NamedTuple):
    """What a hook driver's caches show."""

    pool: Pool
    workers: tuple[int, ...]


class PoolState(NamedTuple):
    """Pool, Workers by number (0: none), whom the mothership knows and whom the agent admitted (bits), whose
    registration a crash left unrecorded (bits), the largest size there was, runs left, faults left, views.
    """

    pool: Pool
    workers: tuple[int, ...]
    known: int
    admitted: int
    unrecorded: int
    largest: int
    runs: int
    faults: tuple[int, ...]
    views: tuple[View, ...]


class PoolModel:
    """The model of `PoolBounds`."""

    invariants: tuple[str, ...] = (WITHIN_SIZE, NOT_GONE_BUSY, IDLE_ONLY)

    def __init__(self, bounds: PoolBounds) -> None:
        self.bounds = bounds
        self.faults = Faults(bounds.total, bounds.faults)
        self.objects = Objects()
        self._memo: dict[Any, Any] = {}
        self._projections: dict[Any, int] = {}
        self._out: list[Step[PoolState]] = []
        self._uids = [f"worker-uid-{number}" for number in range(1, bounds.numbers + 1)]

    def initial(self) -> PoolState:
        """Return an empty pool."""
        bounds = self.bounds
        pool = Pool(bounds.sizes[0], 0, 0, 0, False, False)
        none = (0,) * bounds.numbers
        views = (View(pool, none),) * bounds.drivers
        return PoolState(pool, none, 0, 0, 0, bounds.sizes[0], bounds.runs, self.faults.all, views)

    def steps(self, state: PoolState) -> list[Step[PoolState]]:
        """Return every transition."""
        self._out = []
        for who in range(len(state.views)):
            if who == 0 or state.views[who] != state.views[who - 1]:
                self._driver_steps(state, who)
        for place, number in enumerate(state.workers):
            if number:
                self._worker_steps(state, place, number)
        self._admission_step(state)
        self._inventory_step(state)
        self._user_steps(state)
        return self._out

    def settled(self, state: PoolState) -> bool:
        """Return whether the pool has what it wants: as many as its size, registered, or nothing once it is gone."""
        numbers = [number for number in state.workers if number]
        if state.pool.gone:
            return not numbers
        if state.pool.deleting:
            return False
        views = [self._view(number) for number in numbers]
        if self._out_of_numbers(state):
            return True
        ready = all(
            each.registration == words.REGISTRATION_REGISTERED
            and not each.deleting
            and not each.draining
            and each.run is None
            and each.sequence > state.pool.cycled
            for each in views
        )
        return ready and len(views) == state.pool.size

    def show(self, state: PoolState) -> str:
        """Return a state in words."""
        shown = []
        for place, number in enumerate(state.workers):
            if number:
                view = self._view(number)
                flags = [
                    name for name in ("deleting", "draining", "managed", "in_flight") if getattr(view, name)
                ]
                shown.append(f"{place + 1}: {view.registration} {' '.join(flags)}")
        pool = state.pool
        return (
            f"size {pool.size} H {pool.closed} cycled {pool.cycled}{' deleting' if pool.deleting else ''}; Workers "
            f"{shown}; mothership knows {_places(state.known)}, agent admitted {_places(state.admitted)}"
        )

    # --- helpers ---

    def _out_of_numbers(self, state: PoolState) -> bool:
        """Return whether the pool wants a number above this model's bound."""
        return bool(state.workers[-1]) or state.pool.closed >= self.bounds.numbers - 1

    def _view(self, number: int) -> WorkerView:
        key = "view", number
        found = self._memo.get(key)
        if found is None:
            found = self._memo[key] = parse_worker(self.objects.value(number))
        return cast("WorkerView", found)

    def _seen(self, number: int) -> int:
        """Return the first Worker that the pool hook can't tell from this one."""
        if not number:
            return 0
        key = "seen", number
        found = self._memo.get(key)
        if found is None:
            view = pool_view.view_worker(self.objects.value(number))
            names = [name for name in view.__slots__ if name != "observed"]
            alike = tuple(getattr(view, name) for name in names)
            found = self._memo[key] = self._projections.setdefault(alike, number)
        return int(found)

    def _add(
        self,
        label: Label,
        before: PoolState,
        after: PoolState,
        *,
        progress: bool = True,
        broken: tuple[str, ...] = (),
    ) -> None:
        if len(after.views) > 1:
            after = after._replace(views=tuple(sorted(after.views)))
        if after.unrecorded:
            after = after._replace(unrecorded=after.unrecorded & after.known & ~after.admitted)
        if after.known != before.known and (after.known & ~after.unrecorded).bit_count() > after.largest:
            broken = (*broken, WITHIN_SIZE)
        if broken or after != before:
            self._out.append(Step(label, after, progress, broken))

    def _patched(self, number: int, patch: Json) -> int:
        old = self.objects.value(number)
        return self.objects.number({**old, "status": merge(old.get("status"), patch["status"])})

    def _changed(self, number: int, *, metadata: Json | None = None, spec: Json | None = None) -> int:
        old = self.objects.value(number)
        merged = {
            **old,
            "metadata": merge(old["metadata"], metadata or {}),
            "spec": merge(old["spec"], spec or {}),
        }
        return self.objects.number(merged)

    def _with(self, state: PoolState, place: int, number: int) -> PoolState:
        return state._replace(workers=put(state.workers, place, number))

    # --- hook drivers ---

    def _driver_steps(self, state: PoolState, who: int) -> None:
        view = state.views[who]
        if view.pool != state.pool:
            self._add(("driver", who, "sees the pool"), state, self._sees(state, who, pool=state.pool))
        for place, number in enumerate(state.workers):
            seen = self._seen(number)
            if view.workers[place] != seen:
                after = self._sees(state, who, workers=put(view.workers, place, seen))
                self._add(("driver", who, "sees Worker", place + 1), state, after)
        faults = self.faults.spend(state.faults, "restart")
        if faults is not None:
            # A list may be answered from a cache that is older than anything this process has seen.
            for pool in (view.pool, view.pool._replace(closed=0)):
                stale = View(pool, (0,) * self.bounds.numbers)
                after = state._replace(views=put(state.views, who, stale), faults=faults)
                self._add(("FAULT driver", who, "restarts onto an old list"), state, after, progress=False)
        if not view.pool.gone:
            self._sync(state, who, view)

    def _sees(self, state: PoolState, who: int, **changes: Any) -> PoolState:  # noqa: ANN401 - fields of View
        return state._replace(views=put(state.views, who, state.views[who]._replace(**changes)))

    def _sync(self, state: PoolState, who: int, view: View) -> None:
        key = "sync", view
        if key not in self._memo:
            self._memo[key] = self._ask(view)
        wanted, closed, finalized = self._memo[key]
        for place, seen in enumerate(view.workers):
            child = wanted.get(place)
            if not seen and child is not None:
                self._create(state, who, place, child)
            elif seen and child is None:
                self._drop(state, who, place, seen)
            elif seen:
                self._mark(state, who, place, child)
        if closed != state.pool.closed and not state.pool.gone:
            pool = state.pool._replace(closed=closed)
            self._add(("driver", who, "writes H", closed), state, state._replace(pool=pool))
        if finalized and state.pool.deleting:
            gone = state._replace(pool=state.pool._replace(gone=True, deleting=False))
            self._add(("driver", who, "finalizes the pool"), state, gone)

    def _ask(self, view: View) -> tuple[dict[int, Json], int, bool]:
        """Return the wished Workers by place, H, and whether the pool may go."""
        children = tuple(self.objects.value(each) for each in view.workers if each)
        request = CompositeRequest(
            parent=_pool_object(view.pool), children=children, finalizing=view.pool.deleting
        )
        hook = workerpool.finalize_pool if view.pool.deleting else workerpool.sync_pool
        answer = hook(request)
        wanted = {each["spec"]["sequence"] - 1: each for each in answer.children}
        return wanted, answer.status["sequence"], bool(answer.finalized)

    def _create(self, state: PoolState, who: int, place: int, child: Json) -> None:
        if place >= self.bounds.numbers or state.workers[place] or state.pool.gone:
            return
        metadata = {
            **child["metadata"],
            "uid": self._uids[place],
            "resourceVersion": "1",
            "finalizers": [],
            "labels": {**child["metadata"]["labels"], words.OWNER_LABEL: POOL_UID},
        }
        number = self.objects.number({**child, "metadata": metadata, "status": {}})
        self._add(("driver", who, "creates Worker", place + 1), state, self._with(state, place, number))

    def _drop(self, state: PoolState, who: int, place: int, seen: int) -> None:
        number = state.workers[place]
        if not number or self._view(number).deleting or self._view(seen).deleting:
            return
        broken = (IDLE_ONLY,) if self._view(seen).in_flight else ()
        self._delete(("driver", who, "deletes Worker", place + 1), state, state, place, broken=broken)

    def _mark(self, state: PoolState, who: int, place: int, child: Json) -> None:
        number = state.workers[place]
        if number and self._view(number).draining is not child["spec"]["draining"]:
            after = self._with(
                state, place, self._changed(number, spec={"draining": child["spec"]["draining"]})
            )
            word = "drains" if child["spec"]["draining"] else "calls back"
            self._add(("driver", who, word, "Worker", place + 1), state, after)

    def _delete(
        self,
        label: Label,
        state: PoolState,
        base: PoolState,
        place: int,
        *,
        broken: tuple[str, ...] = (),
        progress: bool = True,
    ) -> None:
        number = state.workers[place]
        view = self._view(number)
        if view.managed:
            stamp = {"deletionTimestamp": "2026-01-01T00:02:00Z"}
            after = self._with(base, place, self._changed(number, metadata=stamp))
        else:
            broken = (*broken, NOT_GONE_BUSY) if view.in_flight else broken
            after = self._with(base, place, 0)._replace(admitted=base.admitted & ~(1 << place))
        self._add(label, state, after, broken=broken, progress=progress)

    # --- one Worker: its driver, the agent, the mothership ---

    def _worker_steps(self, state: PoolState, place: int, number: int) -> None:
        view, bit = self._view(number), 1 << place
        if not view.managed and not view.deleting:
            after = self._with(
                state, place, self._changed(number, metadata={"finalizers": [words.WORKER_FINALIZER]})
            )
            self._add(("driver puts its finalizer on Worker", place + 1), state, after)
        if state.admitted & bit and view.registration == words.REGISTRATION_PENDING and not view.deleting:
            if not state.known & bit:
                heard = state._replace(known=state.known | bit)
                self._add(("mothership registers Worker", place + 1), state, heard)
            else:
                after = self._with(
                    state, place, self._patched(number, patches.registered(view, drained=False))
                )
                self._add(("agent records that Worker is registered:", place + 1), state, after)
        if state.pool.gone and not view.deleting:
            self._delete(("garbage collector deletes Worker", place + 1), state, state, place)
        self._run_steps(state, place, view)
        self._farewell_steps(state, place, view)
        if view.deleting and self._may_go(number):
            broken = (NOT_GONE_BUSY,) if view.in_flight else ()
            after = self._with(state, place, 0)._replace(admitted=state.admitted & ~bit)
            self._add(("driver finalizes Worker", place + 1), state, after, broken=broken)

    def _run_steps(self, state: PoolState, place: int, view: WorkerView) -> None:
        number = state.workers[place]
        if view.run is not None:
            after = self._with(state, place, self._patched(number, patches.released(view)))
            self._add(("the run on Worker", place + 1, "ends"), state, after)
        elif state.runs and state.known >> place & 1 and view.registration == words.REGISTRATION_REGISTERED:
            if view.draining or view.deleting:
                return
            facts = patches.ClaimFacts("secret", "secret-uid", "settings", "2026-01-01")
            after = self._with(
                state, place, self._patched(number, patches.claimed(view, _scheduled(view), facts))
            )
            self._add(("a run is claimed for Worker", place + 1), state, after._replace(runs=state.runs - 1))

    def _farewell_steps(self, state: PoolState, place: int, view: WorkerView) -> None:
        number, bit = state.workers[place], 1 << place
        answered = view.registration == words.REGISTRATION_DEREGISTERING and not state.known & bit
        step = registration.farewell(view, admitted=bool(state.admitted & bit), answered=answered, waited=0.0)
        match step:
            case registration.Farewell.BEGIN:
                after = self._with(state, place, self._patched(number, patches.deregistering(view)))
                self._add(("agent deregisters Worker", place + 1), state, after)
            case registration.Farewell.WAIT:
                after = state._replace(known=state.known & ~bit)
                self._add(("mothership forgets Worker", place + 1), state, after)
            case registration.Farewell.CONFIRMED:
                after = self._with(state, place, self._patched(number, patches.gone(view)))
                self._add(("agent lets go of Worker", place + 1), state, after)

    def _may_go(self, number: int) -> bool:
        key = "may go", number
        if key not in self._memo:
            request = DecoratorRequest(
                parent=self.objects.value(number), attachments=(), related={}, finalizing=True
            )
            view = self._view(number)
            self._memo[key] = view.managed and bool(worker_hooks.finalize_worker(request).finalized)
        return bool(self._memo[key])

    def _admission_step(self, state: PoolState) -> None:
        if state.pool.deleting or state.pool.gone:
            return
        key = "admit", state.workers, state.admitted, state.pool.size
        if key not in self._memo:
            self._memo[key] = self._admissible(state)
        chosen = self._memo[key]
        if chosen & ~state.admitted:
            self._add(
                ("agent admits", *_places(chosen)), state, state._replace(admitted=state.admitted | chosen)
            )

    def _admissible(self, state: PoolState) -> int:
        entries = registration.of_pool(
            (registration.roster_entry(self._view(number)) for number in state.workers if number), POOL_UID
        )
        admitted = {self._uids[place - 1] for place in _places(state.admitted)}
        chosen = registration.admissible(entries, admitted, state.pool.size)
        return sum(1 << place for place, uid in enumerate(self._uids) if uid in chosen)

    def _inventory_step(self, state: PoolState) -> None:
        """Have the mothership forget whom the operator's inventory doesn't name."""
        named = state.admitted
        for place, number in enumerate(state.workers):
            if number and self._view(number).registered:
                named |= 1 << place
        if state.known & ~named:
            self._add(("mothership hears an inventory",), state, state._replace(known=state.known & named))

    # --- users and faults ---

    def _user_steps(self, state: PoolState) -> None:
        pool = state.pool
        faults = self.faults.spend(state.faults, "crash")
        if faults is not None and state.admitted:
            self._add(
                ("FAULT agent crashes",),
                state,
                state._replace(admitted=0, unrecorded=self._unrecorded(state), faults=faults),
                progress=False,
            )
        if pool.deleting or pool.gone:
            return
        faults = self.faults.spend(state.faults, "scale")
        if faults is not None:
            for size in self.bounds.sizes:
                after = state._replace(
                    pool=pool._replace(size=size), largest=max(state.largest, size), faults=faults
                )
                self._add(("USER scales to", size), state, after, progress=False)
        faults = self.faults.spend(state.faults, "udel")
        if faults is not None:
            for place, number in enumerate(state.workers):
                if number and not self._view(number).deleting:
                    base = state._replace(faults=faults)
                    self._delete(("USER deletes Worker", place + 1), state, base, place, progress=False)
        faults = self.faults.spend(state.faults, "cycle")
        if faults is not None:
            self._cycle(state, state._replace(faults=faults))
        faults = self.faults.spend(state.faults, "pooldel")
        if faults is not None:
            after = state._replace(pool=pool._replace(deleting=True), faults=faults)
            self._add(("USER deletes the pool",), state, after, progress=False)

    def _unrecorded(self, state: PoolState) -> int:
        """Return whom the mothership knows though no status says so: a new process learns of it by an inventory alone."""
        recorded = 0
        for place, number in enumerate(state.workers):
            if number and self._view(number).registered:
                recorded |= 1 << place
        return state.known & ~recorded

    def _cycle(self, state: PoolState, base: PoolState) -> None:
        pool = state.pool
        former = read_mark(_mark_of(pool))
        numbers = [self._view(number).sequence for number in state.workers if number]
        mark = next_mark(_CYCLES[pool.requests], former, numbers) if pool.requests < len(_CYCLES) else None
        if mark is not None:
            after = base._replace(pool=pool._replace(cycled=mark.sequence, requests=pool.requests + 1))
            self._add(("USER asks for a cycle",), state, after, progress=False)


def _places(bits: int) -> list[int]:
    return [at + 1 for at in range(bits.bit_length()) if bits >> at & 1]


def _mark_of(pool: Pool) -> str | None:
    if not pool.requests:
        return None
    return f'{{"id": "{_CYCLES[pool.requests - 1]}", "sequence": {pool.cycled}}}'


def _pool_object(pool: Pool) -> Json:
    mark = _mark_of(pool)
    metadata: Json = {
        "name": POOL_NAME,
        "namespace": NAMESPACE,
        "uid": POOL_UID,
        "labels": {words.ULID_LABEL: POOL},
        "annotations": {} if mark is None else {words.CYCLE_ANNOTATION: mark},
    }
    if pool.deleting:
        metadata["deletionTimestamp"] = "2026-01-01T00:02:00Z"
    return {"metadata": metadata, "spec": {"poolSize": pool.size}, "status": {"sequence": pool.closed}}


def _scheduled(view: WorkerView) -> RunScheduled:
    return RunScheduled(
        worker_uid=view.uid,
        pool_uid=POOL_UID,
        run=worker_ulid(POOL_UID, view.sequence),
        stage="preparing",
        sequence=3,
        assignment=view.assignment + 1,
        launcher_image="launcher:1",
        payload="sealed",
    )
