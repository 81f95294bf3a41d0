"""The executor in an image that holds busybox and nothing else, as first process of its own process namespace."""

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from launcher.exchange import parse_exit, stop_text
from launcher.files import write_whole
from protocol.launcher_api import LeaseAction
from protocol.runs import Result
from tests.unit.launcher.pod import EXECUTOR, Pod, wait_for

BUSYBOX, BWRAP = shutil.which("busybox"), shutil.which("bwrap")


def sandbox_works() -> bool:
    """Say whether a sandbox with a static busybox can be made here."""
    if not (BUSYBOX and BWRAP):
        return False
    probe = [BWRAP, "--unshare-pid", "--bind", BUSYBOX, "/bin/busybox", "/bin/busybox", "true"]
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0


pytestmark = pytest.mark.skipif(not sandbox_works(), reason="needs bubblewrap and a static busybox")

Start = Callable[[Pod], "subprocess.Popen[bytes]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start the worker container of a Pod at the paths that the operator gives it."""
    started = []

    def begin(pod: Pod) -> "subprocess.Popen[bytes]":
        assert BUSYBOX is not None
        assert BWRAP is not None
        install = "/bin/busybox --install -s /bin; exec /opt/spacelift/binaries/spacelift-worker"
        word = pod.folder / "word"
        word.touch()
        shutil.copy(EXECUTOR, pod.workspace.binaries / "spacelift-worker")
        argv = [BWRAP, "--unshare-pid", "--as-pid-1", "--die-with-parent", "--proc", "/proc", "--dev", "/dev"]
        argv += ["--bind", BUSYBOX, "/bin/busybox", "--bind", str(pod.workspace.project), "/mnt/workspace"]
        argv += ["--bind", str(pod.exchange.root), "/var/spacelift/socket"]
        argv += ["--ro-bind", str(pod.workspace.binaries), "/opt/spacelift/binaries"]
        argv += [
            "--bind",
            str(word),
            "/dev/termination-log",
            "--clearenv",
            "/bin/busybox",
            "sh",
            "-c",
            install,
        ]
        process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, start_new_session=True)
        started.append(process)
        return process

    yield begin
    for process in started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def test_a_run_needs_nothing_but_busybox(pod: Pod, start: Start) -> None:
    """At the real paths, with the real termination log."""
    pod.prepare("cat /proc/1/cmdline | tr '\\0' ' '; echo; pwd", "exit 9")
    assert start(pod).wait(20) == 9
    log = pod.exchange.spool.read_text()
    assert "spacelift-worker" in log
    assert "\n/mnt/workspace\n" in log
    assert '"reason": "NonZeroExit"' in (pod.folder / "word").read_text()


def test_a_stop_works_there_too(pod: Pod, start: Start) -> None:
    """Orphans of the command are the executor's own children here."""
    pod.prepare("(trap '' TERM; while :; do sleep 0.1; done) & touch up; wait")
    running = start(pod)
    wait_for((pod.workspace.project / "up").exists, "the command")
    write_whole(pod.exchange.stop, stop_text(LeaseAction.STOP))
    assert running.wait(20) == 143
    outcome = parse_exit(pod.exchange.exit.read_text())
    assert outcome is not None
    assert outcome.result is Result.STOPPED


def test_the_first_process_notices_a_sigterm(pod: Pod, start: Start) -> None:
    """The kernel ignores what the first process of a namespace doesn't handle."""
    pod.prepare("touch up; sleep 300")
    running = start(pod)
    wait_for((pod.workspace.project / "up").exists, "the command")
    inner = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
    os.kill(int(inner[-1]), signal.SIGTERM)
    assert running.wait(20) == 143
