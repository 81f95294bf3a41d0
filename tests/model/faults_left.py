"""How often faults may still happen: numbers in a state, the first for all kinds together, then one for each kind."""

from collections.abc import Iterable

Left = tuple[int, ...]


class Faults:
    """The kinds of one model, each with how often it may happen, and how often faults may happen in all."""

    def __init__(self, total: int, kinds: Iterable[tuple[str, int]]) -> None:
        kinds = tuple(kinds)
        self.all: Left = (total, *(number for _, number in kinds))
        self._places = {name: place for place, (name, _) in enumerate(kinds, start=1)}

    def spend(self, left: Left, kind: str) -> Left | None:
        """Return the faults left after one of a kind, None when there is none left."""
        place = self._places.get(kind)
        if place is None or not left[0] or not left[place]:
            return None
        rest = list(left)
        rest[0] -= 1
        rest[place] -= 1
        return tuple(rest)
