"""`runs_without_verdict` counts what lasts too long, and nothing that is on its way."""

import pytest

from app.agent.decisions.graces import DEFAULTS
from app.agent.decisions.overdue import MARGIN
from app.agent.verdict_watch import VerdictWatch
from app.cluster.errors import Unavailable
from app.cluster.resources import PODS, WORKERS
from tests.unit.agent import builders as a
from tests.unit.agent.conftest import Material
from tests.unit.agent.steps import RUNNING, to_running
from tests.unit.agent.world import World


def watch(world: World) -> VerdictWatch:
    """Return a watch over a world."""
    return VerdictWatch(world.cluster, world.roster, DEFAULTS, world.clock)


def overdue_after(world: World, seconds: float) -> int:
    """Look, let time pass without anybody working, and look again."""
    looking = watch(world)
    looking.look()
    world.time += seconds
    looking.look()
    return looking.overdue


def test_a_pod_at_work_may_take_its_time(world: World, material: Material) -> None:
    """A long run is no alarm."""
    world.up(a.worker_object())
    to_running(world, material)
    assert overdue_after(world, 100_000) == 0


@pytest.mark.parametrize(("seconds", "late"), [(MARGIN - 1, 0), (MARGIN + 1, 1)])
def test_a_pod_that_is_gone_without_a_verdict_is_an_alarm(world: World, seconds: float, late: int) -> None:
    """The verdict is due at once; a margin is for the look at the API server and the write."""
    world.api.put(WORKERS, a.worker_object(status=a.busy_status("Running")))
    assert overdue_after(world, seconds) == late


@pytest.mark.parametrize(("seconds", "late"), [(5 + 300 + MARGIN - 1, 0), (5 + 300 + MARGIN + 1, 1)])
def test_a_run_without_a_pod_may_wait_for_a_quota(world: World, seconds: float, late: int) -> None:
    """Scheduled without a Pod: as long as a refusal is waited for, no longer."""
    world.api.put(WORKERS, a.worker_object(status=a.busy_status("Scheduled")))
    assert overdue_after(world, seconds) == late


def test_an_ended_pod_whose_verdict_cannot_be_written_is_an_alarm(world: World, material: Material) -> None:
    """Work that fails again and again must not stay unseen; afterwards the alarm ends."""
    world.up(a.worker_object())
    to_running(world, material)
    looking = watch(world)

    def refuse(verb: str, plural: str, _name: str) -> None:
        if (verb, plural) == ("patch", "workers"):
            raise Unavailable("away")

    world.api.fail = refuse
    world.api.put(PODS, a.pod_object(a.ended("launcher-grpc"), a.ended("worker"), **RUNNING))
    with pytest.raises(Unavailable):
        world.settle()
    looking.look()
    world.time += MARGIN + 1
    looking.look()
    assert looking.overdue == 1
    world.api.fail = lambda *_: None
    world._wake((a.NAMESPACE, a.WORKER_NAME))
    world.settle()
    looking.look()
    assert looking.overdue == 0


def test_a_run_that_this_version_cannot_read_is_an_alarm(world: World) -> None:
    """Nobody here will judge it."""
    status = a.busy_status()
    status["run"]["phase"] = "Novel"
    world.api.put(WORKERS, a.worker_object(status=status))
    assert overdue_after(world, MARGIN + 1) == 1


def test_idle_and_finished_workers_are_not_counted(world: World) -> None:
    """A stored verdict is one, heard or not."""
    world.api.put(WORKERS, a.worker_object(status=a.busy_status("Finished")))
    assert overdue_after(world, 100_000) == 0


def test_a_new_attempt_starts_anew(world: World) -> None:
    """What one attempt waited doesn't count for the next on the same Worker."""
    looking = watch(world)
    world.api.put(WORKERS, a.worker_object(status=a.busy_status("Running")))
    looking.look()
    world.time += MARGIN + 1
    world.api.put(WORKERS, a.worker_object(status=a.busy_status("Running", sequence=5)))
    looking.look()
    assert looking.overdue == 0
