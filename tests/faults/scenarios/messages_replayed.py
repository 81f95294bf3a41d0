"""Everything that was ever said about a pool is said again, in any order, while new runs go on."""

from collections.abc import Iterator

from tests.faults.scenario import scenario
from tests.faults.wire import Overheard
from tests.faults.world import World


@scenario(short=True, rounds=1, runs=24)
def inject(world: World) -> None:
    """Collect for a while, then publish all of it, shuffled."""
    said: list[Overheard] = []

    def hear(message: Overheard) -> Iterator[tuple[float, Overheard]]:
        said.append(message)
        return iter(())

    with world.overheard(hear) as wire:
        world.until(lambda: len(said) >= 60, "60 messages were overheard")
        for message in world.random.sample(said, len(said)):
            wire.publish(message)
        world.wait(3)
