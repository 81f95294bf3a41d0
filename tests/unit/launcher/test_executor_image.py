"""The executor in an image that holds busybox and nothing else, as first process of its own process namespace."""

import json
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
from protocol.runs import Outcome, Reason, Result
from tests.unit.launcher.pod import EXECUTOR, Pod, wait_for

BUSYBOX, BWRAP = shutil.which("busybox"), shutil.which("bwrap")


def sandbox_works() -> bool:
    """Say whether a sandbox with a static busybox can be made here."""
    if not (BUSYBOX and BWRAP):
        return False
    probe = [BWRAP, "--unshare-pid", "--bind", BUSYBOX, "/bin/busybox", "/bin/busybox", "true"]
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0


pytestmark = pytest.mark.skipif(not sandbox_works(), reason="needs bubblewrap and a static busybox")

Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Start the worker container of a Pod at the paths that the operator gives it."""
    started = []

    def begin(pod: Pod, *flags: str) -> "subprocess.Popen[bytes]":
        assert BUSYBOX is not None
        assert BWRAP is not None
        install = "/bin/busybox --install -s /bin; exec /opt/spacelift/binaries/spacelift-worker"
        word = pod.folder / "word"
        word.touch()
        shutil.copy(EXECUTOR, pod.workspace.binaries / "spacelift-worker")
        argv = [BWRAP, "--unshare-pid", "--as-pid-1", "--die-with-parent", "--proc", "/proc", "--dev", "/dev"]
        argv += flags
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


# As root outside, the files are this user's here, but none of root's rights to pass over their modes are.
AS_1983 = ("--unshare-user", "--uid", "1983", "--gid", "1983")
VOLUME_FIX = "set spec.pod.securityContext.fsGroup to 1983, or let the files of the volume belong to GID 1983"


def test_the_run_user_needs_an_entry_and_a_home(pod: Pod, start: Start) -> None:
    """An image without either still runs; the failed run says what the image lacks."""
    pod.prepare('touch "$HOME/x" && echo "home: $HOME"', "exit 4")
    assert start(pod, *AS_1983).wait(20) == 4
    assert "\nhome: /var/spacelift/socket/executor/home\n" in pod.exchange.spool.read_text()
    outcome = parse_exit(pod.exchange.exit.read_text())
    assert outcome is not None
    assert outcome.message == (
        "Command 2 of 2 ended with exit code 4; perhaps because UID 1983 has no entry in the runner image's"
        " /etc/passwd: add a user with UID 1983 to the image"
    )


def test_an_image_with_the_run_user_gives_no_warning(pod: Pod, start: Start) -> None:
    """Name and home come from its /etc/passwd."""
    pod.passwd.write_text("root:x:0:0::/root:/bin/sh\nspacelift:x:1983:1983::/home/spacelift:/bin/sh\n")
    home = ("--tmpfs", "/home/spacelift", "--setenv", "HOME", "/home/spacelift")
    pod.prepare('echo "home: $HOME"')
    process = start(pod, *AS_1983, "--ro-bind", str(pod.passwd), "/etc/passwd", *home)
    assert process.wait(20) == 0
    assert "Warning" not in pod.exchange.spool.read_text()


def test_a_workspace_that_cannot_be_written_is_named_as_such(pod: Pod, start: Start) -> None:
    """The commands run, for some need no more than to read it; their failure has its possible cause beside it."""
    pod.prepare("touch x")
    pod.workspace.project.chmod(0o555)
    assert start(pod, *AS_1983).wait(20) == 1
    outcome = parse_exit(pod.exchange.exit.read_text())
    assert outcome is not None
    assert outcome.message.endswith(
        f"perhaps because the workspace is not writable for UID 1983: {VOLUME_FIX}"
    )


def last_word(pod: Pod) -> Outcome:
    """Return what the container left for Kubernetes."""
    return Outcome.from_json(json.loads((pod.folder / "word").read_text()))


def test_an_exchange_that_cannot_be_written_is_no_second_start(pod: Pod, start: Start) -> None:
    """The marker isn't there and can't be made: nothing runs, and the reason is said."""
    pod.prepare("true")
    pod.exchange.root.chmod(0o555)
    assert start(pod, *AS_1983).wait(20) == 21
    assert last_word(pod).reason is Reason.CONFIG_ERROR
    assert last_word(pod).message == (
        f"The executor can not write to the run's workspace: permission denied for UID 1983: {VOLUME_FIX}"
    )


@pytest.mark.parametrize("hide", ["settings", "directory"])
def test_an_exchange_that_cannot_be_read_is_named_as_such(pod: Pod, start: Start, hide: str) -> None:
    """It was prepared, but for somebody else."""
    pod.prepare("true")
    (pod.exchange.settings if hide == "settings" else pod.exchange.root).chmod(0o000)
    assert start(pod, *AS_1983).wait(20) == 21
    assert "can not read the run's workspace: permission denied for UID 1983" in last_word(pod).message


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
