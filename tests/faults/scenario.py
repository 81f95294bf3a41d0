"""What a scenario is: a file in `scenarios/` named after the failure.

    \"\"\"The operator dies at once, without a word, while runs are claimed, starting and running.\"\"\"

    from tests.faults.scenario import scenario
    from tests.faults.world import World


    @scenario(short=True)
    def inject(world: World) -> None:
        world.kill("operator")
        world.start("operator")

`inject` is one round of the fault. It is called again and again while the load goes on, each time when more runs have
started. Whatever it leaves broken is mended before the verdict: dead parts started, links healed, paused parts
continued. Randomness comes from `world.random`, so that a seed repeats it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.faults.verdict import Expected

if TYPE_CHECKING:
    from tests.faults.world import World

FOLDER = Path(__file__).with_name("scenarios")
SCENARIO = "inject"


@dataclass(frozen=True)
class Scenario:
    """One failure, and what a load has to look like for it."""

    inject: Callable[[World], None]
    short: bool = False
    """Whether it is part of the short set."""
    runs: int = 20
    """Runs in the short set; a long run of the suite has more."""
    rounds: int = 2
    """How often the fault is injected at least; more often in a longer load, unless there is one round only."""
    size: int = 5
    """Workers of the pool."""
    work: str = "sleep 0.3"
    """What each run does, a shell command; `{beat}` writes a line to the journal."""
    expected: Expected = field(default_factory=Expected)
    """How runs may end other than by success."""
    spec: dict[str, Any] = field(default_factory=dict)
    """Further fields of the WorkerPool's spec."""
    arguments: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Further arguments by part, which is restarted with them: operator, mothership, hookdriver, node."""
    environment: dict[str, dict[str, str]] = field(default_factory=dict)
    """Further environment by part."""
    replicas: int = 1
    """Processes of the operator: the parts `operator`, `operator-2` and so on."""
    settle: float = 120.0
    """Seconds that every run may take to its verdict once the last fault is over."""
    needs: Callable[[], str] = lambda: ""
    """Says what this machine lacks for it; empty when nothing."""
    process_node: str = ""
    """Why it can only be had on the process node, where that is so; it is left out elsewhere, with this word."""
    name: str = ""
    about: str = ""


def scenario(**fields: Any) -> Callable[[Callable[[World], None]], Scenario]:  # noqa: ANN401 - Scenario's fields
    """Make the decorated function a scenario."""
    return lambda inject: Scenario(inject, **fields)


def load(name: str) -> Scenario:
    """Return the scenario of a file, named after it and described by its docstring."""
    module = importlib.import_module(f"tests.faults.scenarios.{name}")
    found = getattr(module, SCENARIO, None)
    if not isinstance(found, Scenario) or not module.__doc__:
        raise ValueError(f"tests/faults/scenarios/{name}.py needs a docstring and a scenario `{SCENARIO}`")
    object.__setattr__(found, "name", name)
    object.__setattr__(found, "about", module.__doc__.strip().split("\n\n")[0].replace("\n", " "))
    return found


def every() -> list[Scenario]:
    """Return all scenarios, by name."""
    return [load(path.stem) for path in sorted(FOLDER.glob("*.py")) if path.stem != "__init__"]
