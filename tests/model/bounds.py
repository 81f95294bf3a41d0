"""Which bounds are searched: the fast set of `make test`, and the big one of `make model`."""

from dataclasses import dataclass
from typing import Any

from tests.model.checker import Report, explore, walk
from tests.model.pool_model import PoolBounds, PoolModel
from tests.model.run_model import RunModel
from tests.model.run_state import FAULTS, Bounds


@dataclass(frozen=True, slots=True)
class Search:
    """A named search, through every state unless `walks` says how many random ways are taken instead."""

    name: str
    bounds: Bounds | PoolBounds
    walks: int = 0

    def run(self, *, seed: int = 1, most_states: int = 50_000_000, stop_early: bool = False) -> Report:
        """Search, or walk with this seed."""
        if isinstance(self.bounds, PoolBounds):
            return explore(PoolModel(self.bounds), most_states=most_states, stop_early=stop_early)
        model = RunModel(self.bounds)
        try:
            if self.walks:
                return walk(model, walks=self.walks, length=250, seed=seed)
            return explore(model, most_states=most_states, stop_early=stop_early)
        finally:
            model.close()

    def in_words(self) -> str:
        """Return the bounds, for a report."""
        shown = [
            f"{name} {value}"
            for name in self.bounds.__slots__
            if (value := getattr(self.bounds, name)) and name != "faults"
        ]
        kinds = " ".join(f"{name}:{number}" for name, number in self.bounds.faults)
        return ", ".join([*shown, f"faults {kinds or 'none'}"])


def of_run(faults: str = "", total: int = 1, **sizes: Any) -> Bounds:  # noqa: ANN401 - fields of Bounds
    """Return bounds with each of these kinds of faults as often as it is named, and `total` in all."""
    named = faults.split()
    unknown = set(named) - set(FAULTS)
    if unknown:
        raise ValueError(f"no such faults: {unknown}")
    caps = tuple((name, named.count(name)) for name in sorted(set(named)))
    return Bounds(total=total if named else 0, faults=caps, **{"lag": False, **sizes})


def of_pool(faults: str = "", total: int = 1, **sizes: Any) -> PoolBounds:  # noqa: ANN401 - fields of PoolBounds
    """Return the same for the model of a pool."""
    named = faults.split()
    caps = tuple((name, named.count(name)) for name in sorted(set(named)))
    return PoolBounds(total=total if named else 0, faults=caps, **sizes)


FAST = (
    Search("nothing goes wrong", of_run(lag=True)),
    Search("two agents think that they own the pool", of_run(agents=2)),
    Search("one fault of a Pod", of_run("evict rerun")),
    Search("one fault of the broker or an agent", of_run("crash loss dup")),
    Search("one fault around the start", of_run("lostgrant noreport")),
    Search("a node is cut off", of_run("zombie")),
    Search("a user cancels the run", of_run("cancel")),
    Search("the mothership's patience ends", of_run("timeout")),
    Search("a user drains the worker", of_run("drain")),
    Search("a user deletes the Worker", of_run("udel")),
    Search("a Worker comes to be", of_run(registered=False)),
    Search("a pool and one thing that happens to it", of_pool("crash restart scale udel cycle pooldel")),
    Search("a pool is scaled twice", of_pool("scale scale udel", 2, numbers=3, runs=0)),
)
"""About 80 seconds of CPU in all."""

BIG = (
    Search("the namespace goes", of_run("namespace")),
    Search("a Pod fails, and the broker loses everything", of_run("evict loss", 2, pods=1)),
    Search("two agents, one of them crashes", of_run("crash", agents=2)),
    Search("two hook drivers, a Pod fails", of_run("evict", drivers=2)),
    Search("a Worker is deleted, and the broker loses everything", of_run("udel loss", 2, keeps_pods=True)),
    Search("two attempts, a Pod fails", of_run("evict", attempts=2)),
    Search("two attempts on two Workers, patience ends", of_run("timeout", attempts=2, workers=2)),
    Search(
        "a pool and two things that happen to it",
        of_pool("crash restart scale udel cycle pooldel", 2, numbers=3, runs=0),
    ),
    Search("a pool with two hook drivers", of_pool("udel scale", drivers=2, numbers=3, runs=0)),
    Search(
        "everything at once",
        of_run(
            " ".join((*FAULTS, *FAULTS)),
            6,
            runs=2,
            attempts=2,
            workers=2,
            agents=2,
            drivers=2,
            pods=3,
            lag=True,
        ),
        walks=2000,
    ),
)
"""What `make model` does."""
