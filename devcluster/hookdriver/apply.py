"""The three-way merge that Metacontroller calls dynamic apply. Pure.

It works on any kind without its schema: lists of objects that share one of a few well-known keys are merged
like maps, all others are replaced. The sharp edges are kept on purpose: a desired value of another type than
the observed object or list doesn't replace it, and list items with equal
keys become copies of one another.
"""

import json

from devcluster.hookdriver.errors import SyncError
from devcluster.hookdriver.objects import Json, Object, annotations_of, metadata, with_metadata

LAST_APPLIED = "metacontroller.k8s.io/last-applied-configuration"

# In order of precedence, where a list's items have several of them.
_MERGE_KEYS = ("containerPort", "port", "mountPath", "name", "uid", "ip", "path")

_SYSTEM_FIELDS = (
    "selfLink",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "managedFields",
)

# Go's encoder escapes these so that JSON can stand in HTML; the annotation must be the same to the byte.
_GO_ESCAPES = str.maketrans(
    {
        "<": "\\u003c",
        ">": "\\u003e",
        "&": "\\u0026",
        "\u2028": "\\u2028",
        "\u2029": "\\u2029",
    }
)


def go_json(value: Json) -> str:
    """Encode JSON as Go does: sorted keys, no spaces, HTML characters escaped."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return text.translate(_GO_ESCAPES)


def with_last_applied(obj: Object, applied: Object) -> Object:
    """Return obj with the annotation that remembers what was applied."""
    return with_metadata(obj, annotations={**annotations_of(obj), LAST_APPLIED: go_json(applied)})


def without_last_applied(obj: Object) -> Object:
    """Return obj without that annotation."""
    annotations = annotations_of(obj)
    if LAST_APPLIED not in annotations:
        return obj
    kept = {name: value for name, value in annotations.items() if name != LAST_APPLIED}
    return with_metadata(obj, annotations=kept)


def last_applied(obj: Object) -> Object | None:
    """Return what was applied to obj before, None when nothing was."""
    text = annotations_of(obj).get(LAST_APPLIED)
    if not text:
        return None
    try:
        applied = json.loads(text)
    except ValueError as error:
        raise SyncError(f"can't read the annotation {LAST_APPLIED}: {error}") from error
    if not isinstance(applied, dict):
        raise SyncError(f"the annotation {LAST_APPLIED} is no object")
    return applied


def updated(observed: Object, desired: Object) -> Object:
    """Return the observed object with the desired changes, read-only fields and status untouched."""
    desired = without_last_applied(desired)
    merged = merge(observed, last_applied(observed), desired)
    before = metadata(observed)
    system = {name: before.get(name) for name in _SYSTEM_FIELDS}
    merged = with_metadata(merged, **system)
    if "status" in observed:
        merged["status"] = observed["status"]
    else:
        merged.pop("status", None)
    return with_last_applied(merged, desired)


def merge(observed: Json, applied: Json, desired: Json) -> Json:
    """Return observed with the difference from applied to desired; the arguments stay as they are."""
    if isinstance(observed, dict):
        return _merge_object(observed, _or(applied, {}), _or(desired, {}))
    if isinstance(observed, list):
        return _merge_list(observed, _or(applied, []), desired if isinstance(desired, list) else None)
    return desired


def _or(value: Json, fallback: Json) -> Json:
    return value if isinstance(value, type(fallback)) else fallback


def _merge_object(observed: Object, applied: Object, desired: Object) -> Object:
    result = {key: value for key, value in observed.items() if key not in applied or key in desired}
    for key, value in desired.items():
        result[key] = merge(result.get(key), applied.get(key), value)
    return result


def _merge_list(observed: list[Json], applied: list[Json], desired: list[Json] | None) -> list[Json] | None:
    key = _merge_key(observed, applied, desired or [])
    if key is None:
        return desired
    merged = _merge_object(
        _by_key(key, observed),
        _by_key(key, applied),
        _by_key(key, desired or []),
    )
    # Observed items keep their places, twins included; what is new follows in the desired order.
    kept = [_key_text(item[key]) for item in observed]
    added = dict.fromkeys(_key_text(item[key]) for item in desired or [])
    return [merged[name] for name in (*kept, *(name for name in added if name not in kept)) if name in merged]


def _by_key(key: str, items: list[Json]) -> Object:
    return {_key_text(item[key]): item for item in items}


def _key_text(value: Json) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _merge_key(*lists: list[Json]) -> str | None:
    items = [item for one in lists for item in one]
    if not items or not all(isinstance(item, dict) for item in items):
        return None
    shared = set.intersection(*(set(item) for item in items))
    return next((key for key in _MERGE_KEYS if key in shared), None)
