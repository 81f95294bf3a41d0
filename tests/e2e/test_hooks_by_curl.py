"""Every hook answers a recorded request by curl, without any cluster."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.harness import ROOT, Shell, until

REQUESTS = ROOT / "tests" / "unit" / "web" / "requests"
ANSWERS = REQUESTS.with_name("answers")


@pytest.fixture(scope="module")
def hooks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serve the hooks alone, in an environment that knows no cluster; return their address."""
    with socket.socket() as one, socket.socket() as two:
        one.bind(("127.0.0.1", 0))
        two.bind(("127.0.0.1", 0))
        ports = one.getsockname()[1], two.getsockname()[1]
    home = tmp_path_factory.mktemp("home")
    env = {"PATH": os.environ["PATH"], "HOME": str(home), "PYTHONPATH": str(ROOT)}
    address = f"http://127.0.0.1:{ports[0]}"
    flags = [f"--hook-bind-address=127.0.0.1:{ports[0]}", f"--health-probe-bind-address=127.0.0.1:{ports[1]}"]
    with (home / "log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "app", "--hooks-only", *flags], env=env, stdout=log, stderr=log, cwd=ROOT
        )
    try:
        until(lambda: Shell(env).run("curl", "-sf", f"{address}/readyz"), "the hooks are served")
        yield address
    finally:
        server.terminate()
        server.wait(30)


def _path(recording: Path) -> str:
    hook, kind, *_ = recording.stem.split("-")
    return f"/{hook}/{kind}"


@pytest.mark.parametrize("recording", sorted(REQUESTS.glob("*.json")), ids=lambda path: path.stem)
def test_curl_gets_the_recorded_answer(hooks: str, recording: Path) -> None:
    """What Metacontroller once asked is answered as it was."""
    printed = Shell(dict(os.environ)).run(
        "curl", "-s", "--data-binary", f"@{recording}", hooks + _path(recording)
    )
    assert json.loads(printed) == json.loads((ANSWERS / recording.name).read_text())


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ("", "(body)"),
        ("{", "(body)"),
        ("[]", "(body)"),
        ("{}", "children"),
        ('{"children": {}, "parent": 1}', "parent"),
    ],
)
def test_curl_is_told_which_field_is_wrong(hooks: str, body: str, field: str) -> None:
    """400, and a JSON body that names the field."""
    printed = Shell(dict(os.environ)).run(
        "curl", "-s", "-w", "\n%{http_code}", "--data-binary", body, f"{hooks}/sync/workerpool"
    )
    answer, status = printed.rsplit("\n", 1)
    assert status == "400"
    assert field.strip("()") in json.loads(answer)["error"]["field"]
