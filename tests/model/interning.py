"""Values as small integers, so that states are cheap to compare, to hash and to keep."""

from collections.abc import Hashable
from typing import Any, Generic, TypeVar

import orjson

T = TypeVar("T", bound=Hashable)


class Interner(Generic[T]):
    """Numbers each value once; 0 is the first."""

    def __init__(self) -> None:
        self._numbers: dict[T, int] = {}
        self._values: list[T] = []

    def number(self, value: T) -> int:
        """Return a value's number."""
        found = self._numbers.get(value)
        if found is None:
            found = self._numbers[value] = len(self._values)
            self._values.append(value)
        return found

    def value(self, number: int) -> T:
        """Return the value of a number."""
        return self._values[number]

    def __len__(self) -> int:
        """Return how many values there are."""
        return len(self._values)


class Objects:
    """Kubernetes objects by number: equal content, equal number. 0 means that there is no object."""

    def __init__(self) -> None:
        self._texts: Interner[bytes] = Interner()
        self._texts.number(b"null")
        self._parsed: list[dict[str, Any]] = [{}]

    def number(self, found: dict[str, Any]) -> int:
        """Return an object's number."""
        number = self._texts.number(orjson.dumps(found, option=orjson.OPT_SORT_KEYS))
        if number == len(self._parsed):
            self._parsed.append(orjson.loads(self._texts.value(number)))
        return number

    def value(self, number: int) -> dict[str, Any]:
        """Return the object, which nobody may change."""
        return self._parsed[number]
