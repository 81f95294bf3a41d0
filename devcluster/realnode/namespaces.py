"""The namespaces that hold a whole node: network, mounts and processes, all gone with their first process.

The supervisor stays outside. Its children enter (enter.py), and it reaches into the network by threads of its own that
have entered it: a socket belongs to the namespace of the thread that made it.
"""

from __future__ import annotations

import ctypes
import json
import os
import socket
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from devcluster.processes import Component, Program
from devcluster.progress import ClusterError
from devcluster.realnode import network

T = TypeVar("T")
HERE = Path(__file__).resolve().parent
HOME = "/run/node"
"""Where the node's own directory is seen inside: short, because socket addresses may have a hundred bytes."""
VISITORS = 8
# What the kubelet sets on a machine, for the whole of it. It reads these files instead and finds nothing to change.
KUBELETS_SYSCTLS = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}
# The kubelet links to its logs in one, libcni keeps what it did in the other; neither can be told another place.
PRIVATE = ("/run", "/var/log", "/var/lib/cni")


@dataclass(frozen=True)
class Plan:
    """What the first process prepares (pid1.py)."""

    tmpfs: tuple[str, ...]
    covers: str
    """Where what is made in the machine's folders goes, when one of these is missing in them."""
    binds: tuple[tuple[str, str], ...]
    sysctls: Mapping[str, str]
    commands: tuple[tuple[str, ...], ...]
    ready: str

    def to_json(self) -> str:
        """Return the plan as pid1.py reads it."""
        fields: dict[str, Any] = {
            "tmpfs": self.tmpfs,
            "covers": self.covers,
            "binds": self.binds,
            "sysctls": dict(self.sysctls),
            "commands": self.commands,
            "ready": self.ready,
        }
        return json.dumps(fields, indent=2) + "\n"


def plan(home: Path, binds: tuple[tuple[str, str], ...] = ()) -> Plan:
    """Return the plan of a node whose directory is `home`, with further mounts in it."""
    fakes = home / "sysctl"
    return Plan(
        tmpfs=PRIVATE,
        covers=str(home / "covers"),
        binds=(
            (str(home), HOME),
            (str(home / "resolv.conf"), "/etc/resolv.conf"),
            *binds,
            *((str(fakes / name.replace("/", ".")), f"/proc/sys/{name}") for name in KUBELETS_SYSCTLS),
        ),
        sysctls=network.SYSCTLS,
        commands=tuple(tuple(argv) for argv in network.commands()),
        ready=str(home / "ready"),
    )


class Namespaces:
    """A node's namespaces, made by its first process."""

    def __init__(self, home: Path) -> None:
        """Describe them; nothing is made before the program's start."""
        self.home = home
        self._pid_file = home / "pid"
        self._visitors: ThreadPoolExecutor | None = None
        self._space: int | None = None

    def program(self) -> Program:
        """Return the first process as a program; `opened` has to be called once it is ready."""
        argv = (
            *("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"),
            *("--propagation", "private"),
            *(sys.executable, "-I", "-S", str(HERE / "pid1.py"), str(self.home / "plan.json")),
        )
        return Program("sandbox", argv, ready=(self.home / "ready").exists, stop_within=1.0)

    def prepare(self, binds: tuple[tuple[str, str], ...] = ()) -> None:
        """Write what the first process reads; `binds` are further mounts, (from, to), to places below HOME."""
        fakes = self.home / "sysctl"
        fakes.mkdir(parents=True, exist_ok=True)
        for name, value in KUBELETS_SYSCTLS.items():
            (fakes / name.replace("/", ".")).write_text(value + "\n")
        (self.home / "resolv.conf").write_text(
            f"nameserver {network.ADDRESS}\nsearch svc.{network.CLUSTER_DOMAIN} {network.CLUSTER_DOMAIN}\n"
        )
        (self.home / "plan.json").write_text(plan(self.home, binds).to_json())
        (self.home / "ready").unlink(missing_ok=True)

    def opened(self, component: Component) -> None:
        """Take note of the first process of a sandbox that is ready."""
        outer = component.pid
        children = Path(f"/proc/{outer}/task/{outer}/children").read_text().split()
        if len(children) != 1:
            msg = f"the node's first process is gone\n{component.last_lines()}"
            raise ClusterError(msg)
        self._pid_file.write_text(children[0])
        self._space = os.open(f"/proc/{children[0]}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
        self._visitors = ThreadPoolExecutor(
            max_workers=VISITORS, thread_name_prefix="node-net", initializer=_enter, initargs=(self._space,)
        )

    def first_process(self) -> int:
        """Return the first process's id; raise when there is none."""
        try:
            return int(self._pid_file.read_text())
        except FileNotFoundError:
            msg = "the node's namespaces are not there"
            raise ClusterError(msg) from None

    def close(self) -> None:
        """Take the supervisor's own threads out; what they hold would keep the network alive."""
        if self._visitors is not None:
            self._visitors.shutdown()
            self._visitors = None
        if self._space is not None:
            os.close(self._space)
            self._space = None

    def call(self, work: Callable[[], T]) -> T:
        """Do something inside the node's network, in a thread that is there."""
        if self._visitors is None:
            msg = "the node's namespaces are not there"
            raise ClusterError(msg)
        return self._visitors.submit(work).result()

    def make_socket(self) -> socket.socket:
        """Return a TCP socket that belongs to the node's network, usable from anywhere."""
        return self.call(lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM))

    def networked(self, program: Program) -> Program:
        """Return the program as it runs in the node's network, everything else as on the machine."""
        return self._entered("net", program)

    def enclosed(self, program: Program) -> Program:
        """Return the program as it runs inside all of the node's namespaces."""
        return replace(self._entered("all", program), signals_group=True)

    def argv(self, which: str, argv: tuple[str, ...]) -> tuple[str, ...]:
        """Return the command line that runs another inside: `net` or `all`."""
        return (sys.executable, "-I", "-S", str(HERE / "enter.py"), which, str(self._pid_file), *argv)

    def _entered(self, which: str, program: Program) -> Program:
        return replace(program, argv=self.argv(which, program.argv), ready=lambda: self.call(program.ready))


_LIBC = ctypes.CDLL(None, use_errno=True)


def _enter(space: int) -> None:
    if _LIBC.setns(space, 0) != 0:
        msg = f"entering the node's network: {os.strerror(ctypes.get_errno())}"
        raise OSError(msg)
