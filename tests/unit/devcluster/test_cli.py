"""The command line: durations, signals, and lines for a shell."""

import argparse
import json
import subprocess
from pathlib import Path

import pytest

from devcluster import kubeconfig
from devcluster.cli import exports, main, seconds, signal_name
from devcluster.pki import KeyPair


@pytest.mark.parametrize(
    ("text", "value"), [("90", 90), ("90s", 90), ("15m", 900), ("12h", 43200), ("0.5h", 1800)]
)
def test_durations_have_units(text: str, value: float) -> None:
    """Seconds are the default."""
    assert seconds(text) == value


@pytest.mark.parametrize("text", ["KILL", "SIGKILL", "kill", "9"])
def test_signals_are_known_by_name_and_number(text: str) -> None:
    """As kill(1) knows them."""
    assert signal_name(text) == "SIGKILL"


@pytest.mark.parametrize("text", ["NOPE", "99", "x"])
def test_what_is_no_signal_or_duration_is_refused(text: str) -> None:
    """With the text that was given."""
    with pytest.raises(argparse.ArgumentTypeError, match=text):
        signal_name(text)
    with pytest.raises(argparse.ArgumentTypeError, match="x"):
        seconds("x")


def test_exports_survive_any_path_and_put_the_tools_first() -> None:
    """A shell evaluates the lines as they are."""
    lines = exports({"KUBECONFIG": "/a b/'k'", "DEVCLUSTER_BIN": "/tools dir", "PATH": "/elsewhere"})
    script = "\n".join([*lines, 'printf "%s\\n%s\\n" "$KUBECONFIG" "$PATH"'])
    shown = subprocess.run(
        ["/bin/sh", "-c", script], env={"PATH": "/bin"}, capture_output=True, text=True, check=True
    )
    assert shown.stdout == "/a b/'k'\n/tools dir:/bin\n"


def test_asking_for_the_environment_of_no_cluster_fails_with_one_message(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Nothing that a shell would evaluate is printed."""
    assert main(["env", "--dir", str(tmp_path / "none")]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "no cluster is up" in printed.err


def test_taking_down_what_is_not_there_is_fine(tmp_path: Path) -> None:
    """`down` says how things should be, not what to do."""
    assert main(["down", "--dir", str(tmp_path / "none")]) == 0


def test_a_kubeconfig_names_keys_by_path_so_that_no_client_copies_them() -> None:
    """Clients write embedded keys to temporary files and leave them there when killed."""
    pair = KeyPair(Path("/c/admin.crt"), Path("/c/admin.key"))
    document = json.loads(kubeconfig.with_certificate("https://127.0.0.1:1", Path("/c/ca.crt"), pair))
    assert document["users"][0]["user"] == {
        "client-certificate": "/c/admin.crt",
        "client-key": "/c/admin.key",
    }
    assert document["clusters"][0]["cluster"]["certificate-authority"] == "/c/ca.crt"
