"""What the mothership and the broker do in the run model, and what of it would break a promise."""

from collections.abc import Iterator
from typing import Any

from app.agent.decisions import outbox
from mothership.decisions.states import AttemptState, Notice, RunState
from protocol.messages import Inventory, RunCanceled, RunRejected, RunScheduled
from protocol.runs import Rejection
from tests.model.agent_part import Took, changed
from tests.model.mothership_part import POOL_UID
from tests.model.run_state import (
    NEVER_FAILED_UNSTARTED,
    NO_SECOND_TRY,
    NOT_WHILE_WORKING,
    ONE_VERDICT,
    TRUE_VERDICT,
    State,
)
from tests.model.run_world import World, bits_in

_CREDIBLE = frozenset({RunState.ASSIGNED, RunState.ACCEPTED})


class MothershipSteps(World):
    """Steps of mothership and broker."""

    def _take(self, worker: int, memory: int, number: int) -> Took:
        """Return what a message does to a Worker."""
        return self.agent.take(worker, self.memories.value(memory), self._messages[number])

    def _cancel(self, worker: int, pods: tuple[int, ...], number: int) -> int | None:
        """Return the Worker after `run_canceled`, None when there is nothing to cancel."""
        message = self._messages[number]
        assert isinstance(message, RunCanceled)
        return self.agent.canceled(worker, pods, message)

    def _judge(self, before: State, after: State) -> Iterator[str]:
        old, new = self.mothership.summary(before.ms), self.mothership.summary(after.ms)
        for run in range(self.bounds.runs):
            was, now = old.runs[run], new.runs[run]
            if was == now:
                continue
            if was.is_final:
                yield ONE_VERDICT
            if was is RunState.STARTED and not now.is_final:
                yield NO_SECOND_TRY
            if now.is_final:
                yield from self._judge_verdict(before, after, run, was, now)

    def _judge_verdict(
        self, before: State, after: State, run: int, was: RunState, now: RunState
    ) -> Iterator[str]:
        attempt = self.mothership.summary(before.ms).current(run)
        completed = bool(after.ghost.completed >> run & 1)
        if now is RunState.SUCCEEDED:
            if not completed:
                yield TRUE_VERDICT
            return
        if was in _CREDIBLE and now is not RunState.CANCELED and not after.ghost.starts[run]:
            yield NEVER_FAILED_UNSTARTED
        if completed and not after.ghost.excused >> run & 1:
            yield TRUE_VERDICT
        if attempt is not None and attempt.granted and self._works(after.slots[attempt.slot]):
            yield NOT_WHILE_WORKING

    def _mothership_steps(self, state: State) -> None:
        ms, part = state.ms, self.mothership
        summary = part.summary(ms)
        if RunState.QUEUED in summary.runs:
            after = part.assign(ms)
            if after != ms:
                self._add(("mothership assigns",), state, state._replace(ms=after))
        self._send(state)
        for attempt in summary.attempts:
            if attempt.open:
                self._time_out(state, attempt)
        faults = self.faults.spend(state.faults, "cancel")
        if faults is not None:
            for run in range(self.bounds.runs):
                current = summary.current(run)
                if not summary.runs[run].is_final and not (
                    current is not None and current.open and current.granted
                ):
                    after = part.stop(ms, run)
                    step = state._replace(ms=after, faults=faults)
                    self._add(("USER cancels run", run), state, step, progress=False)

    def _send(self, state: State) -> None:
        """Send what is due and makes a difference to its worker: saying again what changes nothing only makes states."""
        after, due = self._recall(self._due_at_mothership, state.ms)
        bits = 0
        for number in bits_in(due & ~state.net):
            if self._is_news(state, number):
                bits |= 1 << number
        if bits or after != state.ms:
            label = ("mothership sends", *(self._recall(self._about, each) for each in bits_in(bits)))
            self._add(label, state, state._replace(ms=after, net=state.net | bits))

    def _due_at_mothership(self, ms: int) -> tuple[int, int]:
        after, messages = self.mothership.publish(ms)
        return after, self._bits_of(messages)

    def _is_news(self, state: State, number: int) -> bool:
        """Return whether any agent would do anything about a message now."""
        place, message = self._targets[number], self._messages[number]
        worker = state.workers[place]
        if not worker:
            return True
        if isinstance(message, RunScheduled):
            return not self._is_answered(state, worker, message)
        if isinstance(message, RunCanceled) and self._recall(self._cancel, worker, (), number) is not None:
            return True
        for each in state.agents:
            memory = self.memories.value(each.memories[place])
            took = self._recall(self._take, worker, each.memories[place], number)
            if self._without_secret(state, *took.drops_secret) is not state:
                return True
            if took.worker not in (None, worker) or took.memory not in (None, memory) or took.wants_inventory:
                return True
        return False

    def _is_answered(self, state: State, worker: int, message: RunScheduled) -> bool:
        """Return whether the answer to a scheduled run is under way, or about to be."""
        view = self.agent.worker(worker)
        if view.run is None or view.run.key != (message.run, message.sequence):
            return False
        item = outbox.accepted(view, view.run, POOL_UID)
        sent = any(
            item.key in self.memories.value(memory).sent for each in state.agents for memory in each.memories
        )
        return not sent or bool(state.net & self._message(item.message))

    def _time_out(self, state: State, attempt: Any) -> None:  # noqa: ANN401 - AttemptSummary
        if attempt.state is not AttemptState.GRANTED:
            faults = self.faults.spend(state.faults, "timeout")
            if faults is not None:
                after = state._replace(ms=self.mothership.expire(state.ms, attempt), faults=faults)
                self._add(("FAULT time-out of attempt", attempt.slot), state, after, progress=False)
            return
        if self.bounds.self_stop and self._works(state.slots[attempt.slot]):
            return
        after = state._replace(ms=self.mothership.expire(state.ms, attempt))
        self._add(("the lease of attempt", attempt.slot, "is over"), state, self._excuse(after, attempt.run))

    def _excuse(self, state: State, run: int) -> State:
        """Note that nobody may know any more how the work ended: a lease is over only after minutes of silence."""
        if not state.ghost.completed >> run & 1:
            return state
        return state._replace(ghost=state.ghost._replace(excused=state.ghost.excused | 1 << run))

    def _drop_meaningless(self, state: State) -> bool:
        """Have the mothership take a message at once that changes nothing, now or after its attempt's end."""
        for number in bits_in(state.net):
            if self._targets[number] < 0 and self._recall(self._changes_nothing, state.ms, number):
                after = state._replace(net=state.net & ~(1 << number))
                self._add(
                    ("mothership gets", self._recall(self._about, number), "and knows it"), state, after
                )
                return True
        return False

    def _changes_nothing(self, ms: int, number: int) -> bool:
        message, part = self._messages[number], self.mothership
        run, sequence = getattr(message, "run", None), getattr(message, "sequence", None)
        slot = part.slots(ms).get((run, sequence)) if run is not None and sequence is not None else None
        attempt = next((each for each in part.summary(ms).attempts if each.slot == slot), None)
        if attempt is None or isinstance(message, RunRejected):
            return False
        ends = [ms, part.expire(ms, attempt)] if attempt.open else [ms]
        return all(self._recall(self._heard, each, number) == (each, 0) for each in ends)

    def _broker_steps(self, state: State) -> None:
        for number in bits_in(state.net):
            if self._targets[number] < 0:
                self._deliver_to_mothership(state, number)
        faults = self.faults.spend(state.faults, "loss")
        if faults is not None and state.net:
            agents = tuple(
                each._replace(memories=tuple(self._reconnected(memory) for memory in each.memories))
                for each in state.agents
            )
            ghost = state.ghost._replace(wanted=True)
            after = state._replace(net=0, faults=faults, agents=agents, ghost=ghost)
            self._add(("FAULT broker loses everything",), state, after, progress=False)

    def _reconnected(self, memory: int) -> int:
        found = self.memories.value(memory)
        return self.memories.number(changed(found, sent=frozenset(), announced=None))

    def _overtakes(self, state: State) -> bool:
        """Return whether an inventory would come before a message that its cancel has followed.

        Silence counts only after three cancels and an inventory. On its topic a message isn't overtaken by later ones,
        so what they cancel has come by then.
        """
        canceled = {
            each.slot
            for each in self.mothership.summary(state.ms).attempts
            if not each.open and each.notice is Notice.CANCELED
        }
        if not canceled:
            return False
        deciding = [each.activity.message for each in state.agents if each.activity]
        for number in (*bits_in(state.net), *deciding):
            message = self._messages[number]
            if isinstance(message, RunScheduled) and self._keys[message.run, message.sequence] in canceled:
                return True
        return False

    def _deliver_to_mothership(self, state: State, number: int) -> None:
        message, bit = self._messages[number], 1 << number
        if isinstance(message, Inventory) and self._overtakes(state):
            return
        ways = (False, True) if isinstance(message, Inventory) else (False,)
        duplicate = self.faults.spend(state.faults, "dup")
        for late in ways:
            ms, bits = self._recall(self._heard, state.ms, number, late)
            label = ("mothership gets", self._recall(self._about, number), *(("late",) if late else ()))
            ghost = state.ghost
            if isinstance(message, RunRejected) and message.reason is Rejection.BUSY:
                ghost = ghost._replace(wanted=True)
            after = state._replace(ms=ms, net=(state.net & ~bit) | bits, ghost=ghost)
            self._add(label, state, after)
            if duplicate is not None:
                again = after._replace(net=after.net | bit, faults=duplicate)
                self._add(("FAULT a duplicate stays:", *label), state, again, progress=False)
