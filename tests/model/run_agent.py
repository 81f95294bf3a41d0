"""What agents do in the run model: messages, claims, registration, publishing, inventories."""

from app import vocabulary as words
from app.agent.decisions import registration
from app.agent.worker_state import attempt_name
from protocol.messages import (
    Inventory,
    Message,
    RunCanceled,
    RunReleased,
    RunScheduled,
    Unregister,
    Unregistered,
    WorkerMessage,
)
from protocol.runs import Rejection
from tests.model.agent_part import Memory, changed, rejected
from tests.model.mothership_part import POOL_UID
from tests.model.run_state import NO_CLAIM_AGAIN, Activity, AgentState, State, put
from tests.model.run_verdict import VerdictSteps
from tests.model.run_world import bits_in


class AgentSteps(VerdictSteps):
    """Steps of the agents."""

    def _agent_steps(self, state: State, who: int) -> None:
        me = state.agents[who]
        busy = -1
        if me.activity:
            busy = self._targets[me.activity.message]
            self._claim_steps(state, who, me.activity)
        self._crash(state, who)
        for number in bits_in(state.net):
            place = self._targets[number]
            if place >= 0 and place != busy:
                self._deliver_to_agent(state, who, number, place, can_claim=busy < 0)
        if self.bounds.lag:
            self._look_at_pods(state, who)
        for place, worker in enumerate(state.workers):
            if place == busy:
                continue
            if worker:
                self._run_steps(state, who, place)
                self._registration_steps(state, who, place)
                self._publish_steps(state, who, place)
            else:
                self._without_worker(state, who, place)
        if busy < 0:
            self._inventory_step(state, who)

    def _crash(self, state: State, who: int) -> None:
        me = state.agents[who]
        faults = self.faults.spend(state.faults, "crash")
        if faults is None or not (me.activity or any(me.memories)):
            return
        fresh = AgentState((), me.pods, (self.memories.number(Memory()),) * len(me.memories))
        ghost = state.ghost._replace(wanted=True)
        unread = 1 << me.activity.message if me.activity else 0
        agents = put(state.agents, who, fresh)
        after = state._replace(agents=agents, faults=faults, ghost=ghost, net=state.net | unread)
        self._add(("FAULT agent", who, "crashes"), state, after, progress=False)

    def _look_at_pods(self, state: State, who: int) -> None:
        pods = state.agents[who].pods
        for place, slot in enumerate(state.slots):
            shown = self._pod_object(slot.pod)
            if pods[place] != shown:
                after = self._with_agent(state, who, pods=put(pods, place, shown))
                self._add(("agent", who, "sees attempt", place, self._pod_in_words(slot.pod)), state, after)

    def _deliver_to_agent(self, state: State, who: int, number: int, place: int, *, can_claim: bool) -> None:
        message, bit = self._messages[number], 1 << number
        label = ("agent", who, "gets", self._recall(self._about, number), "for worker", place)
        duplicate = self.faults.spend(state.faults, "dup")
        after = self._taken(state, who, place, message, number, can_claim=can_claim)
        if after is None:
            return
        if after.agents[who].activity != state.agents[who].activity:
            self._add((*label, "- decides to claim"), state, after)
            return
        acknowledged = after._replace(net=after.net & ~bit)
        self._add(label, state, acknowledged)
        if duplicate is not None:
            again = after._replace(net=after.net | bit, faults=duplicate)
            self._add(("FAULT a duplicate stays:", *label), state, again, progress=False)

    def _taken(
        self, state: State, who: int, place: int, message: Message, number: int, *, can_claim: bool
    ) -> State | None:
        """Return the state after an agent handled a message, None when it can't now."""
        worker = state.workers[place]
        if not worker:
            return self._answered_for_absent(state, message)
        if isinstance(message, RunCanceled):
            canceled = self._recall(self._cancel, worker, self._own_pods(state, who, place), number)
            if canceled is not None:
                return self._with_worker(state, place, canceled, who)
        took = self._recall(self._take, worker, state.agents[who].memories[place], number)
        if took.claims:
            if not can_claim:
                return None
            return self._with_agent(state, who, activity=Activity(number, worker, True, 0))
        after = self._with_memory(state, who, place, took.memory)
        if took.worker is not None:
            after = self._with_worker(after, place, took.worker, who)
            after = self._noted_release(after, worker, took.worker)
        after = self._without_secret(after, *took.drops_secret)
        if took.wants_inventory:
            after = after._replace(ghost=after.ghost._replace(wanted=True))
        return after._replace(net=after.net | self._bits_of(took.says))

    def _answered_for_absent(self, state: State, message: Message) -> State:
        if isinstance(message, RunScheduled):
            name = attempt_name(message.run, message.stage, message.sequence)
            after = self._without_secret(state, name, "")
            return after._replace(net=after.net | self._message(rejected(message, Rejection.UNKNOWN)))
        assert isinstance(message, WorkerMessage)
        if isinstance(message, Unregistered):
            return state
        if isinstance(message, RunCanceled | RunReleased) and message.stage:
            name = attempt_name(message.run, message.stage, message.sequence)
            state = self._without_secret(state, name, "")
        gone = Unregister(worker_uid=message.worker_uid, pool_uid=POOL_UID)
        return state._replace(net=state.net | self._message(gone))

    def _claim_steps(self, state: State, who: int, activity: Activity) -> None:
        message = self._messages[activity.message]
        assert isinstance(message, RunScheduled)
        place, slot = self._targets[activity.message], self._keys[message.run, message.sequence]
        if not activity.secret:
            if state.ghost.leaving:
                stopped = self._with_agent(state, who, activity=())
                self._add(("agent", who, "may create no Secret"), state, stopped)
                return
            uid = self._fresh_uid(state, place, slot)
            after = self._with_slot(state, slot, secret=uid)
            after = self._with_agent(after, who, activity=activity._replace(secret=uid))
            self._add(("agent", who, "creates the Secret of attempt", slot), state, after)
            return
        worker = state.workers[place]
        done = self._with_agent(state, who, activity=())
        if worker:
            base = activity.snapshot if activity.valid else worker
            number, insists = self._recall(self._claimed, base, activity.message, activity.secret)
            if activity.valid or not insists:
                broken = (NO_CLAIM_AGAIN,) if state.ghost.released >> slot & 1 else ()
                after = self._with_worker(done, place, number, who)
                label = ("agent", who, "records the claim of attempt", slot)
                # Without a crash nothing comes between the patch and the acknowledgement.
                unread = after._replace(net=after.net | 1 << activity.message)
                read = after._replace(net=after.net & ~(1 << activity.message))
                crash = self.faults.spend(state.faults, "crash")
                duplicate = self.faults.spend(state.faults, "dup")
                self._add(label, state, read if crash is None else unread, broken=broken)
                if duplicate is not None:
                    again = unread._replace(faults=duplicate)
                    late = ("FAULT a duplicate stays:", *label)
                    self._add(late, state, again, progress=False, broken=broken)
                return
        # Its own copy of the message is still unacknowledged: it decides again.
        done = done._replace(net=done.net | 1 << activity.message)
        self._add(("agent", who, "has a conflict at the claim of attempt", slot), state, done)

    def _claimed(self, worker: int, number: int, secret: int) -> tuple[int, bool]:
        message = self._messages[number]
        assert isinstance(message, RunScheduled)
        return self.agent.claimed(worker, message, f"secret-{secret}")

    def _fresh_uid(self, state: State, place: int, slot: int) -> int:
        """Return a Secret's UID that nobody refers to."""
        worker = state.workers[place]
        run = self.agent.worker(worker).run if worker else None
        taken = {f"secret-{state.slots[slot].secret}", run.secret_uid if run else ""}
        taken |= {f"secret-{each.activity.secret}" for each in state.agents if each.activity}
        return next(number for number in range(1, 9) if f"secret-{number}" not in taken)

    def _publish_steps(self, state: State, who: int, place: int) -> None:
        number = state.agents[who].memories[place]
        for bit, repeats, memory in self._recall(self._due_at_agent, state.workers[place], number):
            matters = self._matters(state, bit)
            if repeats and (state.net & bit or not matters):
                # Saying again what changes nothing only makes states.
                continue
            memories = put(state.agents[who].memories, place, memory)
            after = self._with_agent(state, who, memories=memories)
            label = (
                "agent",
                who,
                "publishes",
                self._recall(self._about, bit.bit_length() - 1),
                "of worker",
                place,
            )
            # What changes nothing arrives at once.
            self._add(label, state, after._replace(net=after.net | bit) if matters else after)

    def _due_at_agent(self, worker: int, number: int) -> tuple[tuple[int, bool, int], ...]:
        """Return for each message that may go out its bit, whether it is repeated, and the memory after it."""
        memory = self.memories.value(number)
        return tuple(
            (
                self._message(item.message),
                bool(item.repeats),
                self.memories.number(self.agent.published(worker, memory, item)),
            )
            for item in self.agent.due(worker, memory)
        )

    def _matters(self, state: State, bit: int) -> bool:
        return self._recall(self._heard, state.ms, bit.bit_length() - 1) != (state.ms, 0)

    def _inventory_step(self, state: State, who: int) -> None:
        if not state.ghost.wanted and not self.mothership.doubts(state.ms):
            return
        if any(isinstance(self._messages[number], Inventory) for number in bits_in(state.net)):
            return
        numbers, admitted = tuple(each for each in state.workers if each), self._admitted(state, who)
        bits = self._recall(self._inventory_bits, numbers, admitted)
        after = state._replace(net=state.net | bits, ghost=state.ghost._replace(wanted=False))
        self._add(("agent", who, "sends an inventory"), state, after)

    def _inventory_bits(self, numbers: tuple[int, ...], admitted: frozenset[str]) -> int:
        return self._bits_of(self.agent.inventory(numbers, admitted))

    def _registration_steps(self, state: State, who: int, place: int) -> None:
        worker = state.workers[place]
        memory = self._memory(state, who, place)
        for patient in (False, True):
            step, number = self._recall(
                self._next_farewell, worker, state.agents[who].memories[place], patient
            )
            if not number:
                continue
            after = self._with_worker(state, place, number, who)
            label = ("agent", who, "says farewell to worker", place, step.value)
            if step.value != "unconfirmed":
                self._add(label, state, after)
            elif (faults := self.faults.spend(state.faults, "deaf")) is not None:
                self._add(("FAULT", *label), state, after._replace(faults=faults), progress=False)
        if memory.admitted or self.agent.worker(worker).registration != words.REGISTRATION_PENDING:
            return
        numbers = tuple(each for each in state.workers if each)
        admitted = self._admitted(state, who)
        chosen = self._recall(self.agent.admissible, numbers, admitted, self.bounds.workers)
        if self.uids[place] in chosen:
            after = self._with_memory(state, who, place, changed(memory, admitted=True))
            self._add(("agent", who, "admits worker", place), state, after)

    def _next_farewell(self, worker: int, memory: int, patient: bool) -> tuple[registration.Farewell, int]:
        return self.agent.farewell(worker, self.memories.value(memory), patient=patient)

    def _admitted(self, state: State, who: int) -> frozenset[str]:
        places = range(len(state.workers))
        return frozenset(self.uids[each] for each in places if self._memory(state, who, each).admitted)
