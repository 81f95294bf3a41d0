"""Child processes: readiness, signals, logs, and never outliving their parent."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from devcluster.paths import REPOSITORY
from devcluster.processes import Component, Program, start_ticks
from devcluster.progress import ClusterError, NotReadyError, wait_until
from devcluster.state import ProcessRecord

Make = Callable[..., Component]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Return a maker of components that run a shell script; all are stopped after the test."""
    made: list[Component] = []

    def component(script: str, *, ready: Callable[[], bool] = lambda: True, **limits: float) -> Component:
        program = Program("sample", ("sh", "-c", script), ready, **limits)  # type: ignore[arg-type]  # only floats
        made.append(Component(program, tmp_path / "sample.log"))
        return made[-1]

    yield component
    for one in made:
        one.stop(within=0)


def test_a_component_is_ready_when_its_own_check_says_so(make: Make, tmp_path: Path) -> None:
    """Starting returns no earlier."""
    sign = tmp_path / "sign"
    component = make(f"touch {sign}; exec sleep 60", ready=sign.exists)
    component.start()
    assert sign.exists()
    assert component.running


def test_a_program_that_ends_instead_of_starting_shows_the_end_of_its_log(make: Make) -> None:
    """The reason is in front of the user, not in a file to look for."""
    with pytest.raises(NotReadyError, match=r"(?s)exited with 3.*no such certificate"):
        make("echo no such certificate; exit 3", ready=lambda: False).start()


def test_a_program_that_never_gets_ready_is_given_up_at_the_deadline(make: Make) -> None:
    """Nothing waits for ever."""
    component = make("echo still thinking; exec sleep 60", ready=lambda: False, ready_within=0.3)
    with pytest.raises(NotReadyError, match=r"(?s)not within 0 s.*still thinking"):
        component.start()


def test_a_killed_component_starts_again_and_keeps_its_log(make: Make, tmp_path: Path) -> None:
    """Tests kill and restart; what was logged before stays."""
    log = tmp_path / "sample.log"
    component: Component = make(
        "echo born $$; exec sleep 60", ready=lambda: f"born {component.pid}" in log.read_text()
    )
    component.start()
    first = component.pid
    component.kill(signal.SIGKILL)
    assert component.describe() == "killed by SIGKILL"
    component.start()
    assert component.pid != first
    assert log.read_text().count("born") == 2


def test_kill_takes_the_whole_process_group_as_the_death_of_a_container_does(
    make: Make, tmp_path: Path
) -> None:
    """Helpers of a killed program do not work on."""
    noted = tmp_path / "child"
    component = make(f"sleep 60 & echo $! > {noted}.part; mv {noted}.part {noted}; wait", ready=noted.exists)
    component.start()
    child = int(noted.read_text())
    component.kill()
    wait_until(lambda: start_ticks(child) is None, "the end of the child", within=10)


def test_a_program_that_ignores_the_request_to_stop_is_killed(make: Make, tmp_path: Path) -> None:
    """Stopping ends, whatever the program does."""
    sign = tmp_path / "deaf"
    component = make(
        f"trap '' TERM; touch {sign}; while :; do sleep 0.1; done", ready=sign.exists, stop_within=0.3
    )
    component.start()
    component.stop()
    assert not component.running


def test_a_suspended_component_can_be_stopped(make: Make) -> None:
    """Fault tests suspend processes, and clusters are taken down in that state too."""
    component = make("exec sleep 60")
    component.start()
    component.kill(signal.SIGSTOP)
    started = time.monotonic()
    component.stop()
    assert not component.running
    assert time.monotonic() - started < component.program.stop_within


def test_starting_twice_and_asking_for_a_dead_ones_pid_are_errors(make: Make) -> None:
    """Both are mistakes of the caller, told as such."""
    component = make("exec sleep 60")
    with pytest.raises(ClusterError, match="not started"):
        _ = component.pid
    component.start()
    with pytest.raises(ClusterError, match="already running"):
        component.start()


PARENT = """
import pathlib, sys, time
from devcluster.processes import Component, Program
component = Component(Program("child", ("sleep", "60"), lambda: True), pathlib.Path(sys.argv[1]) / "child.log")
component.start()
print(component.pid, flush=True)
time.sleep(60)
"""


def test_a_child_dies_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    """Kill -9 leaves the parent no chance to clean up: the kernel does."""
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path)], cwd=REPOSITORY, stdout=subprocess.PIPE, text=True
    )
    with parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert start_ticks(child) is not None
        parent.kill()
    wait_until(lambda: start_ticks(child) is None, "the child's end", within=10)


def test_a_process_is_told_from_a_later_one_of_the_same_id() -> None:
    """A recorded process id alone may be somebody else's by now."""
    record = ProcessRecord.of(os.getpid())
    assert record.alive
    assert not ProcessRecord(record.pid, (record.started or 0) - 1).alive
