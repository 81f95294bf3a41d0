"""A recording of hook calls: which objects each call saw, in order, small enough to be committed.

Objects are kept once for each resourceVersion and calls name them, so that a thousand calls over ten objects stay
a few kilobytes. Only what hooks may read is kept: no managedFields, and no copy of an object in its own annotation.
Nothing here knows our kinds: any Metacontroller hook's calls can be recorded (docs/replay.md).
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

Json = dict[str, Any]

LAST_APPLIED = "metacontroller.k8s.io/last-applied-configuration"
PARENTS = ("object", "parent")
"""Where a call has its parent: DecoratorControllers say `object`, the others `parent`."""

CHILDREN = ("attachments", "children")
GROUPS = (*CHILDREN, "related")


@dataclass(frozen=True, slots=True)
class Call:
    """One hook call, put together again: its path, its body, and what was answered."""

    path: str
    request: Json
    response: Json


@dataclass(slots=True)
class Recording:
    """Calls in the order in which they came."""

    calls: list[Call] = field(default_factory=list)

    def save(self, path: Path) -> None:
        """Write the recording; the same calls make the same bytes."""
        text = json.dumps(_pack(self.calls), sort_keys=True, separators=(",", ":"))
        path.write_bytes(gzip.compress(text.encode(), mtime=0))

    @classmethod
    def load(cls, path: Path) -> Recording:
        """Read what `save` wrote."""
        return cls(_unpack(json.loads(gzip.decompress(path.read_bytes()))))


def parent_of(request: Mapping[str, Any]) -> Json:
    """Return the object that a call is about."""
    found: Json = next(request[key] for key in PARENTS if key in request)
    return found


def objects_of(request: Mapping[str, Any], groups: Iterable[str] = CHILDREN) -> list[Json]:
    """Return the objects in these groups of a call's body."""
    return [
        found
        for group in groups
        for named in (request.get(group) or {}).values()
        for found in (named or {}).values()
    ]


def trimmed(found: Json) -> Json:
    """Return an object without what no hook may read."""
    metadata = {key: value for key, value in found.get("metadata", {}).items() if key != "managedFields"}
    annotations = {
        key: value for key, value in (metadata.get("annotations") or {}).items() if key != LAST_APPLIED
    }
    if "annotations" in metadata:
        metadata["annotations"] = annotations
    return {**found, "metadata": metadata}


def identity(found: Mapping[str, Any]) -> str:
    """Return what names one version of one object."""
    metadata = found["metadata"]
    return f"{found['kind']}/{metadata['name']}/{metadata['uid']}/{metadata['resourceVersion']}"


def _pack(calls: list[Call]) -> Json:
    objects: dict[str, Json] = {}

    def name(found: Json) -> str:
        found = trimmed(found)
        objects[identity(found)] = found
        return identity(found)

    packed = []
    for call in calls:
        parent_key = next(key for key in PARENTS if key in call.request)
        body: Json = {
            "parent": [parent_key, name(call.request[parent_key])],
            "more": {key: call.request[key] for key in ("finalizing",) if key in call.request},
            "groups": {
                group: {
                    kind: {key: name(found) for key, found in (named or {}).items()}
                    for kind, named in (call.request[group] or {}).items()
                }
                for group in GROUPS
                if group in call.request
            },
        }
        packed.append({"path": call.path, "body": body, "response": call.response})
    return {"objects": objects, "calls": packed}


def _unpack(data: Json) -> list[Call]:
    objects: dict[str, Json] = data["objects"]
    calls = []
    for each in data["calls"]:
        body = each["body"]
        parent_key, parent = body["parent"]
        request: Json = {
            parent_key: objects[parent],
            **body["more"],
            **{
                group: {
                    kind: {key: objects[name] for key, name in named.items()} for kind, named in kinds.items()
                }
                for group, kinds in body["groups"].items()
            },
        }
        calls.append(Call(each["path"], request, each["response"]))
    return calls
