"""One worker process with the agent in it, started again when it dies, stopped in order. Real processes."""

from __future__ import annotations

import datetime as dt
import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from app.serving import bind_of
from app.settings import Address
from app.webhook.authority import Authority

ROOT = Path(__file__).parents[3]
PROGRAM = r"""
import os, sys, threading, time
from app import logs, settings
from app.cluster.errors import ConfigurationError
from app.serving import serve

from pathlib import Path
from app.webhook.serving import FileCredentials

class Operator:
    def __init__(self, chosen):
        self.thread = None
        directory = chosen.hook_certificate_dir
        self.tls = FileCredentials(Path(directory), None).context if directory else None
    def wsgi(self, environ, start_response):
        if environ["PATH_INFO"] == "/slow":
            os.write(1, b"begun\n")
            time.sleep(2)
            os.write(1, b"answered\n")
        body = f"{os.getpid()} {self.thread is not None and self.thread.is_alive()}".encode()
        start_response("200 OK", [("Content-Length", str(len(body)))])
        return [body]
    def start(self):
        self.thread = threading.Thread(target=time.sleep, args=(300,), daemon=True)
        self.thread.start()
    def stop(self, deadline_seconds):
        # In one piece: gunicorn's own lines go the same way, from another thread.
        os.write(1, f"stopped {deadline_seconds}\n".encode())

def assemble(chosen):
    if os.environ.get("BROKEN"):
        raise ConfigurationError("kubeconfig /nowhere does not exist")
    return Operator(chosen)

chosen = settings.parse(sys.argv[1:], os.environ)
logs.configure(chosen.log_level, chosen.log_format)
serve(chosen, assemble)
"""


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Served:
    """The program above, and its two ports."""

    def __init__(self, output: Path, *more: str) -> None:
        self.ports = (free_port(), free_port())
        self.output = output
        flags = [
            f"--hook-bind-address=127.0.0.1:{self.ports[0]}",
            f"--health-probe-bind-address=127.0.0.1:{self.ports[1]}",
            *more,
        ]
        with output.open("w") as stream:
            self.process = subprocess.Popen(
                [sys.executable, "-c", PROGRAM, *flags], cwd=ROOT, stdout=stream, stderr=stream
            )

    def ask(self, port: int) -> tuple[int, bool] | None:
        """Return (process id of the worker, whether its agent runs), None while it doesn't answer."""
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        try:
            connection.request("GET", "/")
            pid, running = connection.getresponse().read().decode().split()
        except (OSError, ValueError, http.client.HTTPException):
            return None
        else:
            return int(pid), running == "True"
        finally:
            connection.close()


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    """Return the program, running."""
    running = Served(tmp_path / "output")
    yield running
    if running.process.poll() is None:
        running.process.send_signal(signal.SIGTERM)
    running.process.wait(20)


def test_hooks_and_probes_are_served_by_one_worker_whose_agent_runs(
    served: Served, eventually: Callable[..., None]
) -> None:
    """Two sockets, one process that isn't the arbiter; threads were started after the fork."""
    eventually(lambda: served.ask(served.ports[0]), 20)
    answers = [served.ask(port) for port in served.ports]
    assert answers[0] == answers[1]
    assert answers[0] is not None
    assert answers[0][0] != served.process.pid
    assert answers[0][1]


def test_a_worker_that_dies_is_started_again(served: Served, eventually: Callable[..., None]) -> None:
    """Kill -9 of the worker costs a moment, with a fresh agent after it."""
    eventually(lambda: served.ask(served.ports[0]), 20)
    first = served.ask(served.ports[0])
    assert first is not None
    os.kill(first[0], signal.SIGKILL)
    eventually(lambda: (served.ask(served.ports[0]) or first)[0] != first[0], 20)
    again = served.ask(served.ports[0])
    assert again is not None
    assert again[1]


def test_signals_that_would_make_a_second_worker_are_ignored(
    served: Served, eventually: Callable[..., None]
) -> None:
    """Two agents would fight for one MQTT session."""
    eventually(lambda: served.ask(served.ports[0]), 20)
    for name in (signal.SIGHUP, signal.SIGTTIN, signal.SIGUSR2, signal.SIGTTOU):
        served.process.send_signal(name)
    before = served.ask(served.ports[0])
    os.kill(before[0] if before else 0, signal.SIGKILL)
    eventually(lambda: (served.ask(served.ports[0]) or before) != before, 20)
    children = Path(f"/proc/{served.process.pid}/task/{served.process.pid}/children").read_text().split()
    assert len(children) == 1


def test_sigterm_stops_the_agent_and_ends_with_success(
    served: Served, eventually: Callable[..., None]
) -> None:
    """Within the ten seconds that a Pod gets; every line of the log is JSON."""
    eventually(lambda: served.ask(served.ports[0]), 20)
    started = time.monotonic()
    served.process.send_signal(signal.SIGTERM)
    assert served.process.wait(15) == 0
    assert time.monotonic() - started < 9
    lines = served.output.read_text().splitlines()
    assert "stopped 5.0" in lines
    assert all(json.loads(line)["level"] for line in lines if not line.startswith("stopped"))


def test_the_agent_leaves_while_the_last_hooks_are_answered(
    served: Served, eventually: Callable[..., None]
) -> None:
    """Another replica takes its pools at once; the hook that is under way gets its answer all the same."""
    eventually(lambda: served.ask(served.ports[0]), 20)
    connection = http.client.HTTPConnection("127.0.0.1", served.ports[0], timeout=10)
    connection.request("GET", "/slow")
    eventually(lambda: "begun" in served.output.read_text(), 10)
    served.process.send_signal(signal.SIGTERM)
    assert connection.getresponse().status == 200
    connection.close()
    served.process.wait(15)
    said = [line for line in served.output.read_text().splitlines() if line in ("stopped 5.0", "answered")]
    assert said == ["stopped 5.0", "answered"]


def test_a_configuration_that_is_wrong_ends_the_program_with_its_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It doesn't start again and again what cannot work."""
    monkeypatch.setenv("BROKEN", "1")
    broken = Served(tmp_path / "output")
    assert broken.process.wait(20) == 4
    output = broken.output.read_text()
    assert "kubeconfig /nowhere does not exist" in output
    assert "Traceback" not in output


@pytest.mark.parametrize(
    ("arguments", "status", "complaint"),
    [
        (["--no-such-flag"], 2, "unrecognized arguments: --no-such-flag"),
        (["--kubeconfig=/no/such/file"], 1, "--kubeconfig: there is no file /no/such/file"),
        (["--help"], 0, "--health-probe-bind-address"),
    ],
)
def test_the_command_line_says_what_is_wrong(arguments: list[str], status: int, complaint: str) -> None:
    """Before anything is served."""
    done = subprocess.run(
        [sys.executable, "-m", "app", *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == status
    assert complaint in done.stdout + done.stderr
    assert "Traceback" not in done.stderr


def test_the_arbiter_loads_nothing_heavy() -> None:
    """Its memory is there twice: what only the worker needs is imported there."""
    program = "import sys, app.__main__; print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    heavy = {"kubernetes", "flask", "paho", "cryptography", "joserfc", "jsonschema", "urllib3", "pydantic"}
    assert not heavy & set(done.stdout.split())


def test_no_host_means_every_interface() -> None:
    """Of both families where the machine has two."""
    assert bind_of(Address("", 8080)) in {"[::]:8080", "0.0.0.0:8080"}
    assert bind_of(Address("::1", 8080)) == "[::1]:8080"
    assert bind_of(Address("127.0.0.1", 0)) == "127.0.0.1:0"


@pytest.fixture
def certificates(tmp_path: Path) -> tuple[Path, Authority]:
    """Return a directory with a serving certificate for the loopback address, and its authority."""
    folder = tmp_path / "certificates"
    folder.mkdir()
    authority = Authority.create(dt.datetime.now(dt.UTC))
    renew(folder, authority)
    return folder, authority


def renew(folder: Path, authority: Authority) -> None:
    """Put another certificate into the directory."""
    pair = authority.issue(["127.0.0.1"], dt.datetime.now(dt.UTC))
    for name, content in (("tls.crt", pair.certificate), ("tls.key", pair.key)):
        (folder / f"{name}.new").write_bytes(content)
        (folder / f"{name}.new").rename(folder / name)


def greet(port: int, authority: Authority, connection: http.client.HTTPSConnection | None = None) -> bytes:
    """Ask over TLS, and return the certificate that was shown; raises ssl.SSLError when it isn't trusted."""
    context = ssl.create_default_context(cadata=authority.bundle.decode())
    used = connection or http.client.HTTPSConnection("127.0.0.1", port, timeout=5, context=context)
    try:
        used.request("GET", "/")
        assert used.getresponse().read()
        assert isinstance(used.sock, ssl.SSLSocket)
        return used.sock.getpeercert(binary_form=True) or b""
    finally:
        if connection is None:
            used.close()


def test_hooks_are_served_over_tls_probes_are_not_and_a_new_certificate_needs_no_restart(
    tmp_path: Path, certificates: tuple[Path, Authority], eventually: Callable[..., None]
) -> None:
    """A connection that stands goes on; each new one gets what is in the files."""
    folder, authority = certificates
    served = Served(tmp_path / "output", f"--hook-certificate-dir={folder}")
    hooks, probes = served.ports
    try:
        eventually(lambda: served.ask(probes), 20)
        first = greet(hooks, authority)
        assert served.ask(hooks) is None, "plain HTTP on the hooks' port"
        with pytest.raises(ssl.SSLError):
            greet(hooks, Authority.create(dt.datetime.now(dt.UTC)))
        kept = http.client.HTTPSConnection(
            "127.0.0.1", hooks, context=ssl.create_default_context(cadata=authority.bundle.decode())
        )
        assert greet(hooks, authority, kept) == first
        renew(folder, authority)
        eventually(lambda: greet(hooks, authority) != first, 10)
        assert greet(hooks, authority, kept) == first
        kept.close()
    finally:
        served.process.send_signal(signal.SIGTERM)
        assert served.process.wait(20) == 0


def test_clients_that_stall_or_break_off_a_handshake_hold_nobody_up(
    tmp_path: Path, certificates: tuple[Path, Authority], eventually: Callable[..., None]
) -> None:
    """More of them than there are threads: silent ones, ones that send nonsense, ones that go away."""
    folder, authority = certificates
    served = Served(tmp_path / "output", f"--hook-certificate-dir={folder}", "--threads=2")
    hooks, probes = served.ports
    try:
        eventually(lambda: served.ask(probes), 20)
        clients = [socket.create_connection(("127.0.0.1", hooks), 5) for _ in range(6)]
        for each in clients[:3]:
            each.sendall(b"GET / HTTP/1.1\r\n\r\n")
        for each in clients[:5]:
            each.close()
        eventually(lambda: greet(hooks, authority), 20)
        clients[5].close()
        assert greet(hooks, authority)
        assert "Traceback" not in served.output.read_text()
    finally:
        served.process.send_signal(signal.SIGTERM)
        assert served.process.wait(20) == 0
