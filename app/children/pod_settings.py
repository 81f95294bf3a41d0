"""Reading of a pool's frozen ``spec.pod``: what is null or empty counts as not given.

The CRD checks these shapes; a revision that still breaks them raises PodSettingsError with the field named
instead of building a Pod that means something else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from app.contract.fields import JsonObject, json_type
from app.errors import PodSettingsError


@dataclass(frozen=True, slots=True)
class Settings:
    """One object of the settings and the path that leads to it, for messages."""

    values: JsonObject
    path: str

    def given(self, key: str) -> Any | None:  # noqa: ANN401 - any JSON value
        """Return the value at `key`, or None when it is absent, null or empty; 0 and false are values."""
        value = self.values.get(key)
        return None if value is None or value in ("", [], {}) else value

    def objects(self, key: str) -> list[JsonObject]:
        """Return the list of objects at `key`."""
        value = self.given(key)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            raise PodSettingsError(f"{self.path}.{key}", "must be a list of objects")
        return value

    def mapping(self, key: str) -> JsonObject:
        """Return the object at `key` without its null members."""
        value = self.given(key)
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise PodSettingsError(f"{self.path}.{key}", f"must be an object, is {json_type(value)}")
        return {name: item for name, item in value.items() if item is not None}

    def text(self, key: str) -> str | None:
        """Return the string at `key`."""
        value = self.given(key)
        if value is not None and not isinstance(value, str):
            raise PodSettingsError(f"{self.path}.{key}", f"must be a string, is {json_type(value)}")
        return value

    def section(self, key: str) -> Settings:
        """Return the settings of one container."""
        return Settings(self.mapping(key), f"{self.path}.{key}")
