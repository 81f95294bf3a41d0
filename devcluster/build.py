"""The Kubernetes programs and etcd, built once from pinned Go modules into a cache outside of the repository."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import re
import shutil
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from devcluster import toolchain
from devcluster.paths import NODE_TOOLS_MODULE, OLDEST_MODULE, TOOLS_MODULE, cache
from devcluster.progress import REPORT_EVERY, ClusterError, Say

KUBERNETES = "k8s.io/kubernetes"
PACKAGES = {
    "etcd": "go.etcd.io/etcd/server/v3",
    "kubectl": f"{KUBERNETES}/cmd/kubectl",
    "kube-apiserver": f"{KUBERNETES}/cmd/kube-apiserver",
    "kube-controller-manager": f"{KUBERNETES}/cmd/kube-controller-manager",
}
ERROR_LINES = 30


@dataclass(frozen=True)
class Toolset:
    """Programs that are built together, from one Go module."""

    packages: Mapping[str, str]
    module: Path
    sources: tuple[str, ...] = ()
    """Files of the module's own that the programs are built from, beside go.mod and go.sum."""
    name: str = ""
    """Tells sets of one module apart."""
    takes: str = "5 minutes"


CONTROL_PLANE = Toolset(PACKAGES, TOOLS_MODULE)
NODE = Toolset(
    {name: f"{KUBERNETES}/cmd/{name}" for name in ("kubelet", "kube-proxy", "kube-scheduler")},
    TOOLS_MODULE,
    name="-node",
    takes="2 minutes",
)
NODE_HELPERS = Toolset(
    {"coredns": "./coredns", "pause": "./pause"},
    NODE_TOOLS_MODULE,
    sources=("coredns/main.go", "pause/main.go"),
    takes="2 minutes",
)
OLDEST = Toolset(
    {name: PACKAGES[name] for name in ("kube-apiserver", "kube-controller-manager")},
    OLDEST_MODULE,
    takes="6 minutes",
)
"""Of the oldest Kubernetes that is supported; everything else that a cluster has is of today."""


def tools(say: Say, wanted: Toolset = CONTROL_PLANE) -> Path:
    """Return the directory of the built programs, building them when the pinned versions are not there yet."""
    binaries = place(wanted)
    home = binaries.parent
    if binaries.is_dir():
        return binaries
    home.parent.mkdir(parents=True, exist_ok=True)
    with only_builder(home.with_suffix(".lock"), say):
        # Whoever held the lock before may have built exactly this.
        if not binaries.is_dir():
            _build_all(home, wanted, say)
    return binaries


def place(wanted: Toolset) -> Path:
    """Return the directory of the built programs, which is there once they are built."""
    return cache() / "tools" / (fingerprint(wanted.module, wanted.sources) + wanted.name) / "bin"


def node_tools(say: Say) -> list[Path]:
    """Return the directories of the programs that a real node needs beside the control plane's."""
    return [tools(say, NODE), tools(say, NODE_HELPERS)]


def fingerprint(module: Path, sources: tuple[str, ...] = ()) -> str:
    """Name a set of pinned versions: a hash over go.mod, go.sum and further files."""
    digest = hashlib.sha256()
    for name in ("go.mod", "go.sum", *sources):
        digest.update((module / name).read_bytes())
    return digest.hexdigest()[:16]


def version_flags(go_mod: str) -> str:
    """Return the linker flags that make Kubernetes' programs report the version they are pinned to."""
    match = re.search(rf"^\s*(?:require )?{re.escape(KUBERNETES)} (v(\d+)\.(\d+)\.\S+)", go_mod, re.MULTILINE)
    if match is None:
        msg = f"go.mod does not require {KUBERNETES}"
        raise ValueError(msg)
    values = {"gitVersion": match[1], "gitMajor": match[2], "gitMinor": match[3], "gitTreeState": "clean"}
    # An API server tells its clients of one of these, which of them depends on its version.
    places = ("k8s.io/component-base/version", "k8s.io/client-go/pkg/version")
    stamps = [f"-X {place}.{name}={value}" for place in places for name, value in values.items()]
    return " ".join(["-s -w", *stamps])


@contextlib.contextmanager
def only_builder(lock: Path, say: Say) -> Iterator[None]:
    """Hold a lock while something is built into the cache, waiting for another process that does."""
    with lock.open("w") as handle:
        started = time.monotonic()
        while not _locked(handle.fileno()):
            say(f"tools: another process is building, waiting for it, {time.monotonic() - started:.0f} s")
            time.sleep(REPORT_EVERY)
        yield


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _build_all(home: Path, wanted: Toolset, say: Say) -> None:
    command = toolchain.go(say)
    names = ", ".join(wanted.packages)
    say(f"tools: building {names} into {home}; about {wanted.takes} on 2 cores, this first time only")
    unfinished = home.with_suffix(".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    (unfinished / "bin").mkdir(parents=True)
    started = time.monotonic()
    for name, package in wanted.packages.items():
        _Build(command, name, package, wanted.module, unfinished / "bin" / name, say).run()
    unfinished.rename(home)
    say(f"tools: built in {time.monotonic() - started:.0f} s")


@dataclass
class _Build:
    """One `go build`, with its progress."""

    go: Path
    name: str
    package: str
    module: Path
    output: Path
    say: Say

    def run(self) -> None:
        """Build, saying every few seconds how far it is."""
        process = subprocess.Popen(
            self._argv(),
            cwd=self.module,
            env=toolchain.environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            lines = self._follow(process)
        finally:
            if process.poll() is None:
                process.terminate()
                process.wait()
            if process.stderr is not None:
                process.stderr.close()
        if process.returncode != 0:
            msg = f"building {self.name} failed:\n{''.join(lines[-ERROR_LINES:])}"
            raise ClusterError(msg)

    def _argv(self) -> list[str]:
        kubernetes = self.package.startswith(KUBERNETES)
        flags = version_flags((self.module / "go.mod").read_text()) if kubernetes else "-s -w"
        where = ["-o", str(self.output), self.package]
        return [
            str(self.go),
            "build",
            "-v",
            "-trimpath",
            "-mod=readonly",
            "-buildvcs=false",
            "-ldflags",
            flags,
            *where,
        ]

    def _follow(self, process: subprocess.Popen[str]) -> list[str]:
        lines: list[str] = []
        stream = process.stderr
        reader = threading.Thread(target=lambda: lines.extend(stream or ()), daemon=True)
        started = time.monotonic()
        reader.start()
        while reader.is_alive():
            reader.join(REPORT_EVERY)
            self.say(f"tools: {self.name}, {time.monotonic() - started:.0f} s, {progress_of(lines)}")
        process.wait()
        return lines


def progress_of(lines: list[str]) -> str:
    """Sum up what `go build -v` has said so far."""
    modules = sum(line.startswith("go: downloading") for line in lines)
    packages = sum(not line.startswith("go: ") for line in lines)
    return f"{modules} modules downloaded, {packages} packages compiled"
