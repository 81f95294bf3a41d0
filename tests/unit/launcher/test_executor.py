"""The executor as a real process, under the shells that images have."""

import os
import re
import shutil
import signal
from pathlib import Path

import pytest

from launcher.exchange import parse_exit, parse_phases, stop_text
from launcher.files import write_whole
from protocol.launcher_api import LeaseAction, Settings
from protocol.runs import Outcome, Reason, Result
from tests.unit.launcher.pod import Pod, wait_for

SHELLS = [
    pytest.param(
        shell, marks=pytest.mark.skipif(not shutil.which(shell.split()[0]), reason=f"no {shell} here")
    )
    for shell in ("dash", "busybox sh", "bash --posix")
]


@pytest.fixture(params=SHELLS[:2])
def small_shell(request: pytest.FixtureRequest) -> str:
    """Give the two shells that are nothing but a shell, for tests that take their time."""
    found: str = request.param
    return found


@pytest.fixture(params=SHELLS)
def shell(request: pytest.FixtureRequest) -> str:
    """Each shell that is installed."""
    found: str = request.param
    return found


def outcome(pod: Pod) -> Outcome:
    """Return what the executor left for the server."""
    found = parse_exit(pod.exchange.exit.read_text())
    assert found is not None
    return found


def spool(pod: Pod) -> str:
    """Return the run's log."""
    return pod.exchange.spool.read_text()


def order(pod: Pod, action: LeaseAction) -> None:
    """Do as the server does when the mothership says so."""
    write_whole(pod.exchange.stop, stop_text(action))


def without_setsid(folder: Path) -> str:
    """Return a PATH with all that the executor may use, but no setsid."""
    folder.mkdir()
    for name in ("sh", "cat", "mkdir", "mkfifo", "mv", "rm", "sleep", "tee", "date", "touch", "test"):
        (folder / name).symlink_to(shutil.which(name) or name)
    return str(folder)


def test_a_run_of_good_commands_succeeds(pod: Pod, shell: str) -> None:
    """Exit code 0, and log, phases, outcome and last word say so."""
    pod.prepare("echo one", "echo two >&2; echo three")
    ended = pod.executor(shell).ended()
    assert ended.code == 0
    assert spool(pod).startswith("$ echo one\none\n$ echo two >&2; echo three\ntwo\nthree\n")
    assert [(each.name, each.exit_code) for each in parse_phases(pod.exchange.phases.read_text())] == [
        ("command-1", 0),
        ("command-2", 0),
    ]
    assert outcome(pod) == Outcome(
        Result.SUCCEEDED, Reason.COMPLETED, "All commands succeeded (2)", {"worker": 0}
    )
    assert Outcome.from_json(ended.last_word) == outcome(pod)


def test_the_container_prints_what_the_spool_holds(pod: Pod, shell: str) -> None:
    """`kubectl logs` and the run's log are the same bytes."""
    pod.prepare("echo out; echo err >&2; printf 'no newline'")
    assert pod.executor(shell).ended().output == spool(pod)
    assert "no newline" in spool(pod)


@pytest.mark.parametrize("code", [1, 7, 126, 127, 255])
def test_the_first_failure_ends_the_run_with_its_exit_code(pod: Pod, code: int) -> None:
    """Later commands don't run."""
    pod.prepare("echo before", f"exit {code}", "echo never")
    assert pod.executor().ended().code == code
    assert outcome(pod).reason is Reason.NON_ZERO_EXIT
    assert outcome(pod).exit_codes == {"worker": code}
    assert "\nnever\n" not in spool(pod)


def test_a_command_killed_by_a_signal_fails_with_128_and_the_signal(pod: Pod, shell: str) -> None:
    """As a shell counts it."""
    pod.prepare("kill -KILL $$")
    assert pod.executor(shell).ended().code == 137


def test_each_command_has_a_shell_of_its_own(pod: Pod, shell: str) -> None:
    """Variables and directories don't leak from one command to the next; files do."""
    pod.prepare("A=1; mkdir d; cd d; touch f", 'test -z "$A" && test -f d/f && echo fine')
    assert pod.executor(shell).ended().code == 0


def test_a_script_may_write_to_dev_stderr(pod: Pod, shell: str) -> None:
    """Opening /dev/stderr anew would truncate the log if it were the commands' output."""
    pod.prepare("echo first; echo second >/dev/stderr; echo third >/dev/stdout")
    assert pod.executor(shell).ended().code == 0
    assert spool(pod).endswith("first\nsecond\nthird\nAll commands succeeded (1)\n")


def test_the_environment_arrives_exactly(pod: Pod, shell: str) -> None:
    """Quotes, dollars, newlines and more."""
    hard = 'it\'s "$HOME" `id` \\ two\nlines * ü'
    pod.prepare('printf %s "$HARD" >got; env >all', HARD=hard, IFS="x", PS4="+")
    assert pod.executor(shell).ended().code == 0
    assert (pod.workspace.project / "got").read_text() == hard


def test_variables_of_the_container_are_not_changed(pod: Pod, shell: str) -> None:
    """A Pod's own variables reach the commands, whatever names the executor uses."""
    mine = {"count": "mine", "code": "mine", "cause": "mine", "message": "mine", "pid": "mine"}
    pod.prepare("echo $count$code$cause$message$pid")
    assert pod.executor(shell, mine).ended().code == 0
    assert "\nminemineminemine" in spool(pod)


def test_custom_binaries_come_first_on_the_path(pod: Pod, shell: str) -> None:
    """Then the launcher's own, then the image's."""
    pod.prepare('echo "$PATH"', PATH="/image/bin:/bin")
    pod.executor(shell, {"SPACELIFT_CUSTOM_BINARIES_PATH": "/custom"}).ended()
    assert f"\n/custom:{pod.workspace.binaries}:/image/bin:/bin\n" in spool(pod)


def test_the_containers_own_path_comes_last(pod: Pod, shell: str) -> None:
    """A run that sets no PATH keeps the image's."""
    pod.prepare('echo "$PATH"')
    pod.executor(shell, {"SPACELIFT_CUSTOM_BINARIES_PATH": "/custom"}, path="/usr/bin:/bin").ended()
    assert f"\n/custom:{pod.workspace.binaries}:/usr/bin:/bin\n" in spool(pod)


DOUBT = f"UID {os.geteuid()} has no entry in the runner image's /etc/passwd"
FIX = f"add a user with UID {os.geteuid()} to the image"


def test_an_image_without_the_user_is_warned_of_once_at_the_start(pod: Pod, shell: str) -> None:
    """A run that succeeds all the same is a plain success."""
    pod.passwd.write_text("somebody:x:4711:4711::/:/bin/sh\n")
    pod.prepare("echo one", "echo two")
    assert pod.executor(shell).ended().code == 0
    assert spool(pod).startswith(f"Warning: {DOUBT}, which makes some tools fail: {FIX}\n$ echo one\n")
    assert spool(pod).count("Warning") == 1
    assert outcome(pod).message == "All commands succeeded (2)"


@pytest.mark.parametrize("content", ["", "x\n::\n+::::::\n", None])
def test_a_failed_run_names_the_missing_user_as_a_possible_cause(
    pod: Pod, shell: str, content: str | None
) -> None:
    """In the verdict and in the container's last word; an image may have no /etc/passwd at all."""
    pod.passwd.unlink()
    if content is not None:
        pod.passwd.write_text(content)
    pod.prepare("exit 7")
    ended = pod.executor(shell).ended()
    assert ended.code == 7
    assert outcome(pod).message == f"Command 1 of 1 ended with exit code 7; perhaps because {DOUBT}: {FIX}"
    assert Outcome.from_json(ended.last_word) == outcome(pod)


def test_the_user_is_found_without_any_utility(pod: Pod, shell: str, tmp_path: Path) -> None:
    """An image without `id`: the shell reads what the kernel says of it."""
    pod.passwd.unlink()
    pod.prepare("true")
    assert pod.executor(shell, path=without_setsid(tmp_path / "bin")).ended().code == 0
    assert spool(pod).startswith(f"Warning: {DOUBT}")


def test_a_user_in_the_last_line_without_its_end_is_found(pod: Pod, shell: str) -> None:
    """Images are made by hand."""
    pod.passwd.write_text(f"root:x:4711:0::/:/bin/sh\nme:x:{os.geteuid()}:0::/:/bin/sh")
    pod.prepare("exit 7")
    pod.executor(shell).ended()
    assert outcome(pod).message == "Command 1 of 1 ended with exit code 7"
    assert "Warning" not in spool(pod)


@pytest.mark.parametrize("home", ["", "/nowhere/at/all", "/proc/self"])
def test_a_home_that_cannot_be_written_is_replaced(pod: Pod, shell: str, home: str) -> None:
    """Tools keep caches and configuration there; a home in the workspace lasts as long as the run."""
    pod.prepare('touch "$HOME/.config"; echo "home: $HOME"')
    assert pod.executor(shell, {"HOME": home}).ended().code == 0
    assert f"\nhome: {pod.exchange.root}/executor/home\n" in spool(pod)
    assert spool(pod).startswith(f"HOME is {home + ', which is not writable' if home else 'not set'}: ")


def test_a_home_that_works_stays(pod: Pod, shell: str) -> None:
    """Nothing is said of it, and nothing is left in it."""
    home = pod.folder / "home"
    home.mkdir()
    pod.prepare('echo "home: $HOME"')
    assert pod.executor(shell, {"HOME": str(home)}).ended().code == 0
    assert f"\nhome: {home}\n" in spool(pod)
    assert "HOME is" not in spool(pod)
    assert list(home.iterdir()) == []
    assert [path.name for path in pod.workspace.project.iterdir()] == []


def test_the_runs_own_home_wins(pod: Pod, shell: str) -> None:
    """Whoever sets it in the run's environment has a reason."""
    pod.prepare('echo "home: $HOME"', HOME="/chosen")
    pod.executor(shell, {"HOME": ""}).ended()
    assert "\nhome: /chosen\n" in spool(pod)


def test_big_output_arrives_whole_and_in_order(pod: Pod, shell: str) -> None:
    """Twenty thousand lines, both streams, nothing lost at the end."""
    pod.prepare("i=0; while [ $i -lt 10000 ]; do echo out $i; echo err $i >&2; i=$((i+1)); done; exit 3")
    assert pod.executor(shell).ended(60).code == 3
    lines = [line for line in spool(pod).splitlines() if line.startswith(("out", "err"))]
    assert lines == [f"{stream} {n}" for n in range(10000) for stream in ("out", "err")]


def test_a_command_can_be_large(pod: Pod) -> None:
    """Up to what the kernel takes for one argument."""
    pod.prepare("# " + "x" * 100_000 + "\necho big")
    assert pod.executor().ended().code == 0


def test_background_children_do_not_hold_the_run_up(pod: Pod, shell: str) -> None:
    """A process that was left behind keeps the pipe open, but not the run; it ends with the run."""
    pod.prepare("sleep 300 & echo $! >child; echo done")
    ended = pod.executor(shell).ended(10)
    assert ended.code == 0
    child = (pod.workspace.project / "child").read_text().strip()
    wait_for(lambda: not _alive(child), "the child's end")


def test_a_daemon_that_left_its_group_does_not_hold_the_run_up(pod: Pod) -> None:
    """It keeps the pipe for itself; what was written before is in the log."""
    pod.prepare("setsid sleep 8 & echo done")
    assert pod.executor().ended(7).code == 0
    assert "\ndone\n" in spool(pod)


def test_the_verdict_waits_for_the_end_of_the_log(pod: Pod, tmp_path: Path) -> None:
    """The server takes the verdict for the sign that the spool is whole: here the way to it is slow."""
    path = without_setsid(tmp_path / "bin")
    slow = tmp_path / "bin" / "tee"
    slow.unlink()
    slow.write_text(f'#!/bin/sh\nsleep 0.5\nexec {shutil.which("tee")} "$@"\n')
    slow.chmod(0o755)
    pod.prepare("echo last")
    running = pod.executor(path=path)
    wait_for(pod.exchange.exit.exists, "the verdict")
    assert "\nlast\n" in spool(pod)
    assert running.ended().code == 0


def test_a_service_of_one_command_serves_the_next(pod: Pod, shell: str) -> None:
    """Background processes live on until the run's end."""
    pod.prepare("sleep 300 & echo $! >child", "kill -0 $(cat child)")
    assert pod.executor(shell).ended().code == 0


def test_a_second_start_runs_nothing(pod: Pod, shell: str) -> None:
    """Fence 6: the marker of the first start stays, whatever became of that start."""
    pod.prepare("echo x >>journal; exit 5")
    assert pod.executor(shell).ended().code == 5
    first = outcome(pod)
    again = pod.executor(shell).ended()
    assert again.code == 18
    assert again.last_word["reason"] == "Refused"
    assert (pod.workspace.project / "journal").read_text() == "x\n"
    assert outcome(pod) == first


def test_of_many_starts_at_once_one_runs(pod: Pod, shell: str) -> None:
    """The marker is made exclusively: there is no moment between looking and making it."""
    pod.prepare("echo x >>journal")
    codes = sorted(each.ended().code for each in [pod.executor(shell) for _ in range(6)])
    assert codes == [0, 18, 18, 18, 18, 18]
    assert (pod.workspace.project / "journal").read_text() == "x\n"


def test_a_run_killed_in_the_middle_is_not_run_again(pod: Pod) -> None:
    """The marker is there before the first command, not after it."""
    pod.prepare("echo x >>journal; sleep 300")
    first = pod.executor()
    wait_for((pod.workspace.project / "journal").exists, "the first command")
    first.kill()
    first.process.wait()
    assert pod.executor().ended().code == 18
    assert (pod.workspace.project / "journal").read_text() == "x\n"


def test_a_stop_lets_the_command_end_by_itself(pod: Pod, shell: str) -> None:
    """TERM reaches the command, its cleanup counts, later commands don't run."""
    pod.prepare("trap 'echo cleaning; exit 0' TERM; touch up; while :; do sleep 0.1; done", "echo never")
    running = pod.executor(shell)
    wait_for((pod.workspace.project / "up").exists, "the command")
    order(pod, LeaseAction.STOP)
    assert running.ended().code == 143
    assert (outcome(pod).result, outcome(pod).reason) == (Result.STOPPED, Reason.STOPPED)
    assert "\ncleaning\n" in spool(pod)
    assert "\nnever\n" not in spool(pod)


def test_a_command_that_ignores_the_stop_is_killed_after_the_grace(pod: Pod, small_shell: str) -> None:
    """So is everything in its process group, and not before the grace is over."""
    pod.prepare("trap '' TERM; touch up; sleep 300 & echo $! >child; while :; do sleep 0.1; done")
    running = pod.executor(small_shell)
    wait_for((pod.workspace.project / "child").exists, "the command")
    wait_for(lambda: (pod.workspace.project / "child").read_text(), "its child's id")
    order(pod, LeaseAction.STOP)
    ended = running.ended()
    assert ended.code == 143
    assert ended.seconds >= 1
    child = (pod.workspace.project / "child").read_text().strip()
    wait_for(lambda: not _alive(child), "the child's end")


def test_the_grace_is_for_the_whole_group(pod: Pod, small_shell: str) -> None:
    """A tool below a shell that died of TERM at once may still save its state."""
    pod.prepare(
        "sh -c 'trap \"sleep 0.4; touch saved; exit\" TERM; touch up; while :; do sleep 0.1; done'; echo x"
    )
    running = pod.executor(small_shell)
    wait_for((pod.workspace.project / "up").exists, "the tool")
    order(pod, LeaseAction.STOP)
    assert running.ended().code == 143
    assert (pod.workspace.project / "saved").exists()


def test_without_setsid_a_stop_still_reaches_the_whole_tree(pod: Pod, tmp_path: Path) -> None:
    """The tree is read from /proc."""
    pod.prepare(
        "(trap '' TERM; sh -c 'trap \"\" TERM; echo $$ >child; while :; do sleep 0.1; done'; true); true"
    )
    running = pod.executor(path=without_setsid(tmp_path / "bin"))
    wait_for((pod.workspace.project / "child").exists, "the command")
    order(pod, LeaseAction.STOP)
    assert running.ended().code == 143
    child = (pod.workspace.project / "child").read_text().strip()
    wait_for(lambda: not _alive(child), "the child's end")


def test_a_lost_lease_ends_the_run(pod: Pod, small_shell: str) -> None:
    """Fence 7: nobody renews, so the executor stops the run itself."""
    pod.prepare("touch up; sleep 300", settings=Settings(lost_after=1, stop_grace=1))
    running = pod.executor(small_shell)
    wait_for((pod.workspace.project / "up").exists, "the command")
    ended = running.ended()
    assert ended.code == 19
    assert 1 <= ended.seconds < 6
    assert (outcome(pod).result, outcome(pod).reason) == (Result.LOST, Reason.LEASE_LOST)


def test_a_renewed_lease_keeps_the_run_going(pod: Pod) -> None:
    """For longer than one lease lasts."""
    pod.prepare("sleep 2.5; echo through", settings=Settings(lost_after=1, stop_grace=1))
    running = pod.executor()

    def renewed_until_it_ended() -> bool:
        pod.renew()
        return running.process.poll() is not None

    wait_for(renewed_until_it_ended, "the run's end")
    assert running.ended().code == 0


def test_a_run_without_a_lease_does_not_begin(pod: Pod, shell: str) -> None:
    """However long the image took to pull: an old renewal is none."""
    pod.prepare("echo x >>journal", settings=Settings(lost_after=1, stop_grace=2))
    write_whole(pod.exchange.lease, "1 0 0\n")
    assert pod.executor(shell).ended().code == 19
    assert not (pod.workspace.project / "journal").exists()
    assert outcome(pod).reason is Reason.LEASE_LOST


def test_the_first_renewal_starts_the_run(pod: Pod, shell: str) -> None:
    """The executor may be there before the server."""
    pod.prepare("echo x >>journal")
    pod.exchange.lease.unlink()
    running = pod.executor(shell)
    wait_for(
        lambda: pod.exchange.alive.exists() and pod.exchange.alive.read_text(), "the executor's heartbeat"
    )
    assert not (pod.workspace.project / "journal").exists()
    pod.renew()
    assert running.ended().code == 0


def test_a_stop_before_the_first_command_stops_the_run(pod: Pod) -> None:
    """Nothing is executed."""
    pod.prepare("echo x >>journal")
    pod.exchange.lease.unlink()
    order(pod, LeaseAction.STOP)
    assert pod.executor().ended().code == 143
    assert outcome(pod).result is Result.STOPPED
    assert not (pod.workspace.project / "journal").exists()


def test_a_closed_attempt_is_lost(pod: Pod, small_shell: str) -> None:
    """The server says `gone` and leaves; the executor ends alone."""
    pod.prepare("touch up; sleep 300")
    running = pod.executor(small_shell)
    wait_for((pod.workspace.project / "up").exists, "the command")
    order(pod, LeaseAction.GONE)
    assert running.ended().code == 19
    assert outcome(pod).result is Result.LOST


def test_a_terminated_container_terminates_its_command(pod: Pod, shell: str) -> None:
    """SIGTERM goes to the executor alone; it passes it on, waits and reports."""
    pod.prepare("trap 'echo cleaning; exit 0' TERM; touch up; while :; do sleep 0.1; done")
    running = pod.executor(shell)
    wait_for((pod.workspace.project / "up").exists, "the command")
    running.terminate()
    ended = running.ended()
    assert ended.code == 143
    assert ended.last_word["reason"] == "PodDeleted"
    assert "\ncleaning\n" in spool(pod)


def test_a_terminated_container_kills_what_ignores_it(pod: Pod, small_shell: str) -> None:
    """After half of the grace: the Pod's own grace must not run out first."""
    pod.prepare("trap '' TERM; touch up; while :; do sleep 0.1; done")
    running = pod.executor(small_shell)
    wait_for((pod.workspace.project / "up").exists, "the command")
    running.terminate()
    running.terminate()
    assert running.ended().code == 143


def test_an_image_that_lacks_a_utility_is_named(pod: Pod, tmp_path: Path) -> None:
    """A run in an image that can't run it fails with what is missing."""
    path = without_setsid(tmp_path / "bin")
    (tmp_path / "bin" / "tee").unlink()
    pod.prepare("echo x")
    ended = pod.executor(path=path).ended()
    assert ended.code == 21
    assert outcome(pod) == Outcome(
        Result.FAILED, Reason.CONFIG_ERROR, "The runner image has no tee", {"worker": 21}
    )


def test_the_heartbeat_goes_on_while_a_command_runs(pod: Pod) -> None:
    """It is how the server knows that the executor lives."""
    pod.prepare("touch up; sleep 3")
    running = pod.executor()
    wait_for((pod.workspace.project / "up").exists, "the command")
    first = pod.exchange.alive.read_text()
    wait_for(lambda: pod.exchange.alive.read_text() not in ("", first), "another beat")
    running.kill()


def test_exit_codes_are_those_of_the_list() -> None:
    """The script's numbers are the ones that launcher/exits.py documents."""
    from launcher.exits import Exit
    from tests.unit.launcher.pod import EXECUTOR

    found = dict(
        re.findall(
            r"^sl_(already_started|lease_lost|cannot_run|terminated)=(\d+)$",
            EXECUTOR.read_text(),
            re.MULTILINE,
        )
    )
    assert {name.upper(): int(code) for name, code in found.items()} == {
        name: Exit[name].value for name in ("ALREADY_STARTED", "LEASE_LOST", "CANNOT_RUN", "TERMINATED")
    }


def _alive(pid: str) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def _kill_watcher(main: int) -> None:
    """Kill the executor's watcher, its first child, as a command of the same user can."""
    children = []
    for place in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = place.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(fields[1]) == main:
            children.append((int(fields[19]), int(place.parent.name)))
    os.kill(min(children)[1], signal.SIGKILL)


@pytest.mark.parametrize("why", ["stop", "lease", "terminated"])
def test_a_run_whose_watcher_was_killed_still_ends(pod: Pod, shell: str, why: str) -> None:
    """Main looks for itself, and shows that it lives."""
    settings = Settings(lost_after=4 if why == "lease" else 60, stop_grace=1)
    pod.prepare(
        "trap 'echo told' TERM; touch up; while :; do sleep 0.1; done", "echo never", settings=settings
    )
    running = pod.executor(shell)
    wait_for((pod.workspace.project / "up").exists, "the command")
    _kill_watcher(running.process.pid)
    first = pod.exchange.alive.read_text()
    wait_for(lambda: pod.exchange.alive.read_text() not in ("", first), "another beat")
    match why:
        case "stop":
            order(pod, LeaseAction.STOP)
        case "terminated":
            running.terminate()
    assert running.ended().code == (19 if why == "lease" else 143)
    assert spool(pod).count("\ntold\n") == 1
    assert "\nnever\n" not in spool(pod)


def test_a_stop_before_the_first_command_needs_no_watcher(pod: Pod, small_shell: str) -> None:
    """Nor does one between two commands."""
    pod.prepare("echo x >>journal")
    pod.exchange.lease.unlink()
    running = pod.executor(small_shell)
    wait_for(
        lambda: pod.exchange.alive.exists() and pod.exchange.alive.read_text(), "the executor's heartbeat"
    )
    wait_for((pod.exchange.root / "spool").exists, "the way of the output")
    _kill_watcher(running.process.pid)
    order(pod, LeaseAction.STOP)
    assert running.ended().code == 143
    assert not (pod.workspace.project / "journal").exists()


def test_a_command_is_told_once_to_end(pod: Pod, shell: str) -> None:
    """For many a tool a second TERM means to drop everything; main and watcher both see the stop."""
    pod.prepare(
        "trap 'echo told' TERM; touch up; i=0; while [ $i -lt 30 ]; do sleep 0.1; i=$((i+1)); done",
        settings=Settings(lease=1, lost_after=60, stop_grace=20),
    )
    running = pod.executor(shell)
    wait_for((pod.workspace.project / "up").exists, "the command")
    order(pod, LeaseAction.STOP)
    assert running.ended().code == 143
    assert spool(pod).count("\ntold\n") == 1


def test_the_end_of_a_command_is_noticed_at_once(pod: Pod, shell: str) -> None:
    """Not only when main looks around the next time, half a second later."""
    pod.prepare(*["sleep 0.2"] * 8)
    assert pod.executor(shell).ended().code == 0
    phases = parse_phases(pod.exchange.phases.read_text())
    assert sum(phase.seconds for phase in phases) < 3.2
