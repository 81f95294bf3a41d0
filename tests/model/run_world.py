"""The world of the run model: numbers for everything, views of it, and the ways in which a state may change.

Kept by the mixins that hold the steps (`run_mothership`, `run_agent`, `run_verdict`, `run_driver`, `run_pods`).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar, cast

from app import vocabulary as words
from app.agent.worker_state import attempt_name
from mothership.decisions.states import STAGE
from protocol.messages import FROM_WORKER, Message, WorkerMessage, encode
from tests.model.agent_part import Agent, Memory, pool_view
from tests.model.checker import Label, Step
from tests.model.faults_left import Faults
from tests.model.interning import Interner, Objects
from tests.model.mothership_part import POOL_UID, Mothership
from tests.model.pods import ACTIVE, DONE, Progress, render
from tests.model.run_state import Bounds, Pod, Slot, State, put

T = TypeVar("T")
Json = dict[str, Any]


class World(ABC):
    """What the steps share."""

    def __init__(self, bounds: Bounds) -> None:
        self.bounds = bounds
        self.faults = Faults(bounds.total, bounds.faults)
        self.run_ids = [f"01HPS6XB76J1JB3EHSK4AWE5A{letter}" for letter in "ABCD"[: bounds.runs]]
        self.ulids = [f"01HPS6K4BNB7BPHCDHDWFAMJN{letter}" for letter in "ABCD"[: bounds.workers]]
        self.uids = [f"worker-uid-{number}" for number in range(bounds.workers)]
        keys = list(zip(self.ulids, self.uids, strict=True))
        self.mothership = Mothership(self.run_ids, keys, bounds.attempts)
        self.objects = Objects()
        self.agent = Agent(self.objects, pool_view(bounds.workers, POOL_UID), keeps_pods=bounds.keeps_pods)
        self.bodies = Objects()
        self.pods: Interner[Pod | None] = Interner()
        self.pods.number(None)
        self.memories: Interner[Memory] = Interner()
        self.memories.number(Memory(announced=(False, False)))
        self._messages: list[Message] = []
        self._message_numbers: dict[bytes, int] = {}
        self._targets: list[int] = []
        self._memo: dict[Any, Any] = {}
        self._names: dict[str, int] = {}
        self._keys: dict[tuple[str, int], int] = {}
        self._projections: dict[Any, int] = {}
        self._out: list[Step[State]] = []
        self._learn_slots()

    def close(self) -> None:
        """Let go of the mothership's database."""
        self.mothership.close()

    @abstractmethod
    def _judge(self, before: State, after: State) -> Iterator[str]:
        """Return what a step of the mothership breaks."""

    def _learn_slots(self) -> None:
        """Find out, by assigning and giving up, which sequence numbers the attempts of a run get."""
        part = self.mothership
        ms = part.assign(part.initial(list(range(self.bounds.workers))))
        while True:
            for (run, sequence), place in part.slots(ms).items():
                self._keys[run, sequence] = place
                self._names[attempt_name(run, STAGE, sequence)] = place
            open_ones = [each for each in part.summary(ms).attempts if each.open]
            if not open_ones:
                break
            ms = part.assign(part.reject(ms, open_ones[0]))
        if len(self._keys) != self.bounds.runs * self.bounds.attempts:
            raise AssertionError(f"not every attempt was found: {self._keys}")

    def _recall(self, function: Callable[..., T], *arguments: Any) -> T:  # noqa: ANN401 - numbers of things
        """Return what a function of numbers returns; it is called once for each."""
        key = (function.__name__, *arguments)
        try:
            return cast("T", self._memo[key])
        except KeyError:
            found = self._memo[key] = function(*arguments)
            return found

    # --- messages ---

    def _message(self, message: Message) -> int:
        """Return a message's bit."""
        key = encode(message, id="", time="")
        number = self._message_numbers.get(key)
        if number is None:
            number = self._message_numbers[key] = len(self._messages)
            self._messages.append(message)
            to_worker = isinstance(message, WorkerMessage) and not isinstance(message, FROM_WORKER)
            self._targets.append(self.uids.index(message.worker_uid) if to_worker else -1)  # type: ignore[attr-defined]
        return 1 << number

    def _bits_of(self, messages: Iterable[Message]) -> int:
        bits = 0
        for each in messages:
            bits |= self._message(each)
        return bits

    def _heard(self, ms: int, number: int, late: bool = False) -> tuple[int, int]:
        """Return the mothership after a message, and the bits of its answers."""
        after, answers = self.mothership.handle(ms, number, self._messages[number], late=late)
        return after, self._bits_of(answers)

    def _about(self, number: int) -> str:
        """Return what a message is about, for a trace."""
        message = self._messages[number]
        run, sequence = getattr(message, "run", None), getattr(message, "sequence", None)
        if run is None or sequence is None:
            return message.type
        extra = [getattr(message, name, None) for name in ("pod_uid", "reason")]
        outcome = getattr(message, "outcome", None)
        if outcome is not None:
            extra.append(f"{outcome.result.value}/{outcome.reason.value}")
        told = " ".join(str(each) for each in extra if each)
        return f"{message.type} of attempt {self._keys.get((run, sequence), '?')} {told}".rstrip()

    # --- Pods and Workers ---

    def _shown(self, pod: int) -> Json:
        """Return the object that shows a Pod."""
        return self.objects.value(self._pod_object(pod))

    def _pod_object(self, number: int) -> int:
        """Return the number of the object that shows a Pod; 0 for none."""
        return self._recall(self._render, number) if number else 0

    def _render(self, number: int) -> int:
        pod = self.pods.value(number)
        assert pod is not None
        body = self.bodies.value(pod.body)
        uid = f"{body['metadata']['name']}#{pod.incarnation}"
        progress = Progress(pod.progress)
        return self.objects.number(render(body, uid, progress, deleting=pod.deleting, guarded=pod.guarded))

    def _owner(self, shown: int) -> int:
        """Return the place of the Worker that a Pod object was made for."""
        return self._recall(self._find_owner, shown)

    def _find_owner(self, shown: int) -> int:
        return self.ulids.index(self.objects.value(shown)["metadata"]["labels"][words.WORKER_LABEL])

    def _works(self, slot: Slot) -> bool:
        """Return whether a granted Pod may be at work."""
        pod = self.pods.value(slot.pod)
        zombie = bool(slot.zombie[0]) and slot.zombie[1] in ACTIVE
        return zombie or (pod is not None and not pod.cut and pod.progress in ACTIVE)

    def _worker_in_words(self, number: int) -> str:
        if not number:
            return "gone"
        worker = self.agent.worker(number)
        run = worker.run
        held = "idle" if run is None else f"{run.phase.value} {self._keys.get(run.key)} Pod {run.pod_uid}"
        if run is not None and run.outcome is not None:
            held += f" {run.outcome.result.value}/{run.outcome.reason.value}"
        return f"{worker.registration}{' deleting' if worker.deleting else ''} {held} answered {worker.assignment}"

    def _pod_in_words(self, number: int) -> str:
        pod = self.pods.value(number)
        if pod is None:
            return "without Pod"
        flags = (("deleting", pod.deleting), ("guarded", pod.guarded), ("cut off", pod.cut))
        parts = [Progress(pod.progress).name, *(name for name, on in flags if on)]
        return f"Pod #{pod.incarnation} {' '.join(parts)}"

    # --- changes ---

    def _add(
        self,
        label: Label,
        before: State,
        after: State,
        *,
        progress: bool = True,
        broken: tuple[str, ...] = (),
    ) -> None:
        """Take in a transition, if it is one; equal replicas are put in order, so that names make no difference."""
        if after.slots is not before.slots and not self.bounds.lag:
            shown = tuple(self._pod_object(slot.pod) for slot in after.slots)
            after = after._replace(agents=tuple(each._replace(pods=shown) for each in after.agents))
        if after.workers is not before.workers or after.agents is not before.agents:
            after = self._without_idle_memories(after)
            if len(after.agents) > 1:
                after = after._replace(agents=tuple(sorted(after.agents)))
        if after.drivers is not before.drivers and len(after.drivers) > 1:
            after = after._replace(drivers=tuple(sorted(after.drivers)))
        if after.ms != before.ms:
            broken = (*broken, *self._judge(before, after))
        if broken or after != before:
            self._out.append(Step(label, after, progress, broken))

    def _with_worker(self, state: State, place: int, number: int, by: int = -1) -> State:
        """Return the state with another version of a Worker; claims that others decided on the former are stale."""
        if state.workers[place] == number:
            return state
        agents = state.agents
        for at, each in enumerate(agents):
            activity = each.activity
            if not activity or at == by or not activity.valid:
                continue
            if self._targets[activity.message] == place:
                agents = put(agents, at, each._replace(activity=activity._replace(valid=False)))
        return state._replace(workers=put(state.workers, place, number), agents=agents)

    def _without_idle_memories(self, state: State) -> State:
        """Return the state with every agent having forgotten what the Worker as it is makes meaningless."""
        agents = state.agents
        for at, each in enumerate(agents):
            pairs = zip(state.workers, each.memories, strict=True)
            memories = tuple(self._recall(self._needed_memory, *pair) for pair in pairs)
            if memories != each.memories:
                agents = put(agents, at, each._replace(memories=memories))
        return state if agents is state.agents else state._replace(agents=agents)

    def _needed_memory(self, worker: int, memory: int) -> int:
        found = self.memories.value(memory)
        return self.memories.number(self.agent.remembered(worker, found) if worker else Memory())

    def _with_slot(self, state: State, place: int, **changes: Any) -> State:  # noqa: ANN401 - fields of Slot
        return state._replace(slots=put(state.slots, place, state.slots[place]._replace(**changes)))

    def _with_pod(self, state: State, place: int, pod: Pod | None) -> State:
        """Return the state with a Pod changed; one that is deleted, over and unguarded is gone."""
        if pod is not None and pod.deleting and not pod.guarded and (pod.progress in DONE or pod.cut):
            pod = None
        return self._with_slot(state, place, pod=self.pods.number(pod))

    def _without_secret(self, state: State, name: str, uid: str) -> State:
        """Return the state without a Secret, if it has that UID (empty: any)."""
        place = self._names.get(name)
        if place is None or not state.slots[place].secret:
            return state
        if uid and uid != f"secret-{state.slots[place].secret}":
            return state
        return self._with_slot(state, place, secret=0)


def bits_in(net: int) -> Iterator[int]:
    """Return the numbers of the messages in a set of them."""
    while net:
        low = net & -net
        yield low.bit_length() - 1
        net ^= low
