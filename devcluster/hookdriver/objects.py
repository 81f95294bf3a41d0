"""Reading Kubernetes objects as plain JSON, and maps of them as hooks see them. Pure.

Objects that come from a cache are shared: nothing here changes its arguments.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

import orjson

Json = Any  # whatever JSON can hold
Object = dict[str, Json]


class Kind(NamedTuple):
    """What hooks group objects by."""

    api_version: str
    kind: str

    @property
    def group(self) -> str:
        """The API group, empty for the core one."""
        return group_of(self.api_version)

    def __str__(self) -> str:
        return f"{self.kind}.{self.api_version}"


ObjectMap = dict[Kind, dict[str, Object]]


def group_of(api_version: str) -> str:
    """Return the group of an apiVersion, empty for the core one."""
    return api_version.partition("/")[0] if "/" in api_version else ""


def metadata(obj: Object) -> Object:
    """Return the metadata, empty when there is none."""
    return obj.get("metadata") or {}


def name_of(obj: Object) -> str:
    """Return the object's name."""
    return str(metadata(obj).get("name", ""))


def namespace_of(obj: Object) -> str:
    """Return the object's namespace, empty when it is cluster-scoped."""
    return str(metadata(obj).get("namespace", ""))


def uid_of(obj: Object) -> str:
    """Return the object's UID."""
    return str(metadata(obj).get("uid", ""))


def version_of(obj: Object) -> str:
    """Return the object's resourceVersion."""
    return str(metadata(obj).get("resourceVersion", ""))


def generation_of(obj: Object) -> int:
    """Return the object's generation, 0 when its kind has none."""
    return int(metadata(obj).get("generation", 0))


def labels_of(obj: Object) -> dict[str, str]:
    """Return the object's labels."""
    return metadata(obj).get("labels") or {}


def annotations_of(obj: Object) -> dict[str, str]:
    """Return the object's annotations."""
    return metadata(obj).get("annotations") or {}


def finalizers_of(obj: Object) -> list[str]:
    """Return the object's finalizers."""
    return metadata(obj).get("finalizers") or []


def is_terminating(obj: Object) -> bool:
    """Tell whether somebody asked for the object's deletion."""
    return bool(metadata(obj).get("deletionTimestamp"))


def kind_of(obj: Object) -> Kind:
    """Return the object's kind with its apiVersion."""
    return Kind(str(obj.get("apiVersion", "")), str(obj.get("kind", "")))


def describe(obj: Object) -> str:
    """Return `Kind namespace/name` for messages."""
    return f"{obj.get('kind', '')} {qualified_name(obj)}"


def qualified_name(obj: Object) -> str:
    """Return `namespace/name`, or `name` for a cluster-scoped object."""
    namespace = namespace_of(obj)
    return f"{namespace}/{name_of(obj)}" if namespace else name_of(obj)


def controller_of(obj: Object) -> Object | None:
    """Return the owner reference of the object's controller."""
    for reference in metadata(obj).get("ownerReferences") or []:
        if reference.get("controller"):
            return dict(reference)
    return None


def controller_reference(parent: Object) -> Object:
    """Return the owner reference that makes parent a controller."""
    return {
        "apiVersion": parent["apiVersion"],
        "kind": parent["kind"],
        "name": name_of(parent),
        "uid": uid_of(parent),
        "controller": True,
        "blockOwnerDeletion": True,
    }


def with_metadata(obj: Object, **fields: Json) -> Object:
    """Return a copy of obj whose metadata has these fields; None takes a field out."""
    changed = {**metadata(obj), **fields}
    return {**obj, "metadata": {name: value for name, value in changed.items() if value is not None}}


def identical(left: Json, right: Json) -> bool:
    """Compare JSON values the way Go compares decoded ones: 1, 1.0 and true differ, null isn't empty."""
    # Python calls 1, 1.0 and True equal: only when its own answer is yes must one look closer.
    return bool(left == right) and _canonical(left) == _canonical(right)


def _canonical(value: Json) -> bytes:
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS)


def grouped(objects: Iterable[Object]) -> ObjectMap:
    """Return the objects by kind and qualified name; the last of one name wins."""
    result: ObjectMap = {}
    for obj in objects:
        result.setdefault(kind_of(obj), {})[qualified_name(obj)] = obj
    return result


def as_hook_sees(objects: ObjectMap, parent: Object, *, version: str) -> dict[str, dict[str, Object]]:
    """Return the map in a hook request's form.

    Version 1 names objects relative to the parent: with their namespace only below a cluster-scoped parent.
    """
    relative = version == "v1" and bool(namespace_of(parent))
    key = name_of if relative else qualified_name
    return {str(kind): {key(obj): obj for obj in group.values()} for kind, group in objects.items()}
