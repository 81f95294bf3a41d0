"""What truly happened to one parent and its children, worked out from the calls that were recorded about it.

resourceVersions of one API server are in one order over all kinds, so every version of every object that any call
showed has its place on one line. Removals have none: an object counts as gone from the first call on that doesn't
show it any more, at the newest version that call has.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass

from tests.replay.recording import CHILDREN, Call, Json, objects_of, parent_of

Name = tuple[str, str]
"""Kind and name of an object."""


@dataclass(frozen=True, slots=True)
class Moment:
    """Parent, children and related objects as they were at one place on the line; `parent` None: not there yet."""

    at: int
    parent: Json | None
    children: dict[Name, Json]
    related: dict[Name, Json]


@dataclass(frozen=True, slots=True)
class History:
    """One parent's moments, oldest first; `template` is a call of it, to make other calls like it."""

    uid: str
    moments: list[Moment]
    template: Call


def histories(calls: Iterable[Call], kind: str) -> list[History]:
    """Return a history for each parent of `kind` that sync and finalize hooks were asked about."""
    by_parent: dict[str, list[Call]] = defaultdict(list)
    for call in calls:
        parent = parent_of(call.request)
        # A customize call shows no children, which doesn't mean that there are none.
        if parent["kind"] == kind and any(group in call.request for group in CHILDREN):
            by_parent[parent["metadata"]["uid"]].append(call)
    return [History(uid, _moments(found), found[-1]) for uid, found in by_parent.items()]


def version(found: Json) -> int:
    """Return an object's place on the line."""
    return int(found["metadata"]["resourceVersion"])


def name_of(found: Json) -> Name:
    """Return kind and name."""
    return found["kind"], found["metadata"]["name"]


def _moments(calls: list[Call]) -> list[Moment]:
    parents = {version(parent): parent for parent in (parent_of(call.request) for call in calls)}
    children = _changes(calls, CHILDREN)
    related = _changes(calls, ("related",))
    moments, moment = [], Moment(0, None, {}, {})
    for at in sorted({*parents, *children, *related}):
        moment = Moment(
            at,
            parents.get(at, moment.parent),
            _after(moment.children, children.get(at, {})),
            _after(moment.related, related.get(at, {})),
        )
        moments.append(moment)
    return moments


def _changes(calls: list[Call], groups: tuple[str, ...]) -> dict[int, dict[Name, Json | None]]:
    """Return by place what came or changed there, None for what went."""
    changes: dict[int, dict[Name, Json | None]] = defaultdict(dict)
    there: dict[Name, int] = {}
    for call in calls:
        shown = {name_of(found): found for found in objects_of(call.request, groups)}
        everything = [parent_of(call.request), *objects_of(call.request, (*CHILDREN, "related"))]
        newest = max(version(found) for found in everything)
        for name, found in shown.items():
            changes[version(found)][name] = found
        for name in [name for name in there if name not in shown]:
            gone_at = max(newest, there.pop(name) + 1)
            changes[gone_at].setdefault(name, None)
        there |= {name: max(version(found), there.get(name, 0)) for name, found in shown.items()}
    return changes


def _after(before: dict[Name, Json], change: dict[Name, Json | None]) -> dict[Name, Json]:
    after = {**before, **{name: found for name, found in change.items() if found is not None}}
    return {name: found for name, found in after.items() if change.get(name, found) is not None}
