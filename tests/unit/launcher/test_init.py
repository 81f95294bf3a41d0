"""`init` as a real process against a real HTTPS server."""

import shutil
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest

from launcher.exchange import parse_phases
from tests.unit.launcher.mothership_fake import POD_UID, TOKEN, MothershipFake
from tests.unit.launcher.pod import EXECUTOR, Pod, wait_for
from tests.unit.launcher.repository import Repository


def source(repository: Repository, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - JSON
    """Return a source as details have it."""
    return {"type": "git", "url": repository.url, "ref": "main", "commit": None, "projectRoot": "", **more}


@pytest.fixture
def repository(tmp_path: Path, mothership: MothershipFake) -> Repository:
    """Give a repository that is the run's source."""
    made = Repository(tmp_path / "origin")
    made.commit("infra/main.tf", "two")
    mothership.script.details["source"] = source(made)
    return made


def untouched(pod: Pod) -> bool:
    """Say whether nothing is in the workspace."""
    return list(pod.workspace.root.iterdir()) == []


def test_the_workspace_is_prepared(
    connected: Pod, mothership: MothershipFake, repository: Repository
) -> None:
    """Source, executor, commands, environment; the log has it all."""
    mothership.script.details["environment"] = {"SECRET": "s3cret"}
    ended = connected.launcher("init").ended()
    assert ended.code == 0, ended.output
    assert mothership.granted_to == POD_UID
    assert (connected.workspace.project / "infra" / "main.tf").read_text() == "two"
    executor = connected.workspace.binaries / "spacelift-worker"
    assert executor.read_text() == EXECUTOR.read_text()
    assert stat.S_IMODE(executor.stat().st_mode) == 0o755
    assert (connected.exchange.commands / "1").read_text() == "echo hello"
    assert f"Checked out commit {repository.git('rev-parse', 'HEAD')}\n".encode() in mothership.log
    assert mothership.log.decode() in ended.output
    assert [phase.name for phase in parse_phases(connected.exchange.phases.read_text())] == ["init"]
    assert mothership.results == []


def test_secrets_of_the_run_are_for_the_pods_group_at_most(
    connected: Pod, mothership: MothershipFake
) -> None:
    """Neither in a log nor readable by others."""
    mothership.script.details["environment"] = {"SECRET": "s3cret"}
    ended = connected.launcher("init").ended()
    assert "s3cret" in connected.exchange.environment.read_text()
    files = [path for path in connected.exchange.root.rglob("*") if path.is_file()]
    assert files
    assert all(path.stat().st_mode & 0o007 == 0 for path in files)
    assert "s3cret" not in ended.output + mothership.log.decode()
    assert TOKEN not in ended.output + mothership.log.decode() + "".join(path.read_text() for path in files)


def test_a_renewed_token_is_kept_where_the_commands_cannot_read_it(
    connected: Pod, mothership: MothershipFake
) -> None:
    """grpc-server needs it; the worker container mounts the three directories only."""
    mothership.script.next_token = "second-token-91ab"
    assert connected.launcher("init").ended().code == 0
    kept = connected.workspace.renewed_token
    assert kept.read_text() == "second-token-91ab"
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    assert kept.parent == connected.workspace.root


def test_init_waits_until_it_is_granted(connected: Pod, mothership: MothershipFake) -> None:
    """425 asks to wait; so do a server error and too many requests."""
    mothership.script.claims = [425, 503, 429, 425]
    assert connected.launcher("init").ended().code == 0
    assert mothership.calls["claim"] == 5


def test_init_survives_a_mothership_that_is_away(connected: Pod, mothership: MothershipFake) -> None:
    """It asks until somebody answers."""
    mothership.script.down = frozenset({"*"})
    running = connected.launcher("init")
    wait_for(lambda: mothership.tried["claim"] >= 2, "two tries")
    mothership.script.down = frozenset()
    assert running.ended().code == 0


def test_a_refused_claim_touches_nothing(connected: Pod, mothership: MothershipFake) -> None:
    """Fence 5: the attempt is closed or another Pod's."""
    mothership.script.claims = [425, 409]
    ended = connected.launcher("init").ended()
    assert ended.code == 17
    assert ended.last_word["result"] == "canceled"
    assert ended.last_word["reason"] == "Refused"
    assert "scripted 409" in ended.last_word["message"]
    assert untouched(connected)
    assert mothership.tried == {"claim": 2}


def test_a_refused_token_is_final(connected: Pod, mothership: MothershipFake) -> None:
    """The run Secret is of another time; waiting won't help."""
    mothership.token = "another"
    ended = connected.launcher("init").ended()
    assert ended.code == 16
    assert ended.last_word["reason"] == "InitFailed"
    assert mothership.tried == {"claim": 1}
    assert untouched(connected)


def test_the_wait_for_the_grant_has_a_deadline(connected: Pod, mothership: MothershipFake) -> None:
    """Then it is a failure to start, with the last answer as its reason."""
    mothership.script.failing["claim"] = 425
    connected.times["SPACELIFT_LAUNCHER_START_TIMEOUT"] = "1"
    ended = connected.launcher("init").ended()
    assert ended.code == 16
    assert "425" in ended.last_word["message"]
    assert untouched(connected)


def test_a_missing_credential_is_a_misconfiguration(connected: Pod, mothership: MothershipFake) -> None:
    """Fence 4: a ghost Pod has no Secret and starts nothing."""
    (connected.credentials / "run-token").unlink()
    ended = connected.launcher("init").ended()
    assert ended.code == 2
    assert "run-token" in ended.last_word["message"]
    assert mothership.tried == {}


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"ref": "missing"}, "git fetch failed"),
        ({"projectRoot": "../.."}, "must be a path inside"),
        ({"projectRoot": "nowhere"}, "no directory 'nowhere'"),
        ({"url": "ext::sh -c id"}, "must be an https, http, ssh or file URL"),
    ],
)
def test_a_source_that_cannot_be_prepared_fails_the_run(
    connected: Pod, mothership: MothershipFake, repository: Repository, change: dict[str, str], complaint: str
) -> None:
    """The same sentence in the termination message, in the result and in the log."""
    mothership.script.details["source"] = source(repository, **change)
    ended = connected.launcher("init").ended()
    assert ended.code == 16
    assert ended.last_word["reason"] == "InitFailed"
    assert complaint in ended.last_word["message"]
    assert mothership.results[0]["outcome"] == ended.last_word
    assert complaint in mothership.log.decode()


def test_an_environment_that_no_shell_takes_fails_the_run(connected: Pod, mothership: MothershipFake) -> None:
    """Before a command runs without it."""
    mothership.script.details["environment"] = {"not-a-name": "x"}
    ended = connected.launcher("init").ended()
    assert ended.code == 16
    assert "not-a-name" in mothership.results[0]["outcome"]["message"]


@pytest.mark.usefixtures("repository")
def test_an_interrupted_preparation_starts_afresh(connected: Pod, mothership: MothershipFake) -> None:
    """The sandbox was made again before the run began: the same Pod is granted again."""
    assert connected.launcher("init").ended().code == 0
    (connected.workspace.project / "leftover").touch()
    ended = connected.launcher("init").ended()
    assert ended.code == 0, ended.output
    assert not (connected.workspace.project / "leftover").exists()
    assert mothership.log.count(b"The workspace is ready") == 2


@pytest.mark.usefixtures("repository")
def test_a_workspace_where_the_run_has_begun_is_not_touched(
    connected: Pod, mothership: MothershipFake
) -> None:
    """Fence 6 holds in init as well; the attempt's end is told."""
    assert connected.launcher("init").ended().code == 0
    connected.exchange.started.touch()
    (connected.workspace.project / "work").touch()
    ended = connected.launcher("init").ended()
    assert ended.code == 18
    assert (connected.workspace.project / "work").exists()
    assert mothership.results[0]["outcome"]["reason"] == "Refused"


@pytest.mark.usefixtures("repository")
def test_the_lease_is_kept_while_the_workspace_is_prepared(
    connected: Pod, mothership: MothershipFake
) -> None:
    """A checkout may last longer than a lease."""
    mothership.script.slow = 1.0
    assert connected.launcher("init").ended().code == 0
    assert mothership.calls["lease"] >= 2


@pytest.mark.parametrize(("action", "code", "result"), [("stop", 143, "stopped"), ("gone", 19, "lost")])
def test_a_stop_during_the_preparation_ends_it(
    connected: Pod, mothership: MothershipFake, action: str, code: int, result: str
) -> None:
    """No command will run."""
    mothership.script.failing["details"] = 503
    mothership.script.action = action
    ended = connected.launcher("init").ended()
    assert ended.code == code
    assert mothership.results[0]["outcome"]["result"] == result
    assert not connected.exchange.settings.exists()


def test_a_sigterm_ends_init_at_once(connected: Pod, mothership: MothershipFake) -> None:
    """The Pod is being deleted."""
    mothership.script.failing["details"] = 503
    running = connected.launcher("init")
    wait_for(lambda: mothership.tried["details"], "the details to be asked for")
    running.terminate()
    ended = running.ended(10)
    assert ended.code == 143
    assert ended.last_word["reason"] == "PodDeleted"


# As root outside: the owner of the files, but without root's right to pass over their modes.
AS_1983 = ("bwrap", "--dev-bind", "/", "/", "--unshare-user", "--uid", "1983", "--gid", "1983")


def user_namespaces_work() -> bool:
    """Say whether a process can be given another user ID here."""
    return (
        shutil.which("bwrap") is not None
        and subprocess.run([*AS_1983, "true"], capture_output=True, check=False).returncode == 0
    )


@pytest.mark.skipif(not user_namespaces_work(), reason="needs bubblewrap with user namespaces")
@pytest.mark.parametrize(("mode", "named"), [(0o555, "socket"), (0o000, "socket/started")])
def test_a_volume_of_somebody_else_is_named_with_the_fix(
    connected: Pod, mothership: MothershipFake, mode: int, named: str
) -> None:
    """In the termination message and in the result; there is no place for a log."""
    connected.workspace.root.chmod(mode)
    ended = connected.launcher("init", *AS_1983).ended()
    assert ended.code == 16
    assert ended.last_word["reason"] == "InitFailed"
    assert ended.last_word["message"] == (
        "The workspace could not be prepared: Permission denied for UID 1983: "
        f"{connected.workspace.root}/{named}: set spec.pod.securityContext.fsGroup to 1983, or let the files of the "
        "volume belong to GID 1983"
    )
    assert mothership.results[0]["outcome"] == ended.last_word
    assert "Traceback" not in ended.output


def test_a_workspace_that_is_no_directory_is_named(connected: Pod, mothership: MothershipFake) -> None:
    """Any other trouble has the system's own words and the path."""
    connected.exchange.root.write_text("a file")
    ended = connected.launcher("init").ended()
    assert ended.code == 16
    assert ended.last_word["message"].endswith(f"File exists: {connected.exchange.root}")
    assert len(mothership.results) == 1


def test_an_unknown_command_shows_the_usage(connected: Pod) -> None:
    """On the way to the logs of whoever misconfigured an image."""
    ended = connected.launcher("serve").ended()
    assert ended.code == 2
    assert ended.output.startswith("usage: spacelift-launcher init | grpc-server")


def test_a_renewed_token_that_cannot_be_kept_is_kept_later(
    connected: Pod, mothership: MothershipFake
) -> None:
    """As on a full disk."""
    mothership.script.next_token = "second-token-91ab"
    mothership.script.failing["details"] = 500
    draft = connected.workspace.root / "..run-token.new"
    draft.mkdir()
    running = connected.launcher("init")
    wait_for(lambda: "can't be written" in running.text(), "init's word of it")
    draft.rmdir()
    wait_for(connected.workspace.renewed_token.exists, "the token")
    del mothership.script.failing["details"]
    assert running.ended().code == 0
    assert connected.workspace.renewed_token.read_text() == "second-token-91ab"
