"""Time travel: every call that a hook could have been sent, had its driver's caches been of other ages.

A hook driver has one cache for each kind, they lag each by itself, and a restart may put any of them back onto an old
list. So parent and children are taken from any two moments of what truly happened, and the related objects from the
parent's moment or not there yet. A hook has no memory: asking it about each pair covers every order of restarts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from tests.replay.history import History, Moment, Name, name_of
from tests.replay.recording import CHILDREN, PARENTS, Json, identity

Hook = Callable[[Json], Json]
"""Asks a hook: the call's body in, the answer's body out. `finalizing` in the body tells which hook is meant."""


@dataclass(frozen=True, slots=True)
class View:
    """What a call shows: the parent of one moment, children of another, and the request that shows them."""

    parent: Json
    children: dict[Name, Json]
    request: Json
    parent_at: int
    children_at: int


@dataclass(frozen=True, slots=True)
class Truth:
    """What had happened by the time that a view could be had at the earliest: nothing later is held against a hook."""

    moments: list[Moment]

    @property
    def now(self) -> Moment:
        """The last moment."""
        return self.moments[-1]

    def parents(self) -> Iterator[Json]:
        """Return every state that the parent has had so far."""
        return (moment.parent for moment in self.moments if moment.parent is not None)


class Rules(Protocol):
    """What must hold of a hook's answers; each returns what is wrong, or an empty text."""

    def dropped(self, child: Json, view: View, truth: Truth) -> str:
        """Judge that a child which the view shows is not in the answer: the driver deletes it."""

    def wished(self, name: Name, view: View, truth: Truth) -> str:
        """Judge that a child which the view doesn't show is in the answer: the driver creates it."""

    def finalized(self, view: View, truth: Truth) -> str:
        """Judge that a finalize hook lets the parent go."""


@dataclass(frozen=True, slots=True)
class Violation:
    """An answer that breaks a rule, with what is needed to look at it."""

    what: str
    about: Name
    view: View
    answer: Json

    def __str__(self) -> str:
        kind, name = self.about
        return f"{self.what}: {kind} {name} (parent as of {self.view.parent_at}, children as of {self.view.children_at})"


@dataclass(slots=True)
class Report:
    """What a replay showed: how many different calls were made, and what was wrong."""

    calls: int
    violations: list[Violation]

    @property
    def signs(self) -> dict[str, int]:
        """What was wrong, and how often."""
        counted: dict[str, int] = defaultdict(int)
        for each in self.violations:
            counted[each.what] += 1
        return dict(counted)

    def with_more(self, other: Report) -> Report:
        """Return both reports as one."""
        return Report(self.calls + other.calls, self.violations + other.violations)


def travel(history: History, hook: Hook, rules: Rules) -> Report:
    """Ask the hook about every pair of ages, and judge its answers."""
    report = Report(0, [])
    seen: dict[Any, Json] = {}
    for view, truth in views(history):
        key = _key(view.request)
        if key not in seen:
            seen[key] = hook(view.request)
        report.violations += _judge(view, truth, seen[key], rules)
    report.calls = len(seen)
    return report


def views(history: History) -> Iterator[tuple[View, Truth]]:
    """Return every pair of ages, with the truth by the younger of the two."""
    moments = history.moments
    for i, of_parent in enumerate(moments):
        if of_parent.parent is None:
            continue
        for j, of_children in enumerate(moments):
            truth = Truth(moments[: max(i, j) + 1])
            for related in (of_parent.related, {}):
                request = _request(history, of_parent.parent, of_children.children, related)
                yield (
                    View(of_parent.parent, of_children.children, request, of_parent.at, of_children.at),
                    truth,
                )


def _request(history: History, parent: Json, children: dict[Name, Json], related: dict[Name, Json]) -> Json:
    template = history.template.request
    request: Json = dict(template)
    request[next(key for key in PARENTS if key in template)] = parent
    request["finalizing"] = "deletionTimestamp" in parent["metadata"]
    for group in CHILDREN:
        if group in template:
            request[group] = _grouped(template[group], children)
    if "related" in template:
        request["related"] = _grouped(template["related"], related)
    return request


def _grouped(template: Json | None, objects: dict[Name, Json]) -> Json:
    groups: Json = {group: {} for group in template or {}}
    for found in objects.values():
        group = f"{found['kind']}.{found['apiVersion']}"
        groups.setdefault(group, {})[found["metadata"]["name"]] = found
    return groups


def _judge(view: View, truth: Truth, answer: Json, rules: Rules) -> list[Violation]:
    wanted = {name_of(child) for child in _children(answer)}
    wrong = [
        (rules.dropped(child, view, truth), name)
        for name, child in view.children.items()
        if name not in wanted
    ]
    wrong += [(rules.wished(name, view, truth), name) for name in sorted(wanted - set(view.children))]
    if view.request["finalizing"] and answer.get("finalized"):
        wrong.append((rules.finalized(view, truth), name_of(view.parent)))
    return [Violation(what, name, view, answer) for what, name in wrong if what]


def _children(answer: Json) -> Iterable[Json]:
    return [child for group in CHILDREN for child in answer.get(group) or ()]


def _key(request: Json) -> tuple[str, ...]:
    objects = [request[key] for key in PARENTS if key in request]
    for group in (*CHILDREN, "related"):
        objects += [found for named in (request.get(group) or {}).values() for found in named.values()]
    return tuple(sorted(identity(found) for found in objects))
