"""Every message arrives twice, the second at once."""

from collections.abc import Iterator

from tests.faults.scenario import scenario
from tests.faults.wire import Overheard
from tests.faults.world import World


@scenario(rounds=1)
def inject(world: World) -> None:
    """Publish each once more."""

    def hear(message: Overheard) -> Iterator[tuple[float, Overheard]]:
        yield 0.0, message

    with world.overheard(hear) as wire:
        world.until(lambda: wire.published >= 40, "messages were published again")
