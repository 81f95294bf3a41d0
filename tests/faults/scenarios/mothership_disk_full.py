"""The mothership's disk is full for a while, and so is nothing that it says."""

from dataclasses import replace
from itertools import count

from tests.faults import disk
from tests.faults.scenario import scenario
from tests.faults.world import World


@scenario(
    rounds=1,
    work="sleep 1",
    needs=disk.lacking,
    process_node="the small disk is mounted around a process, and a Pod's mounts are made before",
)
def inject(world: World) -> None:
    """Move its data to a small disk, fill that, and free it again."""
    part, data = world.cluster.component("mothership"), world.cluster.site.mothership_data
    plain = part.program

    def move_back() -> None:
        part.stop()
        part.program = plain
        part.start()

    part.stop()
    part.program = replace(plain, argv=disk.on_small_disk(plain.argv, data, "8m"))
    world.undo.append(move_back)
    part.start()
    world.await_phase("Running")
    numbers = count()

    def refuses() -> bool:
        # A database writes for a while into pages that it has already: what that freed is filled again.
        disk.fill(part.pid, data)
        return world.load.trigger(f"full{next(numbers)}") is None

    world.until(refuses, "the mothership can't store a run")
    world.wait(world.random.uniform(6, 10))
    disk.free(part.pid, data)
    world.await_started(world.load.work.runs * 3 // 4)
