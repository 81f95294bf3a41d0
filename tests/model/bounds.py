"""Which bounds are searched: the fast set of `make test`, and the big one of `make model`."""

from dataclasses import dataclass
from typing import Any

from tests.model.run_state import Bounds


@dataclass(frozen=True, slots=True)
class Search:
    """A named search; `walks` of 0 means every state."""

    name: str
    bounds: Bounds
    walks: int = 0


def bounds(total: int = 1, *, faults: str = "", **sizes: Any) -> Bounds:  # noqa: ANN401 - fields of Bounds
    """Return bounds with one of each of these kinds of faults at most (a name may come twice), `total` in all."""
    named = faults.split()
    caps = tuple((name, named.count(name)) for name in sorted(set(named)))
    return Bounds(total=total if named else 0, faults=caps, **sizes)


FAST = (
    Search("nothing goes wrong", bounds(lag=1)),
    Search("one fault of the cluster", bounds(lag=0, faults="evict rerun")),
    Search("one fault of the broker or an agent", bounds(lag=0, faults="crash loss dup")),
    Search("one fault around the start", bounds(lag=0, faults="lostgrant noreport cancel timeout")),
    Search("a user deletes the Worker", bounds(lag=0, faults="udel")),
    Search("the namespace goes", bounds(lag=0, faults="namespace")),
    Search("a node is cut off", bounds(lag=0, faults="zombie")),
    Search("a Worker comes to be", bounds(lag=0, registered=0)),
)
"""A minute of CPU in all."""
