"""All scenarios by name. Without a mutation none of them shows any sign."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType

from tests.mutations import scenarios_messages, scenarios_objects, scenarios_starts
from tests.mutations.stage import Stage

Scenario = Callable[[Stage], None]


def _of(module: ModuleType) -> dict[str, Scenario]:
    own = (found for found in vars(module).values() if getattr(found, "__module__", "") == module.__name__)
    return {found.__name__.replace("_", "-"): found for found in own if callable(found)}


SCENARIOS = {
    name: scenario
    for module in (scenarios_messages, scenarios_starts, scenarios_objects)
    for name, scenario in _of(module).items()
}
