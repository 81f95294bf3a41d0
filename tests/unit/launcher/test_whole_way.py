"""init, grpc-server and executor one after another, as a run Pod has them."""

from pathlib import Path

from tests.unit.launcher.mothership_fake import TOKEN, MothershipFake
from tests.unit.launcher.pod import Pod
from tests.unit.launcher.repository import Repository


def test_a_run_of_a_repository(connected: Pod, mothership: MothershipFake, tmp_path: Path) -> None:
    """Claimed, checked out, executed in its project root, delivered; no secret anywhere outside its file."""
    repository = Repository(tmp_path / "origin")
    repository.commit("infra/hello.sh", 'echo hello from $(basename "$PWD")')
    mothership.script.claims = [425]
    mothership.script.next_token = "second-token-91ab"
    mothership.script.details |= {
        "source": {"type": "git", "url": repository.url, "ref": "main", "projectRoot": "infra"},
        "commands": ["sh hello.sh", 'test "$PASSWORD" = s3cret'],
        "environment": {"PASSWORD": "s3cret"},
    }
    init = connected.launcher("init").ended()
    assert init.code == 0, init.output
    server, worker = connected.launcher("grpc-server"), connected.executor()
    assert worker.ended().code == 0
    assert server.ended().code == 0
    log = mothership.log.decode()
    assert "hello from infra\n" in log
    assert log.index("Checked out commit") < log.index("$ sh hello.sh")
    [result] = mothership.results
    assert result["outcome"]["result"] == "succeeded"
    assert [phase["name"] for phase in result["phases"]] == ["init", "command-1", "command-2"]
    shown = log.replace('"$PASSWORD" = s3cret', "") + init.output + server.text()
    assert not any(secret in shown for secret in ("s3cret", TOKEN, "second-token"))
