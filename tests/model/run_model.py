"""The way of a run as a state machine: mothership, broker, agents, hook drivers, Pods, users, and what can go wrong.

Every rule is the product's own function, called through its module; here is only who may act when, on which view, and
what is broken on the way. `docs/model.md` says what is abstracted and how.
"""

from mothership.decisions.states import RunState
from protocol.runs import Phase
from tests.model.agent_part import worker_object
from tests.model.checker import Step
from tests.model.mothership_part import POOL
from tests.model.run_agent import AgentSteps
from tests.model.run_driver import DriverSteps
from tests.model.run_pods import PodSteps
from tests.model.run_state import EMPTY, INVARIANTS, NOT_GONE_IN_FLIGHT, AgentState, Driver, Ghost, State
from tests.model.run_world import bits_in


class RunModel(AgentSteps, DriverSteps, PodSteps):
    """The model of `Bounds`."""

    invariants: tuple[str, ...] = INVARIANTS

    def initial(self) -> State:
        """Return the first state: every run queued, every Worker idle."""
        bounds = self.bounds
        objects = [
            worker_object(ulid, uid, place + 1, POOL, registered=bounds.registered)
            for place, (ulid, uid) in enumerate(zip(self.ulids, self.uids, strict=True))
        ]
        numbers = tuple(self.objects.number(each) for each in objects)
        known = list(range(bounds.workers)) if bounds.registered else []
        places = bounds.runs * bounds.attempts
        idle = AgentState((), (0,) * places, (0,) * bounds.workers)
        driver = Driver(tuple(self._seen_worker(each) for each in numbers), (0,) * places)
        return State(
            self.mothership.initial(known),
            0,
            self.faults.all,
            Ghost((0,) * bounds.runs, 0, 0, False, False, 0),
            numbers,
            (EMPTY,) * places,
            (driver,) * bounds.drivers,
            (idle,) * bounds.agents,
        )

    def steps(self, state: State) -> list[Step[State]]:
        """Return every transition."""
        self._out = []
        if self._drop_meaningless(state):
            return self._out
        self._mothership_steps(state)
        self._broker_steps(state)
        for number in range(len(state.agents)):
            if number == 0 or state.agents[number] != state.agents[number - 1]:
                self._agent_steps(state, number)
        for number in range(len(state.drivers)):
            if number == 0 or state.drivers[number] != state.drivers[number - 1]:
                self._driver_steps(state, number)
        for place in range(len(state.slots)):
            self._pod_steps(state, place)
        self._user_steps(state)
        return self._out

    def settled(self, state: State) -> bool:
        """Return whether nothing is left to do: verdicts given, Workers idle, nothing left behind."""
        if self._bound_reached(state):
            return True
        if any(each.activity for each in state.agents):
            return False
        kept: set[str] = set()
        for number in state.workers:
            if number:
                worker = self.agent.worker(number)
                if worker.run is not None or worker.deleting:
                    return False
                kept |= set(worker.kept_pods)
        for slot in state.slots:
            if slot.secret or slot.zombie[0]:
                return False
            pod = self.pods.value(slot.pod)
            if pod is not None and (pod.guarded or self._shown(slot.pod)["metadata"]["name"] not in kept):
                return False
        return self._runs_settled(state)

    def show(self, state: State) -> str:
        """Return a state in words."""
        summary = self.mothership.summary(state.ms)
        parts = [f"runs {[str(each) for each in summary.runs]} starts {list(state.ghost.starts)}"]
        for each in summary.attempts:
            detail = (
                f"{each.state}{' granted' if each.granted else ''} Pod {each.pod_uid} notice {each.notice}"
            )
            parts.append(f"attempt {each.slot} on worker {each.worker}: {detail}")
        for place, number in enumerate(state.workers):
            parts.append(f"worker {place}: {self._worker_in_words(number)}")
        for place, slot in enumerate(state.slots):
            pod = self._pod_in_words(slot.pod)
            parts.append(f"attempt {place} {pod}, Secret {slot.secret or 'none'}, zombie {slot.zombie}")
        under_way = [self._messages[bit].type for bit in bits_in(state.net)]
        parts.append(f"under way {under_way}")
        return "; ".join(parts)

    def _bound_reached(self, state: State) -> bool:
        """Return whether a Pod is due that would be one more than this model makes of a name."""
        for number in state.workers:
            run = self.agent.worker(number).run if number else None
            if run is not None and run.phase is Phase.SCHEDULED:
                slot = state.slots[self._keys[run.key]]
                if slot.made >= self.bounds.pods and not slot.pod:
                    return True
        return False

    def _runs_settled(self, state: State) -> bool:
        summary = self.mothership.summary(state.ms)
        takes_runs = (number and not self.agent.worker(number).drained for number in state.workers)
        serving = any(takes_runs) and not state.ghost.leaving
        for run, found in enumerate(summary.runs):
            if found.is_final:
                continue
            tries = sum(1 for each in summary.attempts if each.run == run)
            if found is not RunState.QUEUED or (serving and tries < self.bounds.attempts):
                return False
        return True

    def _user_steps(self, state: State) -> None:
        faults = self.faults.spend(state.faults, "udel")
        if faults is not None:
            for place in range(len(state.workers)):
                self._delete_worker(state, state._replace(faults=faults), place)
        faults = self.faults.spend(state.faults, "drain")
        if faults is not None:
            for place in range(len(state.workers)):
                for drained, text in ((True, "USER drains worker"), (False, "USER undrains worker")):
                    ms = self.mothership.drain(state.ms, place, drained=drained)
                    self._add((text, place), state, state._replace(ms=ms, faults=faults), progress=False)
        faults = self.faults.spend(state.faults, "namespace")
        if faults is not None and not state.ghost.leaving:
            self._delete_namespace(state, state._replace(faults=faults))

    def _delete_worker(self, state: State, base: State, place: int) -> None:
        worker = state.workers[place]
        if not worker or self.agent.worker(worker).deleting:
            return
        after = self._deleted(base, place)
        gone = not after.workers[place] and self.agent.worker(worker).run is not None
        broken = (NOT_GONE_IN_FLIGHT,) if gone else ()
        self._add(("USER deletes worker", place), state, after, progress=False, broken=broken)

    def _delete_namespace(self, state: State, base: State) -> None:
        after = base._replace(ghost=base.ghost._replace(leaving=True))
        for place, worker in enumerate(state.workers):
            if worker and not self.agent.worker(worker).deleting:
                after = self._deleted(after, place)
        for place, slot in enumerate(after.slots):
            pod = self.pods.value(slot.pod)
            after = self._with_slot(after, place, secret=0)
            if pod is not None:
                after = self._with_pod(after, place, pod._replace(deleting=True))
        self._add(("USER deletes the namespace",), state, after, progress=False)

    def _deleted(self, state: State, place: int) -> State:
        worker = state.workers[place]
        if not self.agent.worker(worker).managed:
            return self._with_worker(state, place, 0)
        shown = self.objects.value(worker)
        metadata = {**shown["metadata"], "deletionTimestamp": "2026-01-01T00:02:00Z"}
        return self._with_worker(state, place, self.objects.number({**shown, "metadata": metadata}))
