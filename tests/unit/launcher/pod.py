"""A run Pod made of directories and processes: what the operator would give the launcher's containers."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from launcher.api_client import Attempt, LauncherApi
from launcher.clock import boot_hundredths
from launcher.credentials import Credentials, RunToken
from launcher.exchange import Exchange, environment_text, lease_text, settings_text
from launcher.files import write_whole
from launcher.workspace import Workspace
from protocol.launcher_api import Settings
from tests.unit.launcher.mothership_fake import POD_UID, RUN, SEQUENCE, TOKEN

REPOSITORY = Path(__file__).resolve().parents[3]
EXECUTOR = REPOSITORY / "launcher" / "executor" / "spacelift-worker"


def wait_for(condition: Callable[[], object], what: str, within: float = 15) -> None:
    """Wait until a condition holds; fail, saying what was waited for."""
    deadline = time.monotonic() + within
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"after {within} s still waiting for: {what}")
        time.sleep(0.02)


def end_group(number: int) -> None:
    """Kill a process group that may have ended already."""
    with suppress(ProcessLookupError):
        os.killpg(number, signal.SIGKILL)


@dataclass
class Ended:
    """A container that ended."""

    code: int
    output: str
    last_word: dict[str, Any]
    seconds: float


@dataclass
class Container:
    """A running container: one process of ours, in a session of its own."""

    process: subprocess.Popen[bytes]
    output: Path
    termination_log: Path
    command: Path | None = None
    """File with the id of the command's process group, for the worker container."""

    began: float = field(default_factory=time.monotonic)

    def terminate(self) -> None:
        """Do as a kubelet does: SIGTERM to the container's first process alone."""
        self.process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """End everything in it, as when a container dies."""
        end_group(self.process.pid)
        if self.command is not None:
            # Its command has a session of its own, which a container's end would take along.
            with suppress(FileNotFoundError, ValueError):
                end_group(int(self.command.read_text()))

    def text(self) -> str:
        """Return what it has printed."""
        return self.output.read_text(errors="replace")

    def seconds(self) -> float:
        """Return how long ago it was started."""
        return time.monotonic() - self.began

    def ended(self, within: float = 20) -> Ended:
        """Wait for its end."""
        code = self.process.wait(within)
        word = self.termination_log.read_text()
        return Ended(code, self.text(), json.loads(word) if word else {}, self.seconds())


class Pod:
    """The volumes and the environment of one run Pod."""

    def __init__(self, folder: Path, endpoint: str = "https://127.0.0.1:1", ca: Path | None = None) -> None:
        self.folder = folder
        self.workspace = Workspace(folder / "workspace")
        self.workspace.root.mkdir(parents=True)
        self.credentials = folder / "credentials"
        self.credentials.mkdir()
        (self.credentials / "run-token").write_text(TOKEN)
        (self.credentials / "api-endpoint").write_text(endpoint)
        (self.credentials / "ca.crt").write_text(ca.read_text() if ca else "none")
        self.passwd = folder / "passwd"
        self.passwd.write_text(f"me:x:{os.geteuid()}:{os.getegid()}::{folder}:/bin/sh\n")
        self.times: dict[str, str] = {}
        self._started: list[Container] = []
        self._beat = 0

    @property
    def exchange(self) -> Exchange:
        """The files between executor and server."""
        return self.workspace.exchange

    def close(self) -> None:
        """End what still runs."""
        for container in self._started:
            container.kill()
            container.process.wait()

    def api(self) -> LauncherApi:
        """Return a client with this Pod's credentials."""
        found = Credentials(
            (self.credentials / "api-endpoint").read_text(), self.credentials / "ca.crt", RunToken(TOKEN)
        )
        return LauncherApi(found, Attempt(RUN, SEQUENCE), timeout=3)

    def launcher(self, command: str, *wrapper: str) -> Container:
        """Start a launcher container, inside a command that starts what follows it if one is given."""
        return self._start(
            command,
            [*wrapper, sys.executable, "-m", "launcher", command],
            {
                "PATH": os.environ["PATH"],
                "HOME": str(self.folder),
                "PYTHONPATH": str(REPOSITORY),
                "SPACELIFT_RUN_ID": RUN,
                "SPACELIFT_RUN_STAGE": "preparing",
                "SPACELIFT_RUN_SEQUENCE": str(SEQUENCE),
                "SPACELIFT_POD_UID": POD_UID,
                "SPACELIFT_POD_NAME": "a-pod",
                "SPACELIFT_CREDENTIALS_DIR": str(self.credentials),
                "SPACELIFT_WORKSPACE_DIR": str(self.workspace.root),
                **self.times,
            },
        )

    def executor(
        self, shell: str = "dash", environment: Mapping[str, str] | None = None, path: str = ""
    ) -> Container:
        """Start the worker container under a shell."""
        interpreter, *applet = shell.split()
        program = self.workspace.binaries / "spacelift-worker"
        return self._start(
            "worker",
            [
                shutil.which(interpreter) or interpreter,
                *applet,
                str(program if program.exists() else EXECUTOR),
            ],
            {
                "PATH": path or os.environ["PATH"],
                "HOME": str(self.folder),
                "SPACELIFT_PASSWD_FILE": str(self.passwd),
                "SPACELIFT_SOCKET_DIR": str(self.exchange.root),
                "SPACELIFT_PROJECT_DIR": str(self.workspace.project),
                "SPACELIFT_BINARIES_DIR": str(self.workspace.binaries),
                **(environment or {}),
            },
        )

    def prepare(self, *commands: str, settings: Settings | None = None, **environment: str) -> None:
        """Do init's part for the executor, without a mothership."""
        for directory in (self.exchange.commands, self.workspace.project, self.workspace.binaries):
            directory.mkdir(parents=True)
        for number, command in enumerate(commands, 1):
            write_whole(self.exchange.commands / str(number), command)
        write_whole(self.exchange.environment, environment_text(environment))
        chosen = settings or Settings(lease=1, lost_after=60, stop_grace=1)
        write_whole(self.exchange.settings, settings_text(chosen, len(commands), ""))
        self.renew()

    def renew(self) -> None:
        """Do the server's part: say that the lease was renewed just now."""
        self._beat += 1
        write_whole(self.exchange.lease, lease_text(self._beat, boot_hundredths(), int(time.time() * 100)))

    def _start(self, name: str, argv: list[str], environment: Mapping[str, str]) -> Container:
        number = len(self._started)
        output, word = self.folder / f"{name}-{number}.out", self.folder / f"{name}-{number}.word"
        word.touch()
        with output.open("wb") as stream:
            process = subprocess.Popen(
                argv,
                env={**environment, "SPACELIFT_TERMINATION_LOG": str(word)},
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                start_new_session=True,
            )
        command = self.exchange.root / "executor" / "pid" if name == "worker" else None
        container = Container(process, output, word, command)
        self._started.append(container)
        return container


@contextmanager
def running_pod(pod: Pod) -> Iterator[Pod]:
    """Clean up behind a Pod."""
    try:
        yield pod
    finally:
        pod.close()
