"""`grpc-server` with the real executor: the whole of a run from a prepared workspace on."""

import os
from pathlib import Path

import pytest

from launcher.lifeline import Lifeline, make_lifeline
from protocol.launcher_api import Settings
from tests.unit.launcher.mothership_fake import TOKEN, MothershipFake
from tests.unit.launcher.pod import Container, Pod, wait_for

SHORT = Settings(lease=1, lost_after=2, stop_grace=2)


def begun(
    pod: Pod, *commands: str, settings: Settings | None = None, lifeline: bool = False, shell: str = "dash"
) -> tuple[Container, Container]:
    """Start server and executor in a prepared workspace, where nobody has renewed a lease yet."""
    pod.prepare(*commands, settings=settings)
    pod.exchange.lease.unlink()
    if lifeline:
        make_lifeline(pod.exchange.life)
    return pod.launcher("grpc-server"), pod.executor(shell)


def test_a_run_from_first_renewal_to_result(connected: Pod, mothership: MothershipFake) -> None:
    """Log, phases, result and last words agree."""
    server, worker = begun(connected, "echo hello", "exit 7")
    assert worker.ended().code == 7
    ended = server.ended()
    assert ended.code == 0, ended.output
    assert mothership.log == connected.exchange.spool.read_bytes()
    assert mothership.log.startswith(b"$ echo hello\nhello\n")
    [result] = mothership.results
    assert result["outcome"]["reason"] == "NonZeroExit"
    assert result["outcome"]["exitCodes"] == {"worker": 7}
    assert [(phase["name"], phase["exitCode"]) for phase in result["phases"]] == [
        ("command-1", 0),
        ("command-2", 7),
    ]
    assert ended.last_word == result["outcome"] == worker.ended().last_word


def test_the_log_flows_while_the_run_lasts(connected: Pod, mothership: MothershipFake) -> None:
    """Not only at its end."""
    server, _ = begun(connected, "echo early; sleep 300")
    wait_for(lambda: b"early\n" in mothership.log, "the first line")
    assert server.process.poll() is None


def test_a_stop_reaches_the_command(connected: Pod, mothership: MothershipFake) -> None:
    """And the lease is kept while it ends."""
    server, worker = begun(
        connected,
        "trap 'sleep 1; echo cleaned; exit 0' TERM; echo up; while :; do sleep 0.1; done",
        settings=Settings(lease=1, lost_after=60, stop_grace=20),
    )
    wait_for(lambda: b"\nup\n" in mothership.log, "the command")
    mothership.script.action = "stop"
    assert worker.ended().code == 143
    assert server.ended().code == 0
    assert mothership.results[0]["outcome"]["result"] == "stopped"
    assert b"\ncleaned\n" in mothership.log


def test_a_closed_attempt_ends_both(connected: Pod, mothership: MothershipFake) -> None:
    """The executor by itself, the server at once."""
    server, worker = begun(connected, "echo up; sleep 300")
    wait_for(lambda: b"\nup\n" in mothership.log, "the command")
    mothership.script.action = "gone"
    assert worker.ended().code == 19
    ended = server.ended()
    assert ended.code == 19
    assert ended.last_word["reason"] == "LeaseLost"
    assert mothership.results == []


def test_a_partitioned_run_stops_itself(connected: Pod, mothership: MothershipFake) -> None:
    """Fence 7: renewals fail, the executor ends the command; what is known is delivered once that is possible."""
    server, worker = begun(connected, "echo up; sleep 300", settings=SHORT)
    wait_for(lambda: b"\nup\n" in mothership.log, "the command")
    mothership.script.down = frozenset({"*"})
    assert worker.ended().code == 19
    assert mothership.tried["lease"] >= 2
    mothership.script.down = frozenset()
    assert server.ended().code == 0
    assert mothership.results[0]["outcome"]["reason"] == "LeaseLost"


def test_a_short_partition_costs_nothing(connected: Pod, mothership: MothershipFake) -> None:
    """The run goes on, the log waits in the spool."""
    server, worker = begun(connected, "echo up; sleep 3; echo through")
    wait_for(lambda: b"\nup\n" in mothership.log, "the command")
    mothership.script.down = frozenset({"*"})
    failures = mothership.tried["lease"]
    wait_for(lambda: mothership.tried["lease"] > failures + 1, "failing renewals")
    mothership.script.down = frozenset()
    assert worker.ended().code == 0
    assert server.ended().code == 0
    assert mothership.log == connected.exchange.spool.read_bytes()
    assert mothership.results[0]["outcome"]["result"] == "succeeded"


def test_slow_logs_do_not_endanger_the_lease(connected: Pod, mothership: MothershipFake) -> None:
    """Renewals have a thread of their own."""
    mothership.script.slow = 2
    server, worker = begun(
        connected, "echo up; sleep 2.5; echo through", settings=Settings(lease=1, lost_after=1, stop_grace=1)
    )
    assert worker.ended().code == 0
    assert server.ended().code == 0


def test_a_renewed_token_is_used_from_then_on(connected: Pod, mothership: MothershipFake) -> None:
    """By logs and result as well; the old one is refused."""
    mothership.script.next_token = "second-token-91ab"
    server, _ = begun(connected, "echo hello")
    ended = server.ended()
    assert ended.code == 0, ended.output
    assert mothership.token == "second-token-91ab"
    assert len(mothership.results) == 1
    assert "second-token" not in ended.output
    assert TOKEN not in ended.output


def test_a_worker_that_died_without_a_word_is_noticed(connected: Pod, mothership: MothershipFake) -> None:
    """Its heartbeat stops: what is known is reported."""
    connected.times["SPACELIFT_LAUNCHER_WORKER_SILENCE"] = "2"
    server, worker = begun(connected, "echo up; sleep 300")
    wait_for(lambda: b"\nup\n" in mothership.log, "the command")
    worker.kill()
    assert server.ended().code == 0
    assert mothership.results[0]["outcome"]["result"] == "failed"
    assert "without a word" in mothership.results[0]["outcome"]["message"]
    assert b"\nup\n" in mothership.log


@pytest.mark.parametrize("shell", ["dash", "bash --posix", "busybox sh"])
def test_a_dead_worker_is_noticed_at_once(connected: Pod, mothership: MothershipFake, shell: str) -> None:
    """Without waiting for a heartbeat; what it had written to its log is delivered first."""
    server, worker = begun(connected, "seq 20000; echo up; sleep 300", lifeline=True, shell=shell)
    wait_for(lambda: b"\nup\n" in mothership.log, "the command")
    worker.kill()
    assert server.ended(within=5).code == 0
    assert "without a word" in mothership.results[0]["outcome"]["message"]
    assert mothership.log == connected.exchange.spool.read_bytes()


@pytest.mark.parametrize("shell", ["dash", "bash --posix", "busybox sh"])
def test_what_the_executor_started_does_not_hide_its_death(
    connected: Pod, mothership: MothershipFake, shell: str
) -> None:
    """Main alone holds the pipe: a watcher or a command that lives on for a moment is told to end."""
    server, worker = begun(connected, "echo up; sleep 300", lifeline=True, shell=shell)
    wait_for(lambda: b"\nup\n" in mothership.log, "the command")
    worker.process.kill()
    assert server.ended(within=5).code == 0
    assert connected.exchange.stop.read_text() == "gone\n"
    worker.kill()


def test_an_executor_that_ends_by_itself_is_no_dead_one(connected: Pod, mothership: MothershipFake) -> None:
    """It writes its verdict before it lets go."""
    server, worker = begun(connected, "exit 7", lifeline=True)
    assert (worker.ended().code, server.ended().code) == (7, 0)
    assert mothership.results[0]["outcome"]["reason"] == "NonZeroExit"


def test_a_lifeline_that_nobody_held_says_nothing(tmp_path: Path) -> None:
    """The executor's image may take long to pull, and some file systems have no pipes."""
    line = Lifeline(tmp_path / "life")
    assert not line.is_cut()
    (tmp_path / "life").write_text("no pipe")
    assert not line.is_cut()
    make_lifeline(tmp_path / "life")
    assert not line.is_cut()
    held = os.open(tmp_path / "life", os.O_RDWR)
    assert not line.is_cut()
    os.close(held)
    assert line.is_cut()


def test_a_dead_worker_is_reported_although_the_order_to_stop_cannot_be_written(
    connected: Pod, mothership: MothershipFake
) -> None:
    """As on a full disk: the order is for the unlikely case that it lives."""
    connected.times["SPACELIFT_LAUNCHER_WORKER_SILENCE"] = "2"
    server, worker = begun(connected, "echo up; sleep 300")
    wait_for(lambda: b"\nup\n" in mothership.log, "the command")
    (connected.exchange.root / ".stop.new").mkdir()
    worker.kill()
    ended = server.ended()
    assert ended.code == 0, ended.output
    assert "The order to stop can't be written" in ended.output
    assert "without a word" in mothership.results[0]["outcome"]["message"]


def test_a_result_that_nobody_takes_is_left_as_last_word(connected: Pod, mothership: MothershipFake) -> None:
    """After the deadline; the container's exit code says so."""
    connected.times["SPACELIFT_LAUNCHER_FLUSH_TIMEOUT"] = "1.5"
    mothership.script.down = frozenset({"result"})
    server, _ = begun(connected, "exit 7")
    ended = server.ended()
    assert ended.code == 20
    assert ended.last_word["reason"] == "NonZeroExit"
    assert mothership.tried["result"] >= 2


def test_logs_that_nobody_takes_do_not_keep_the_result_back(
    connected: Pod, mothership: MothershipFake
) -> None:
    """The result says how the run ended; it has its share of the time."""
    connected.times["SPACELIFT_LAUNCHER_FLUSH_TIMEOUT"] = "2"
    mothership.script.down = frozenset({"logs"})
    server, _ = begun(connected, "echo hello")
    assert server.ended().code == 20
    assert mothership.results[0]["outcome"]["result"] == "succeeded"


def test_the_lease_is_kept_until_the_log_is_delivered(connected: Pod, mothership: MothershipFake) -> None:
    """A run whose log is on its way is not lost; that the attempt was closed meanwhile changes nothing."""
    mothership.script.down = frozenset({"logs"})
    server, worker = begun(connected, "echo hello")
    assert worker.ended().code == 0
    renewals = mothership.calls["lease"]
    wait_for(lambda: mothership.calls["lease"] > renewals + 1, "renewals after the end")
    mothership.script.action = "gone"
    wait_for(lambda: "gone" in server.text(), "the server's hearing of it")
    mothership.script.down = frozenset()
    assert server.ended().code == 0
    assert mothership.log == connected.exchange.spool.read_bytes()
    assert len(mothership.results) == 1


def test_a_deleted_pod_tells_what_it_can(connected: Pod, mothership: MothershipFake) -> None:
    """Both containers get a SIGTERM; the executor's word is delivered within the grace."""
    server, worker = begun(
        connected, "trap 'echo cleaned; exit 0' TERM; echo up; while :; do sleep 0.1; done"
    )
    wait_for(lambda: b"\nup\n" in mothership.log, "the command")
    server.terminate()
    worker.terminate()
    assert worker.ended().code == 143
    assert server.ended().code == 0
    assert mothership.results[0]["outcome"]["reason"] == "PodDeleted"
    assert b"\ncleaned\n" in mothership.log


def test_a_server_told_to_end_does_not_wait_for_ever(connected: Pod, mothership: MothershipFake) -> None:
    """The executor doesn't end: after the time for that the server leaves with what it has."""
    connected.times["SPACELIFT_LAUNCHER_TERMINATION_TIMEOUT"] = "1"
    server, _ = begun(connected, "echo up; sleep 300")
    wait_for(lambda: b"\nup\n" in mothership.log, "the command")
    server.terminate()
    ended = server.ended(10)
    assert ended.code == 143
    assert ended.last_word["reason"] == "PodDeleted"
    assert mothership.results == []


@pytest.mark.parametrize("failing", [401, 500])
def test_renewals_that_fail_from_the_start_start_nothing(
    connected: Pod, mothership: MothershipFake, failing: int
) -> None:
    """Without a first renewal no command runs."""
    mothership.script.failing["lease"] = failing
    _, worker = begun(connected, "echo x >>journal", settings=SHORT)
    assert worker.ended().code == 19
    assert mothership.tried["lease"] >= 1
    assert not (connected.workspace.project / "journal").exists()


def test_a_renewal_that_cannot_be_written_is_tried_again(connected: Pod) -> None:
    """As on a full disk: once there is room the run goes on."""
    connected.prepare("echo hello")
    connected.exchange.lease.unlink()
    draft = connected.exchange.root / ".lease.new"
    draft.mkdir()
    server, worker = connected.launcher("grpc-server"), connected.executor()
    wait_for(lambda: "can't be written" in server.text(), "the server's word of it")
    draft.rmdir()
    assert worker.ended().code == 0
    assert server.ended().code == 0


def test_a_closed_attempt_ends_the_server_even_when_it_cannot_pass_that_on(
    connected: Pod, mothership: MothershipFake
) -> None:
    """The executor ends by the lease then."""
    server, _ = begun(connected, "echo up; sleep 300")
    wait_for(lambda: b"\nup\n" in mothership.log, "the command")
    (connected.exchange.root / ".stop.new").mkdir()
    mothership.script.action = "gone"
    assert server.ended().code == 19
