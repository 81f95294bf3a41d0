"""How agents bring a run forward in the run model: from its Pod to a verdict, and what follows."""

from typing import Any

from protocol.runs import Phase
from tests.model.agent_part import Memory, Move, changed
from tests.model.run_mothership import MothershipSteps
from tests.model.run_state import State, put


class VerdictSteps(MothershipSteps):
    """Steps of the agents about a run's Pod."""

    def _with_agent(self, state: State, who: int, **changes: Any) -> State:  # noqa: ANN401 - fields of AgentState
        return state._replace(agents=put(state.agents, who, state.agents[who]._replace(**changes)))

    def _with_memory(self, state: State, who: int, place: int, memory: Memory | None) -> State:
        if memory is None:
            return state
        memories = put(state.agents[who].memories, place, self.memories.number(memory))
        return self._with_agent(state, who, memories=memories)

    def _memory(self, state: State, who: int, place: int) -> Memory:
        return self.memories.value(state.agents[who].memories[place])

    def _own_pods(self, state: State, who: int, place: int) -> tuple[int, ...]:
        """Return the Pod objects of a Worker as an agent's cache shows them."""
        return tuple(each for each in state.agents[who].pods if each and self._owner(each) == place)

    def _noted_release(self, state: State, before: int, after: int) -> State:
        run = self.agent.worker(before).run
        if run is None or self.agent.worker(after).run is not None:
            return state
        released = state.ghost.released | 1 << self._keys[run.key]
        return state._replace(ghost=state.ghost._replace(released=released))

    def _run_steps(self, state: State, who: int, place: int) -> None:
        worker = state.workers[place]
        run = self.agent.worker(worker).run
        pods = self._own_pods(state, who, place)
        if run is not None and run.phase is not Phase.FINISHED:
            for patient in (False, True):
                move = self._recall(self._next_step, worker, pods, patient)
                self._advance(state, who, place, move)
        elif run is not None:
            self._after_verdict(state, who, place, run)
        if self.agent.worker(worker).kept_pods:
            after = self._with_worker(state, place, self.agent.trimmed(worker), who)
            self._add(("agent", who, "keeps no Pods of worker", place), state, after)
        for slot, shown in enumerate(state.agents[who].pods):
            if shown and shown in pods and self._recall(self.agent.lets_go, worker, shown):
                self._take_finalizer_off(state, who, slot, shown)

    def _next_step(self, worker: int, pods: tuple[int, ...], patient: bool) -> Move:
        return self.agent.advance(worker, pods, patient=patient)

    def _take_finalizer_off(self, state: State, who: int, slot: int, shown: int) -> None:
        number = state.slots[slot].pod
        pod = self.pods.value(number)
        if pod is None or self._pod_object(number) != shown or not pod.guarded:
            return
        after = self._with_pod(state, slot, pod._replace(guarded=False))
        self._add(("agent", who, "lets go of the Pod of attempt", slot), state, after)

    def _advance(self, state: State, who: int, place: int, move: Move) -> None:
        run = self.agent.worker(state.workers[place]).run
        assert run is not None
        slot = self._keys[run.key]
        label = ("agent", who, move.name, "of attempt", slot)
        match move.name:
            case "advance" | "finish":
                self._add(label, state, self._with_worker(state, place, move.after, who))
            case "look live" | "look, then finish":
                self._look(state, who, place, slot, move)
            case "look for cause":
                if not state.slots[slot].secret:
                    self._add(
                        (*label, "- no Secret"), state, self._with_worker(state, place, move.after, who)
                    )
            case "try create":
                self._try_create(state, who, place, move.after, slot)

    def _look(self, state: State, who: int, place: int, slot: int, move: Move) -> None:
        """Ask the API server for the Pod before a verdict that only time, or a missing Pod, speaks for."""
        run = self.agent.worker(state.workers[place]).run
        assert run is not None
        label = ("agent", who, move.name, "of attempt", slot)
        shown, known = self._pod_object(state.slots[slot].pod), state.agents[who].pods[slot]
        wanted = run.pod_uid or (self.agent.pod(known).uid if known else None)
        if not shown or self.agent.pod(shown).uid != wanted:
            self._add((*label, "- it is gone"), state, self._with_worker(state, place, move.gone, who))
        elif shown != known:
            seen = put(state.agents[who].pods, slot, shown)
            self._add((*label, "- it is newer"), state, self._with_agent(state, who, pods=seen))
        elif move.after:
            self._add(label, state, self._with_worker(state, place, move.after, who))

    def _try_create(self, state: State, who: int, place: int, number: int, slot: int) -> None:
        worker = state.workers[place]
        view = self.agent.worker(worker)
        run, found = view.run, state.slots[slot]
        assert run is not None
        label = ("agent", who, "asks why attempt", slot, "has no Pod:")
        if found.pod:
            seen = put(state.agents[who].pods, slot, self._pod_object(found.pod))
            self._add((*label, "it has"), state, self._with_agent(state, who, pods=seen))
        elif run.secret_uid != f"secret-{found.secret}":
            self._add((*label, "no Secret"), state, self._with_worker(state, place, number, who))
        elif state.ghost.leaving:
            text = "pods is forbidden: namespace default is being terminated"
            number = self._recall(self.agent.never_made, worker, text)
            self._add((*label, "namespace goes"), state, self._with_worker(state, place, number, who))
        elif view.deleting:
            number = self._recall(self.agent.never_made, worker, "")
            self._add((*label, "worker goes"), state, self._with_worker(state, place, number, who))

    def _after_verdict(self, state: State, who: int, place: int, run: Any) -> None:  # noqa: ANN401 - Attempt
        memory = self._memory(state, who, place)
        if memory.secret_gone != run.key:
            after = self._without_secret(state, run.secret_name, "")
            after = self._with_memory(after, who, place, changed(memory, secret_gone=run.key))
            self._add(("agent", who, "deletes the Secret of attempt", self._keys[run.key]), state, after)
            # Everything else about this Worker comes after it, in the same look.
            return
        faults = self.faults.spend(state.faults, "deaf")
        if faults is not None:
            number = self.agent.unheard(state.workers[place])
            if number is not None:
                after = self._noted_release(state, state.workers[place], number)
                ghost = after.ghost._replace(excused=after.ghost.excused | 1 << self.run_ids.index(run.run))
                after = self._with_worker(after, place, number, who)._replace(faults=faults, ghost=ghost)
                self._add(("FAULT nobody takes the verdict of worker", place), state, after, progress=False)

    def _without_worker(self, state: State, who: int, place: int) -> None:
        for slot, shown in enumerate(state.agents[who].pods):
            if not shown or self._owner(shown) != place:
                continue
            view = self.agent.pod(shown)
            number = state.slots[slot].pod
            if not view.guarded or not (view.terminal or view.deleting) or self._pod_object(number) != shown:
                continue
            pod = self.pods.value(number)
            assert pod is not None
            after = self._with_slot(self._with_pod(state, slot, pod._replace(guarded=False)), slot, secret=0)
            self._add(("agent", who, "lets go of an orphan of attempt", slot), state, after)
