"""Child processes that are ready when they say so, stop when told, and never outlive their parent."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from devcluster.paths import PACKAGE, REPOSITORY
from devcluster.progress import ClusterError, NotReadyError, Say, say_nothing, wait_until

LAST_LINES = 15
# The kernel counts as parent the *thread* that forked: children are started by one that lives as long as the process.
_SPAWNER = ThreadPoolExecutor(max_workers=1, thread_name_prefix="devcluster-spawner")


@dataclass(frozen=True)
class Program:
    """What to run, and how to know that it works."""

    name: str
    argv: tuple[str, ...]
    ready: Callable[[], bool]
    env: Mapping[str, str] = field(default_factory=dict)
    ready_within: float = 60.0
    stop_within: float = 10.0
    signals_group: bool = False
    """Whether a signal is meant for its process group: the process itself only stands for another."""


class Component:
    """One program of the cluster: started, stopped and killed any number of times."""

    def __init__(
        self,
        program: Program,
        log_path: Path,
        say: Say = say_nothing,
        started: Callable[[], None] = lambda: None,
    ) -> None:
        """Describe the component; nothing runs before `start`. `started` is called after each start of its process."""
        self._started = started
        self.program = program
        self._log_path = log_path
        self._say = say
        self._process: subprocess.Popen[bytes] | None = None
        self._log_offset = 0
        self._lock = threading.RLock()

    @property
    def name(self) -> str:
        """The component's name, also that of its log."""
        return self.program.name

    @property
    def log_path(self) -> Path:
        """Where its log is."""
        return self._log_path

    @property
    def running(self) -> bool:
        """Whether its process lives."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The process id; raises when it does not run."""
        process = self._process
        if process is None or process.poll() is not None:
            msg = f"{self.name} is not running ({self.describe()})"
            raise ClusterError(msg)
        return process.pid

    def describe(self) -> str:
        """Say in a word or two how it is: running, not started, exited."""
        if self._process is None:
            return "not started"
        code = self._process.poll()
        if code is None:
            return "running"
        return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exited with {code}"

    def start(self, *, wait: bool = True) -> None:
        """Start it and, unless told otherwise, wait until it is ready."""
        with self._lock:
            if self.running:
                msg = f"{self.name} is already running as process {self.pid}"
                raise ClusterError(msg)
            self._process = _SPAWNER.submit(self._spawn).result()
        self._started()
        if wait:
            self.wait_ready()

    def wait_ready(self) -> None:
        """Wait until the program's own readiness check holds; the error shows the end of its log."""
        try:
            wait_until(self._ready_or_dead, self.name, within=self.program.ready_within, say=self._say)
        except NotReadyError as error:
            msg = f"{error}\n{self.last_lines()}"
            raise NotReadyError(msg) from None

    def stop(self, *, within: float | None = None) -> None:
        """Ask it to end, then make it: TERM, and after the deadline KILL for all of its process group."""
        with self._lock:
            process = self._process
            if process is None or process.poll() is not None:
                return
            process.terminate()
            # A stopped process (SIGSTOP, as a fault test does) sees no TERM until it is continued.
            self._send(process.pid, signal.SIGCONT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(self.program.stop_within if within is None else within)
            if process.poll() is None:
                self._say(f"{self.name}: did not stop when asked, killing it")
            self._kill_group(process)

    def end(self) -> None:
        """Kill it with its process group, if it runs: for what has nothing to save."""
        with self._lock:
            if self._process is not None and self._process.poll() is None:
                self._kill_group(self._process)

    def kill(self, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal. KILL goes to the whole process group, as when a container dies, and is waited for."""
        with self._lock:
            pid = self.pid
            if number != signal.SIGKILL:
                self._send(pid, number)
            elif self._process is not None:
                self._kill_group(self._process)

    def freeze(self) -> None:
        """Stop all of its process group, as a machine that is paused does; `thaw` lets it go on."""
        os.killpg(self.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let what was frozen go on; nothing happens to what was not, or does not run."""
        with contextlib.suppress(ProcessLookupError, ClusterError):
            os.killpg(self.pid, signal.SIGCONT)

    def processes(self) -> list[int]:
        """Return the processes of its group; empty when it doesn't run."""
        return _members(self.pid) if self.running else []

    def last_lines(self) -> str:
        """Return the end of what the current process logged."""
        try:
            with self.log_path.open("rb") as log:
                log.seek(self._log_offset)
                lines = log.read().decode(errors="replace").splitlines()
        except FileNotFoundError:
            lines = []
        shown = "\n".join(f"  | {line}" for line in lines[-LAST_LINES:]) or "  (nothing logged)"
        return f"{self.name}: {self.describe()}; the end of {self.log_path}:\n{shown}"

    def _ready_or_dead(self) -> bool:
        if not self.running:
            msg = f"{self.name}: ended instead of starting"
            raise NotReadyError(msg)
        return self.program.ready()

    def _spawn(self) -> subprocess.Popen[bytes]:
        tether = [sys.executable, "-I", "-S", str(PACKAGE / "tethered.py"), str(os.getpid())]
        with self.log_path.open("ab") as log:
            self._log_offset = log.tell()
            return subprocess.Popen(
                [*tether, *self.program.argv],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=REPOSITORY,
                env={**os.environ, **self.program.env},
                start_new_session=True,
            )

    def _send(self, pid: int, number: signal.Signals) -> None:
        # A process that has ended meanwhile needs no signal any more.
        with contextlib.suppress(ProcessLookupError):
            (os.killpg if self.program.signals_group else os.kill)(pid, number)

    @staticmethod
    def _kill_group(process: subprocess.Popen[bytes]) -> None:
        # The group outlives its leader: members that the leader left behind end here too.
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _members(group: int) -> list[int]:
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            try:
                stat = (process / "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(stat[2]) == group and stat[0] != "Z":
                found.append(int(process.name))
    return found


def start_ticks(pid: int) -> int | None:
    """Return when a process started, which tells it from a later one of the same id; None when it is gone."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    fields = text.rpartition(")")[2].split()
    return None if fields[0] == "Z" else int(fields[19])
