"""What must be written so that the observed children become the desired ones. Pure.

Used for the children of composites and the attachments of decorators alike. The order is Metacontroller's: all
deletions, then creations and updates, kind by kind. A mistake in one child never stops the others.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

import orjson

from devcluster.hookdriver.apply import updated, with_last_applied
from devcluster.hookdriver.errors import SyncError
from devcluster.hookdriver.objects import (
    Kind,
    Object,
    ObjectMap,
    controller_reference,
    describe,
    identical,
    is_terminating,
    metadata,
    uid_of,
    version_of,
    with_metadata,
)


class Method(Enum):
    """What happens to a child that exists and differs from what is desired."""

    ON_DELETE = "OnDelete"
    IN_PLACE = "InPlace"
    RECREATE = "Recreate"


class Verb(Enum):
    """The writes there are."""

    DELETE = "delete"
    CREATE = "create"
    UPDATE = "update"


@dataclass(frozen=True)
class Operation:
    """One write of one child."""

    verb: Verb
    kind: Kind
    child: Object


@dataclass(frozen=True)
class Plan:
    """The writes in their order, and what couldn't be planned."""

    operations: tuple[Operation, ...]
    errors: tuple[str, ...]


@dataclass
class Unchanged:
    """Children of one parent that were compared before and needed nothing.

    A pool of a thousand would otherwise merge a thousand unchanged children at every sync.
    """

    _seen: dict[str, tuple[str, bytes]] = field(default_factory=dict)

    def holds(self, observed: Object, desired: bytes) -> bool:
        """Tell whether this pair was found equal before."""
        return self._seen.get(uid_of(observed)) == (version_of(observed), desired)

    def add(self, observed: Object, desired: bytes) -> None:
        """Remember that this pair is equal."""
        self._seen[uid_of(observed)] = (version_of(observed), desired)

    def keep_only(self, observed: ObjectMap) -> None:
        """Forget the children that are gone."""
        alive = {uid_of(child) for group in observed.values() for child in group.values()}
        for uid in self._seen.keys() - alive:
            del self._seen[uid]


def plan(
    parent: Object,
    observed: ObjectMap,
    desired: ObjectMap,
    method_of: Callable[[Kind], Method],
    unchanged: Unchanged | None = None,
) -> Plan:
    """Return the writes that turn the observed children into the desired ones."""
    memory = unchanged if unchanged is not None else Unchanged()
    memory.keep_only(observed)
    operations = _deletions(observed, desired)
    errors: list[str] = []
    for kind in sorted(desired, key=_order):
        for name, child in desired[kind].items():
            try:
                operation = _settle(
                    parent, kind, observed.get(kind, {}).get(name), child, method_of(kind), memory
                )
            except SyncError as error:
                errors.append(f"can't apply {describe(child)}: {error}")
                continue
            if operation is not None:
                operations.append(operation)
    return Plan(tuple(operations), tuple(errors))


def _order(kind: Kind) -> tuple[str, str, str]:
    return kind.group, kind.api_version, kind.kind


def _deletions(observed: ObjectMap, desired: ObjectMap) -> list[Operation]:
    return [
        Operation(Verb.DELETE, kind, child)
        for kind in sorted(observed, key=_order)
        for name, child in observed[kind].items()
        if name not in desired.get(kind, {}) and not is_terminating(child)
    ]


def _settle(
    parent: Object, kind: Kind, observed: Object | None, desired: Object, method: Method, memory: Unchanged
) -> Operation | None:
    if observed is None:
        return Operation(Verb.CREATE, kind, _created(parent, desired))
    # OnDelete never writes, so nothing is lost by not merging first.
    if method is Method.ON_DELETE or is_terminating(observed):
        return None
    text = orjson.dumps(desired)
    if memory.holds(observed, text):
        return None
    child = updated(observed, desired)
    if identical(child, observed):
        memory.add(observed, text)
        return None
    if method is Method.RECREATE:
        return Operation(Verb.DELETE, kind, observed)
    return Operation(Verb.UPDATE, kind, child)


def _created(parent: Object, desired: Object) -> Object:
    """Return the child as it is created: what was asked for, remembered, and owned by the parent.

    The parent joins the owners that the hook gave; its UID among them counts as owned already.
    """
    child = with_last_applied(desired, desired)
    owners = list(metadata(desired).get("ownerReferences") or [])
    if all(owner.get("uid") != uid_of(parent) for owner in owners):
        owners.append(controller_reference(parent))
    return with_metadata(child, ownerReferences=owners)
