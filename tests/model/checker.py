"""An explicit-state checker: every reachable state once, shortest traces, liveness as "from everywhere the goal can be
reached without another fault" (AG EF), and seeded random walks for what is too big to be complete.

States are hashable values; a model gives their successors. Nothing here knows what is being checked.
"""

import gc
import random
import time
from array import array
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Generic, NamedTuple, Protocol, TypeVar

S = TypeVar("S", bound=Hashable)

Label = tuple[object, ...]
"""What happened, as words and numbers; put together only for a trace."""

LIVE = "LIVE: without another fault everything can settle"
"""Name of the property that is no invariant of a single step."""

_NO_PARENT = 0xFFFFFFFF


class Step(NamedTuple, Generic[S]):
    """A transition: `progress` is False for faults and users, `broken` names the invariants that it violates."""

    label: Label
    state: S
    progress: bool = True
    broken: tuple[str, ...] = ()


class Model(Protocol[S]):
    """What is checked."""

    invariants: tuple[str, ...]

    def initial(self) -> S:
        """Return the first state."""

    def steps(self, state: S) -> list[Step[S]]:
        """Return every transition out of a state."""

    def settled(self, state: S) -> bool:
        """Return whether nothing is left to be done: the goal of LIVE."""

    def show(self, state: S) -> str:
        """Return a state in words."""


@dataclass(slots=True)
class Finding:
    """A violated property with the shortest way there (or the shortest that walks came upon) and how often it was seen."""

    name: str
    trace: list[str]
    count: int = 1


@dataclass(slots=True)
class Report:
    """What a search found."""

    states: int = 0
    transitions: int = 0
    depth: int = 0
    complete: bool = True
    seconds: float = 0.0
    kinds: set[str] = field(default_factory=set)
    findings: dict[str, Finding] = field(default_factory=dict)

    @property
    def holds(self) -> bool:
        """Whether nothing was violated."""
        return not self.findings

    def summary(self) -> str:
        """Return one line of figures."""
        size = "complete" if self.complete else "NOT complete"
        names = ", ".join(sorted(self.findings)) or "holds"
        return (
            f"{self.states:,} states, {self.transitions:,} transitions, depth {self.depth}, {size}, "
            f"{self.seconds:.1f} s of CPU: {names}"
        )

    def details(self) -> str:
        """Return the traces of everything that is violated."""
        lines = []
        for finding in self.findings.values():
            lines.append(f"VIOLATED {finding.name} ({finding.count} times)")
            lines.extend(f"  {number:2}. {line}" for number, line in enumerate(finding.trace, start=1))
        return "\n".join(lines)


def words(label: Label) -> str:
    """Return a label as a line of a trace."""
    return " ".join(str(part) for part in label)


class _Search(Generic[S]):
    """Breadth-first search; keeps for each state its parent, and the progress edges for LIVE."""

    def __init__(self, model: Model[S], most_states: int, *, live: bool, stop_early: bool) -> None:
        self.model, self.most_states, self.live, self.stop_early = model, most_states, live, stop_early
        first = model.initial()
        self.index: dict[S, int] = {first: 0}
        self.states: list[S] = [first]
        self.parents = array("I", [_NO_PARENT])
        self.depths = array("H", [0])
        self.offsets = array("Q", [0])
        self.edges = array("I")
        self.report = Report()

    def run(self) -> Report:
        """Search everything; return what was found."""
        began = time.process_time()
        # States refer to nothing that could refer back; the collector would only look at them again and again.
        was_enabled = gc.isenabled()
        gc.disable()
        try:
            self._explore()
            if self.live and self.report.complete and not (self.stop_early and self.report.findings):
                self._check_liveness()
        finally:
            if was_enabled:
                gc.enable()
        report = self.report
        report.states, report.depth = len(self.states), self.depths[-1]
        report.seconds = time.process_time() - began
        return report

    def _explore(self) -> None:
        at, report, states = 0, self.report, self.states
        while at < len(states):
            if len(states) > self.most_states:
                report.complete = False
                return
            for step in self.model.steps(states[at]):
                report.transitions += 1
                self._take(at, step)
            self.offsets.append(len(self.edges))
            at += 1
            if report.findings and self.stop_early:
                report.complete = at == len(states)
                return

    def _take(self, at: int, step: Step[S]) -> None:
        target = self.index.get(step.state)
        if target is None:
            target = self.index[step.state] = len(self.states)
            self.states.append(step.state)
            self.parents.append(at)
            self.depths.append(self.depths[at] + 1)
            self.report.kinds.add(str(step.label[0]))
        if step.progress and self.live and target != at:
            self.edges.append(target)
        for name in step.broken:
            found = self.report.findings.get(name)
            if found is not None:
                found.count += 1
            else:
                trace = [*self.trace(at), words(step.label), f"=> {self.model.show(step.state)}"]
                self.report.findings[name] = Finding(name, trace)

    def trace(self, at: int) -> list[str]:
        """Return the shortest way to a state in words."""
        way = [at]
        while self.parents[way[-1]] != _NO_PARENT:
            way.append(self.parents[way[-1]])
        way.reverse()
        lines = []
        for before, after in pairwise(way):
            steps = self.model.steps(self.states[before])
            lines.append(words(next(each.label for each in steps if each.state == self.states[after])))
        return lines

    def _check_liveness(self) -> None:
        """Mark backwards, in sweeps, what can reach the goal: children mostly have higher numbers than parents."""
        count = len(self.states)
        good = bytearray(1 if self.model.settled(state) else 0 for state in self.states)
        open_ones = [number for number in range(count - 1, -1, -1) if not good[number]]
        while open_ones:
            still_open = [number for number in open_ones if not self._reaches(number, good)]
            if len(still_open) == len(open_ones):
                break
            open_ones = still_open
        if open_ones:
            first = min(open_ones)
            # The deepest of them shows better what is stuck than the first that is bound to get there.
            stuck = next((each for each in sorted(open_ones) if self._is_stuck(each)), first)
            trace = [*self.trace(stuck), f"=> stuck: {self.model.show(self.states[stuck])}"]
            self.report.findings[LIVE] = Finding(LIVE, trace, len(open_ones))

    def _reaches(self, number: int, good: bytearray) -> bool:
        for edge in range(self.offsets[number], self.offsets[number + 1]):
            if good[self.edges[edge]]:
                good[number] = 1
                return True
        return False

    def _is_stuck(self, number: int) -> bool:
        return self.offsets[number] == self.offsets[number + 1]


def explore(
    model: Model[S], *, most_states: int = 50_000_000, live: bool = True, stop_early: bool = False
) -> Report:
    """Visit every reachable state breadth-first, so that traces are shortest; stop at `most_states`.

    `stop_early` ends at the first violation: enough for a mutation that must be caught.
    """
    return _Search(model, most_states, live=live, stop_early=stop_early).run()


def walk(model: Model[S], *, walks: int, length: int, seed: int) -> Report:
    """Walk at random, faults less often than progress; after `length` steps without faults until all is settled.

    The same seed walks the same ways.
    """
    report, began = Report(complete=False), time.process_time()
    for number in range(walks):
        # A fixed seed for each walk: any of them can be repeated by itself.
        _one_walk(model, random.Random(f"{seed}:{number}"), length, report)  # noqa: S311 - choices, no secrets
    report.seconds = time.process_time() - began
    report.states = report.transitions
    return report


def _one_walk(model: Model[S], choice: random.Random, length: int, report: Report) -> None:
    state, trace, seen = model.initial(), list[str](), set[str]()
    for at in range(length * 5):
        calm = at >= length
        if calm and model.settled(state):
            return
        steps = model.steps(state)
        moving = [each for each in steps if each.progress]
        if calm or (moving and choice.random() < 0.75):
            steps = moving
        if not steps:
            break
        step = choice.choice(steps)
        trace.append(words(step.label))
        report.transitions += 1
        report.depth = max(report.depth, at)
        report.kinds.add(str(step.label[0]))
        state = step.state
        for name in set(step.broken) - seen:
            seen.add(name)
            _note(report, name, [*trace, f"=> {model.show(state)}"])
    if not model.settled(state):
        _note(report, LIVE, [*trace, f"=> stuck: {model.show(state)}"])


def _note(report: Report, name: str, trace: list[str]) -> None:
    found = report.findings.get(name)
    if found is None:
        report.findings[name] = Finding(name, trace)
        return
    found.count += 1
    if len(trace) < len(found.trace):
        found.trace = trace


def replay(model: Model[S], ways: Iterable[Callable[[Step[S]], bool]]) -> Iterator[S]:
    """Follow the first step that each of `ways` takes; for tests that lead a model by hand."""
    state = model.initial()
    yield state
    for chosen in ways:
        state = next(step.state for step in model.steps(state) if chosen(step))
        yield state
