"""Starts sandboxed processes, pumps their output into logs and says when they end: the node's container runtime.

One thread serves all processes: it sleeps in epoll on their output pipes and on a pidfd of each. Whoever starts a
process must be a thread that outlives it: when that thread ends, the kernel kills the process.
"""

import contextlib
import json
import logging
import os
import queue
import secrets
import selectors
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from devcluster.node import proot_start
from devcluster.node.cgroup import MemoryGroup, MemoryLimits
from devcluster.node.guard import Guard
from devcluster.node.logs import LogFile
from devcluster.node.memory_watch import MemoryWatch, Watched
from devcluster.node.mounts import BindMount, MakeDir, MakeLink
from devcluster.node.sandbox import Sandbox, bwrap_command, bwrap_options, proot_argv

log = logging.getLogger(__name__)

_PROOT_START = (sys.executable, "-I", "-S", proot_start.__file__)


class StartFailed(Exception):  # noqa: N818 - an outcome, not a bug
    """The sandbox couldn't be made."""


@dataclass(frozen=True)
class Launch:
    """A process to start; `proot_root` is a directory for the fallback's root."""

    box: Sandbox
    log: LogFile
    memory_limit: int | None
    proot_root: Path


@dataclass(frozen=True)
class Exit:
    """How a process ended: exit code (128+n for a signal) and whether memory ran out."""

    code: int
    out_of_memory: bool


class Process:
    """A started container process."""

    def __init__(
        self, container_id: str, child: subprocess.Popen[bytes], pid: int, group: MemoryGroup | None
    ) -> None:
        self.container_id, self.child, self.pid, self.group = container_id, child, pid, group
        self.watch: Watched | None = None
        self.alarmed = False
        self.init_fd = _pidfd(pid)
        self.outer_fd = _pidfd(child.pid)
        # A signal must not go to whatever reused a closed descriptor's number.
        self._open = threading.Lock()

    def send(self, number: signal.Signals) -> None:
        """Send a signal to the container's first process."""
        with self._open, contextlib.suppress(ProcessLookupError):
            if self.init_fd is not None:
                if self.pid == self.child.pid:
                    # proot takes no signals itself: they are meant for the processes of its group.
                    os.killpg(self.pid, number)
                else:
                    signal.pidfd_send_signal(self.init_fd, number)

    @property
    def out_of_memory(self) -> bool:
        """Return whether the container was killed for want of memory."""
        if self.watch is not None:
            return self.watch.out_of_memory
        # Killed by the node at the kernel's alarm, nothing is left for the kernel to kill and to count.
        return self.alarmed or (self.group is not None and self.group.killed())

    def close(self) -> None:
        """Release what the node holds of an ended process."""
        with self._open:
            for descriptor in (self.init_fd, self.outer_fd):
                if descriptor is not None:
                    os.close(descriptor)
            self.init_fd = self.outer_fd = None
        if self.watch is not None:
            self.watch.ended.set()
        if self.group is not None:
            self.group.remove()


def _pidfd(pid: int) -> int | None:
    """Return a descriptor of a process, None when it has ended already."""
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError:
        return None


@dataclass
class _Watched:
    """What the pump keeps of one process."""

    process: Process
    log: LogFile
    pipes: dict[int, str]
    on_exit: Callable[[Exit], None]
    alarm: int | None


class Runtime:
    """Makes sandboxes with bubblewrap, or proot where user namespaces are refused."""

    def __init__(self, limits: MemoryLimits, wanted: str = "auto") -> None:
        self._limits = limits
        self._memory = MemoryWatch()
        self._guard = Guard()
        self._bwrap = shutil.which("bwrap")
        self._proot = shutil.which("proot")
        self.tool = self._choose() if wanted == "auto" else wanted
        self._selector = selectors.EpollSelector()
        self._wake = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._new: queue.SimpleQueue[_Watched] = queue.SimpleQueue()
        self._pump = threading.Thread(target=self._run, name="container output", daemon=True)
        self._pump.start()

    def _choose(self) -> str:
        """Return the tool that works here."""
        if self._bwrap and subprocess.run(
            [self._bwrap, "--ro-bind", "/", "/", "--unshare-pid", "/bin/true"], capture_output=True, timeout=30
        ).returncode == 0:  # fmt: skip
            return "bwrap"
        if self._proot:
            return "proot"
        raise StartFailed("neither bubblewrap nor proot works here; install one: apt-get install bubblewrap")

    def start(self, launch: Launch, on_exit: Callable[[Exit], None]) -> Process:
        """Start a process; `on_exit` is called once, from the pump's thread."""
        container_id = secrets.token_hex(32)
        group = self._limits.create(container_id, launch.memory_limit) if launch.memory_limit else None
        alarm = group.listen() if group is not None else None
        pipes = {name: os.pipe2(os.O_CLOEXEC) for name in ("stdout", "stderr")}
        if launch.box.real_ids:
            for _, write in pipes.values():
                # Otherwise another user couldn't open /dev/stdout.
                os.fchown(write, launch.box.identity.uid, launch.box.identity.gid)
        try:
            start = self._bubblewrap if self.tool == "bwrap" else self._proot_start
            child, pid = start(launch, pipes["stdout"][1], pipes["stderr"][1], group)
        except BaseException:
            for read, _ in pipes.values():
                os.close(read)
            if alarm is not None:
                os.close(alarm)
            if group is not None:
                group.remove()
            raise
        finally:
            for _, write in pipes.values():
                os.close(write)
        process = Process(container_id, child, pid, group)
        if launch.memory_limit and group is None:
            process.watch = self._memory.watch(pid, launch.memory_limit, lambda: process.send(signal.SIGKILL))
        reads = {read: name for name, (read, _) in pipes.items()}
        self._new.put(_Watched(process, launch.log, reads, on_exit, alarm))
        os.eventfd_write(self._wake, 1)
        return process

    def _bubblewrap(
        self, launch: Launch, out: int, err: int, group: MemoryGroup | None
    ) -> tuple[subprocess.Popen[bytes], int]:
        """Start bubblewrap and learn the process that became PID 1 of the sandbox."""
        options = os.memfd_create("options")
        info, info_write = os.pipe()
        gate, gate_write = os.pipe()
        try:
            os.write(options, b"".join(word.encode() + b"\0" for word in bwrap_options(launch.box)))
            os.lseek(options, 0, os.SEEK_SET)
            argv = [self._bwrap or "bwrap", "--info-fd", str(info_write), "--block-fd", str(gate)]
            argv += ["--args", str(options), "--", *bwrap_command(launch.box)]
            child = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                pass_fds=(options, info_write, gate),
                env={},
                cwd="/",
                start_new_session=True,
            )
            os.close(info_write)
            info_write = -1
            pid = _child_pid(info)
            if pid is None:
                child.wait()
                raise StartFailed(
                    "bubblewrap couldn't make the sandbox; its message is in the container's log"
                )
            if group is not None:
                group.add(pid)
            self._guard.watch(pid)
            os.write(gate_write, b"1")
            return child, pid
        finally:
            for descriptor in (options, info, info_write, gate, gate_write):
                if descriptor != -1:
                    os.close(descriptor)

    def _proot_start(
        self, launch: Launch, out: int, err: int, group: MemoryGroup | None
    ) -> tuple[subprocess.Popen[bytes], int]:
        """Start proot on a root directory that holds the plan's directories and links."""
        for step in launch.box.steps:
            place = launch.proot_root / step.target.lstrip("/")
            place.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(step, MakeDir):
                place.mkdir(exist_ok=True)
            elif isinstance(step, MakeLink) and not place.is_symlink():
                place.symlink_to(step.points_to)
            elif isinstance(step, BindMount) and step.source.is_dir():
                place.mkdir(exist_ok=True)
        child = subprocess.Popen(
            proot_argv(launch.box, [*_PROOT_START, self._proot or "proot"], launch.proot_root),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            env=dict(launch.box.env),
            cwd="/",
            start_new_session=True,
        )
        self._guard.watch(child.pid)
        if group is not None:
            group.add(child.pid)
        return child, child.pid

    def _run(self) -> None:
        """Pump output and notice ends, for as long as the node lives."""
        self._selector.register(self._wake, selectors.EVENT_READ, None)
        while True:
            for key, _ in self._selector.select():
                try:
                    self._serve(key.fd, key.data)
                except Exception:
                    log.exception("serving a container failed")

    def _serve(self, descriptor: int, watched: _Watched | None) -> None:
        """Take new processes in, read a pipe, or see a process end."""
        if watched is None:
            os.eventfd_read(self._wake)
            with contextlib.suppress(queue.Empty):
                while True:
                    self._watch(self._new.get_nowait())
        elif descriptor in watched.pipes:
            self._read(watched, descriptor)
        elif descriptor == watched.alarm:
            os.eventfd_read(descriptor)
            watched.process.alarmed = True
            if watched.process.group is not None:
                watched.process.group.kill()
        elif descriptor == watched.process.outer_fd:
            # What else was ready in the same moment may belong to a process whose end was served already.
            self._ended(watched)

    def _watch(self, watched: _Watched) -> None:
        """Begin to serve a process."""
        for read in watched.pipes:
            os.set_blocking(read, False)
            self._selector.register(read, selectors.EVENT_READ, watched)
        if watched.alarm is not None:
            self._selector.register(watched.alarm, selectors.EVENT_READ, watched)
        if watched.process.outer_fd is None:
            self._ended(watched)
        else:
            self._selector.register(watched.process.outer_fd, selectors.EVENT_READ, watched)

    def _read(self, watched: _Watched, descriptor: int) -> bool:
        """Move what a pipe holds into the log; return whether there may be more."""
        try:
            data = os.read(descriptor, 65536)
        except BlockingIOError:
            return False
        if data:
            watched.log.append(watched.pipes[descriptor], data)
            return True
        self._selector.unregister(descriptor)
        del watched.pipes[descriptor]
        os.close(descriptor)
        return False

    def _ended(self, watched: _Watched) -> None:
        """Empty the pipes, close the log and report how the process ended."""
        process = watched.process
        if process.outer_fd is not None and process.outer_fd in self._selector.get_map():
            self._selector.unregister(process.outer_fd)
        if watched.alarm is not None:
            with contextlib.suppress(BlockingIOError):
                process.alarmed = os.eventfd_read(watched.alarm) > 0
            self._selector.unregister(watched.alarm)
            os.close(watched.alarm)
            watched.alarm = None
        code = process.child.wait()
        for descriptor in list(watched.pipes):
            while descriptor in watched.pipes and self._read(watched, descriptor):
                pass
            if descriptor in watched.pipes:
                self._selector.unregister(descriptor)
                del watched.pipes[descriptor]
                os.close(descriptor)
        watched.log.close()
        killed = process.out_of_memory
        process.close()
        self._guard.release(process.pid)
        watched.on_exit(Exit(128 - code if code < 0 else code, killed))


def _child_pid(info: int) -> int | None:
    """Read bubblewrap's answer about the process it made; None when it ended before."""
    text = b""
    while not text.rstrip().endswith(b"}"):
        piece = os.read(info, 4096)
        if not piece:
            return None
        text += piece
    return int(json.loads(text)["child-pid"])
