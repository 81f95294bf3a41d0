"""A node is cut off in the middle of runs: they stop by themselves before the mothership calls them lost."""

from tests.faults.scenario import scenario
from tests.faults.verdict import Expected
from tests.faults.world import World, phase_of

LOST_AFTER, GRACE = 8, 8
LEASE = ("--lease=2", f"--lost-after={LOST_AFTER}", f"--lost-grace={GRACE}", "--stop-grace=2")
SLACK = 3.0
"""Seconds that a stop may take, on a machine that has other things to do."""


@scenario(
    short=True,
    rounds=1,
    runs=10,
    work="n=0; while [ $n -lt 40 ]; do {beat}; sleep 0.2; n=$((n+1)); done",
    arguments={"mothership": LEASE},
    expected=Expected(reasons=frozenset({"LeaseLost", "NodeLost", "Stopped"})),
    settle=240,
)
def inject(world: World) -> None:
    """Cut it off for longer than a lease lasts; look at the runs before the mothership's patience ends."""
    caught = {world.await_phase("Running")["status"]["run"]["id"]}
    world.wait(1)
    caught |= {worker["status"]["run"]["id"] for worker in world.workers() if phase_of(worker) == "Running"}
    with world.silenced("launcher-mothership"), world.silenced("node-api"):
        world.wait(LOST_AFTER + SLACK)
        before = world.journal.read()
        world.wait(1)
        after = world.journal.read()
        shown = {run["id"]: run for run in world.load.shown()}
        moving = [name for name, at in after.last.items() if at > before.last.get(name, 0.0)]
        assert not moving, f"{moving} went on without a lease"
        still = [run for run in caught if shown[run]["state"] == "started"]
        assert still or all(shown[run]["state"] == "succeeded" for run in caught), "called lost too early"
        world.wait(GRACE)
