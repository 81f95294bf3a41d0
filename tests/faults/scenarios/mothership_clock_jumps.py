"""The mothership's clock is set forward and back by hours while runs are under way."""

import tempfile
from pathlib import Path

from tests.faults.scenario import scenario
from tests.faults.world import World

CLOCK = Path(__file__).parents[1] / "clock"
OFFSET = Path(tempfile.gettempdir()) / "workerpool-faults-clock-offset"
HOURS = (2.0, -3.0, 26.0)


@scenario(
    rounds=3,
    work="sleep 2",
    process_node="the clock is a module that a process loads, and the mothership's image has no place for it",
    environment={"mothership": {"PYTHONPATH": str(CLOCK), "FAULTS_CLOCK_OFFSET": str(OFFSET)}},
)
def inject(world: World) -> None:
    """Set it to another time, which it keeps until the next round."""
    world.undo.append(lambda: OFFSET.unlink(missing_ok=True))
    world.await_phase("Running")
    OFFSET.write_text(str(HOURS[world.round % len(HOURS)] * 3600))
    world.wait(5)
