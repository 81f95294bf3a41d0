"""Recordings without what differs from run to run: UIDs, times, versions, ports. Pure."""

import json
import re
from collections.abc import Iterable

from devcluster.hookdriver.objects import Json

_TIMES = {"creationTimestamp", "deletionTimestamp", "time"}
_UID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


class Normaliser:
    """Replaces UIDs by names that say whose they are; others by their order of appearance."""

    def __init__(self, replacements: dict[str, str]) -> None:
        self._replacements = replacements
        self._names: dict[str, str] = {}
        self._seen: dict[str, int] = {}

    def learn(self, values: Iterable[Json]) -> None:
        """Note whose UID is whose in everything that was seen, oldest first."""
        for value in values:
            self._learn(value)

    def clean(self, value: Json) -> Json:
        """Return the value without what differs from run to run."""
        if isinstance(value, dict):
            return {
                name: self._field(name, item) for name, item in value.items() if not _is_noise(name, item)
            }
        if isinstance(value, list):
            return [self.clean(item) for item in value]
        return self._text(value) if isinstance(value, str) else value

    def _learn(self, value: Json) -> None:
        if isinstance(value, dict):
            meta = value.get("metadata")
            if isinstance(meta, dict) and "uid" in meta and "kind" in value:
                self._name(meta["uid"], f"{value['kind']}/{meta.get('name')}")
            for item in value.values():
                self._learn(item)
        elif isinstance(value, list):
            for item in value:
                self._learn(item)

    def _name(self, uid: str, owner: str) -> None:
        if uid not in self._names:
            count = self._seen[owner] = self._seen.get(owner, 0) + 1
            self._names[uid] = f"<uid of {owner}{f' #{count}' if count > 1 else ''}>"

    def _field(self, name: str, item: Json) -> Json:
        if name == "resourceVersion":
            return "<version>"
        if name in _TIMES and isinstance(item, str):
            return "<time>"
        if name == "managedFields":
            return "<managed>"
        if name == "deletionGracePeriodSeconds":
            return item
        if name.endswith("last-applied-configuration") and isinstance(item, str):
            # Kept as text, because its very bytes are part of the contract.
            return self._text(item)
        return self.clean(item)

    def _text(self, text: str) -> str:
        for old, new in self._replacements.items():
            text = text.replace(old, new)
        return _UID.sub(lambda match: self._names.get(match.group(), "<uid>"), text)


def _is_noise(name: str, item: Json) -> bool:
    """Tell whether a field means the same as its absence."""
    return item is None or (name in ("labels", "annotations", "finalizers", "ownerReferences") and not item)


def canonical(value: Json) -> str:
    """Return a text by which JSON values are compared and sorted."""
    return json.dumps(value, sort_keys=True)


def differences(ours: Json, theirs: Json, at: str = "") -> list[str]:
    """Return where two values differ and how, one line each."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        names = sorted(ours.keys() | theirs.keys())
        return [
            line
            for name in names
            for line in differences(ours.get(name, "<absent>"), theirs.get(name, "<absent>"), f"{at}.{name}")
        ]
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        pairs = enumerate(zip(ours, theirs, strict=True))
        return [line for number, (a, b) in pairs for line in differences(a, b, f"{at}[{number}]")]
    return [] if canonical(ours) == canonical(theirs) else [f"{at}: {ours!r}, recorded {theirs!r}"]
