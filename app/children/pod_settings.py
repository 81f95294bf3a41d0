"""Reading of a pool's frozen ``spec.pod``: what is null or empty counts as not given.

The CRD checks these shapes; a revision that still breaks them raises PodSettingsError with the field named
instead of building a Pod that means something else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from app.contract.fields import JsonObject, json_type
from app.errors import PodSettingsError

DEEPEST: Final = 32
"""Levels that the settings may be nested. A Pod's own fields need 12; the answer's JSON can't hold 255."""


@dataclass(frozen=True, slots=True)
class Settings:
    """One object of the settings, free of null members, and the path that leads to it, for messages.

    Every reader raises PodSettingsError when the value is of another type.
    """

    values: JsonObject
    path: str

    def given(self, key: str) -> Any | None:  # noqa: ANN401 - any JSON value
        """Return the value at `key`, or None when it is absent, null or empty; 0 and false are values."""
        value = self.values.get(key)
        return value if is_given(value) else None

    def text(self, key: str) -> str | None:
        """Return the string at `key`."""
        value = self.given(key)
        if value is not None and not isinstance(value, str):
            raise self._wrong(key, "a string", value)
        return value

    def needed_text(self, key: str) -> str:
        """Return the string at `key`, which must be there."""
        value = self.text(key)
        if value is None:
            raise PodSettingsError(f"{self.path}.{key}", "is missing")
        return value

    def number(self, key: str) -> int | None:
        """Return the whole number at `key`."""
        value = self.given(key)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool)):
            raise self._wrong(key, "a whole number", value)
        return value

    def flag(self, key: str) -> bool | None:
        """Return the boolean at `key`."""
        value = self.given(key)
        if value is not None and not isinstance(value, bool):
            raise self._wrong(key, "a boolean", value)
        return value

    def mapping(self, key: str) -> JsonObject:
        """Return the object at `key`, as it is written."""
        value = self.given(key)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise self._wrong(key, "an object", value)
        return value

    def dense(self, key: str) -> JsonObject:
        """Return the object at `key` without empty members, at any depth.

        Only for objects in which an empty member means the same as none; that isn't so of label selectors.
        """
        found: JsonObject = _without_empty(self.mapping(key))
        return found

    def texts(self, key: str) -> dict[str, str]:
        """Return the object of strings at `key`; an empty string is a value in it."""
        found = self.mapping(key)
        for name, value in found.items():
            if not isinstance(value, str):
                raise PodSettingsError(
                    f"{self.path}.{key}[{name}]", f"must be a string, is {json_type(value)}"
                )
        return found

    def words(self, key: str) -> list[str]:
        """Return the list of strings at `key`."""
        return [self._typed(key, index, item, str) for index, item in enumerate(self._list(key))]

    def objects(self, key: str) -> list[JsonObject]:
        """Return the list of objects at `key`, as they are written."""
        return [item.values for item in self.items(key)]

    def items(self, key: str) -> list[Settings]:
        """Return the objects of the list at `key`, each with its own path."""
        return [
            Settings(self._typed(key, index, item, dict), f"{self.path}.{key}[{index}]")
            for index, item in enumerate(self._list(key))
        ]

    def section(self, key: str) -> Settings:
        """Return the object at `key` with its path."""
        return Settings(self.mapping(key), f"{self.path}.{key}")

    def _list(self, key: str) -> list[Any]:
        value = self.given(key)
        if value is None:
            return []
        if not isinstance(value, list):
            raise self._wrong(key, "a list", value)
        return value

    def _typed(self, key: str, index: int, item: object, kind: type) -> Any:  # noqa: ANN401 - an object of `kind`
        if not isinstance(item, kind):
            raise self._wrong(f"{key}[{index}]", json_type(kind()), item)
        return item

    def _wrong(self, key: str, expected: str, value: object) -> PodSettingsError:
        return PodSettingsError(f"{self.path}.{key}", f"must be {expected}, is {json_type(value)}")


def read_settings(pod: JsonObject) -> Settings:
    """Return the settings of ``spec.pod`` without null members.

    The CRD lets every optional field be null, so the API server stores nulls; each means the same as no member.
    The result shares no object or list with `pod`. Raises PodSettingsError for what is nested beyond any Pod.
    """
    return Settings(
        {key: _without_null(value, f"pod.{key}", DEEPEST) for key, value in pod.items() if value is not None},
        "pod",
    )


def is_given(value: object) -> bool:
    """Tell whether a value is neither null nor an empty string, list or object."""
    return value is not None and value not in ("", [], {})


def _without_null(value: Any, field: str, levels: int) -> Any:  # noqa: ANN401 - any JSON value
    if not isinstance(value, (dict, list)):
        return value
    if levels == 0:
        raise PodSettingsError(field, f"is nested more than {DEEPEST} levels deep, more than any Pod can be")
    if isinstance(value, list):
        # An item of null holds a place: the reader of the list judges it.
        return [_without_null(item, field, levels - 1) for item in value]
    return {key: _without_null(item, field, levels - 1) for key, item in value.items() if item is not None}


def _without_empty(value: Any) -> Any:  # noqa: ANN401 - any JSON value
    if isinstance(value, list):
        return [_without_empty(item) for item in value]
    if not isinstance(value, dict):
        return value
    members = {key: _without_empty(item) for key, item in value.items()}
    return {key: item for key, item in members.items() if is_given(item)}
