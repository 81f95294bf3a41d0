"""Copies of every message arrive late and out of order."""

from collections.abc import Iterator

from tests.faults.scenario import scenario
from tests.faults.wire import Overheard
from tests.faults.world import World


@scenario(rounds=1)
def inject(world: World) -> None:
    """Publish each three more times within some seconds."""

    def hear(message: Overheard) -> Iterator[tuple[float, Overheard]]:
        for _ in range(3):
            yield world.random.uniform(0, 6), message

    with world.overheard(hear) as wire:
        world.until(lambda: wire.published >= 40, "messages were published again")
