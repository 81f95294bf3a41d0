"""Memory limits without control groups, on real processes."""

import subprocess
import sys
import time
from collections.abc import Callable

from devcluster.node.memory_watch import MemoryWatch, memory_of

MIB = 2**20
_HOG = "import sys; held = bytearray(64 * 2**20); print('full', flush=True); sys.stdin.read()"
_PARENT = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {_HOG!r}])"


def started(code: str) -> subprocess.Popen[bytes]:
    """Return a Python process that has said that it is full."""
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdout.readline() == b"full\n"
    return child


def ended(child: subprocess.Popen[bytes]) -> None:
    """Let a process end."""
    child.communicate(timeout=10)


def eventually(condition: Callable[[], bool]) -> None:
    """Wait until the condition holds."""
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_process_counts_with_its_descendants() -> None:
    """The hungry one is a grandchild of the process that is asked about."""
    with started(_PARENT) as child:
        assert memory_of(child.pid) > 64 * MIB
        ended(child)
    assert memory_of(child.pid) == 0


def test_what_is_over_its_limit_is_killed_and_said_to_be_out_of_memory() -> None:
    """One that stays below is left alone."""
    watch = MemoryWatch()
    with started(_HOG) as hungry, started(_HOG) as modest:
        over = watch.watch(hungry.pid, 32 * MIB, hungry.kill)
        fine = watch.watch(modest.pid, 512 * MIB, modest.kill)
        eventually(lambda: over.out_of_memory)
        assert hungry.wait(10) == -9
        assert modest.poll() is None
        over.ended.set()
        fine.ended.set()
        ended(hungry)
        ended(modest)
    assert not fine.out_of_memory


def test_a_watch_that_has_nothing_to_look_at_has_no_thread() -> None:
    """And starts one again for the next container."""
    watch = MemoryWatch()
    for _ in range(2):
        with started(_HOG) as child:
            entry = watch.watch(child.pid, MIB, child.kill)
            eventually(lambda entry=entry: bool(entry.out_of_memory))  # type: ignore[misc]
            entry.ended.set()
            ended(child)
        eventually(lambda: watch._thread is None)
