"""What the end-to-end tests drive the product with: kubectl, openssl, git and the mothership's command line.

Everything goes through the programs a user has, never through the product's own modules, and the journal that
runs write themselves is the only judge of what was executed.
"""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from devcluster.cluster import CONTAINERS

ROOT = Path(__file__).resolve().parents[2]
REAL_NODE = os.environ.get("NODE") == CONTAINERS
"""Whether Pods are containers of a kubelet here (docs/real-node.md)."""
COMMAND_TIMEOUT = 60
"""Seconds that a single command may take."""
PATIENCE = 3 if REAL_NODE else 1
"""How many times longer things are waited for: containers take seconds to start where processes take none."""


class CommandError(AssertionError):
    """A command of the harness failed; the text has what it printed."""


@dataclass(frozen=True)
class Shell:
    """Runs programs with the cluster's environment."""

    env: Mapping[str, str]

    def run(self, *argv: str, stdin: str | None = None, check: bool = True, cwd: Path | None = None) -> str:
        """Return what the program printed on standard output; raise `CommandError` when it fails."""
        done = subprocess.run(
            argv,
            input=stdin,
            env=dict(self.env),
            cwd=cwd,
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT,
        )
        if check and done.returncode:
            raise CommandError(f"{' '.join(argv)} exited {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout

    def kubectl(self, *argv: str, stdin: str | None = None, check: bool = True) -> str:
        """Run kubectl."""
        return self.run("kubectl", *argv, stdin=stdin, check=check)

    def get(self, *argv: str) -> Any:  # noqa: ANN401 - a Kubernetes object
        """Return `kubectl get -o json`."""
        return json.loads(self.kubectl("get", *argv, "-o", "json"))

    def items(self, *argv: str) -> list[Any]:
        """Return the items of `kubectl get -o json`."""
        found: list[Any] = self.get(*argv)["items"]
        return found

    def mothership(self, *argv: str) -> str:
        """Run the mothership's command line."""
        return self.run(sys.executable, "-m", "mothership", *argv, cwd=ROOT)


def until(condition: Callable[[], Any], what: str, seconds: float = 30.0) -> Any:  # noqa: ANN401 - what the condition returns
    """Return the condition's first true value; fail, saying what was awaited, after `seconds`, or more on a real node."""
    seconds *= PATIENCE
    deadline = time.monotonic() + seconds
    last: Any = None
    while time.monotonic() < deadline:
        try:
            last = condition()
        except CommandError as error:
            last = error
        else:
            if last:
                return last
        time.sleep(0.1)
    raise AssertionError(f"not within {seconds} s: {what}; last seen: {last}")


@dataclass(frozen=True)
class Journal:
    """A file outside the product that the runs' own commands append to: one line per start and end."""

    path: Path

    def commands(self, name: str, work: str = "true") -> list[str]:
        """Return the commands of a run that writes its start, works, and writes its end."""
        return [
            f"echo 'start {name}' >> {self.path}",
            work,
            f"echo 'end {name}' >> {self.path}",
        ]

    def counts(self, word: str) -> Counter[str]:
        """Return how often each run wrote `word`."""
        lines = self.path.read_text().split("\n") if self.path.exists() else []
        return Counter(line.split()[1] for line in lines if line.startswith(word + " "))

    def judge(self, names: list[str]) -> None:
        """Assert that each named run started and ended exactly once and that no other did."""
        once = Counter(names)
        assert self.counts("start") == once
        assert self.counts("end") == once


@dataclass(frozen=True)
class Pool:
    """A worker pool at the mothership, its Secret and its WorkerPool object (namespace `namespace`)."""

    shell: Shell
    name: str
    namespace: str
    ulid: str
    token: str
    key_base64: str
    folder: Path

    def object(self) -> Any:  # noqa: ANN401 - a Kubernetes object
        """Return the WorkerPool."""
        return self.shell.get("workerpool", self.name, "-n", self.namespace)

    def workers(self) -> list[Any]:
        """Return the pool's Workers."""
        return self.shell.items(
            "workers", "-n", self.namespace, "-l", f"workers.spacelift.io/workerpool={self.ulid}"
        )

    def ready_workers(self) -> list[Any]:
        """Return the Workers that the mothership knows."""
        return [worker for worker in self.workers() if worker.get("status", {}).get("registered")]

    def scale(self, size: int) -> None:
        """Run kubectl scale."""
        self.shell.kubectl("scale", "workerpool", self.name, "-n", self.namespace, f"--replicas={size}")

    def await_registered(self, size: int, seconds: float = 60) -> None:
        """Wait until exactly `size` Workers exist and all are registered."""
        until(
            lambda: len(self.ready_workers()) == size == len(self.workers()),
            f"{size} registered workers in pool {self.name}",
            seconds,
        )

    def trigger(self, *commands: str, repo: Path | None = None, image: str = "") -> str:
        """Trigger a run, with a runner image of its own if given, and return its ULID."""
        argv = ["run", "trigger", "--pool", self.ulid, "-o", "json"]
        if image:
            argv += ["--runner-image", image]
        if repo is not None:
            argv += ["--repo", f"file://{repo}"]
        for command in commands:
            argv += ["--command", command]
        run: str = json.loads(self.shell.mothership(*argv))["id"]
        return run

    def run(self, run: str) -> dict[str, Any]:
        """Return what the mothership knows of a run."""
        found: dict[str, Any] = json.loads(self.shell.mothership("run", "show", run, "-o", "json"))
        return found

    def await_state(self, run: str, state: str, seconds: float = 60) -> None:
        """Wait until the mothership shows the run in a state."""
        until(lambda: self.run(run)["state"] == state, f"run {run} is {state}; is {self.run(run)}", seconds)

    def pods(self, run: str) -> list[Any]:
        """Return the Pods of a run."""
        return self.shell.items("pods", "-n", self.namespace, "-l", f"workers.spacelift.io/run-id={run}")


def manifest(name: str, namespace: str, size: int, secret: str | None = None) -> dict[str, Any]:
    """Return a minimal WorkerPool object."""
    reference = {"name": secret or name}
    return {
        "apiVersion": "workers.spacelift.io/v1beta1",
        "kind": "WorkerPool",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "poolSize": size,
            "token": {"secretKeyRef": {**reference, "key": "token"}},
            "privateKey": {"secretKeyRef": {**reference, "key": "privateKey"}},
        },
    }


def secret(name: str, namespace: str, token: str, key: str) -> dict[str, Any]:
    """Return the Secret of a pool."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": namespace},
        "type": "Opaque",
        "stringData": {"token": token, "privateKey": key},
    }


def apply(shell: Shell, *objects: dict[str, Any]) -> None:
    """Run kubectl apply on the objects."""
    shell.kubectl("apply", "-f", "-", stdin="\n---\n".join(json.dumps(item) for item in objects))


def make_credentials(shell: Shell, name: str, folder: Path) -> tuple[str, str, str]:
    """Make key, CSR and pool as a user does; return (pool ULID, token, base64 of the key)."""
    key, csr, config = (folder / f"{name}.{ending}" for ending in ("key", "csr", "config"))
    shell.run(
        "openssl", "req", "-new", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=anything",
        "-keyout", str(key), "-out", str(csr),
    )  # fmt: skip
    shell.mothership("pool", "create", "--name", name, "--csr", str(csr), "--out", str(config))
    pools = json.loads(shell.mothership("pool", "list", "-o", "json"))
    ulid = next(pool["id"] for pool in pools if pool["name"] == name)
    return ulid, config.read_text().strip(), shell.run("base64", "-w", "0", str(key)).strip()


def make_pool(
    shell: Shell,
    name: str,
    folder: Path,
    size: int,
    namespace: str = "default",
    spec: Mapping[str, Any] | None = None,
) -> Pool:
    """Create a pool everywhere, with more fields of its spec if given, and wait until its workers are registered."""
    ulid, token, key = make_credentials(shell, name, folder)
    body = manifest(name, namespace, size)
    body["spec"] |= spec or {}
    apply(shell, secret(name, namespace, token, key), body)
    pool = Pool(shell, name, namespace, ulid, token, key, folder)
    pool.await_registered(size)
    return pool


def remove_pool(pool: Pool) -> None:
    """Delete the WorkerPool and wait until nothing of it is left."""
    pool.shell.kubectl(
        "delete", "workerpool", pool.name, "-n", pool.namespace, "--wait=false", "--ignore-not-found"
    )
    until(
        lambda: (
            not pool.workers()
            and pool.name not in pool.shell.kubectl("get", "workerpools", "-n", pool.namespace)
        ),
        f"pool {pool.name} gone",
        90,
    )


def make_repository(folder: Path) -> Path:
    """Make a small real git repository and return its path."""
    folder.mkdir(parents=True)
    (folder / "greet.sh").write_text('echo "hello from the repository"\n')
    identity = {"GIT_AUTHOR_NAME": "demo", "GIT_AUTHOR_EMAIL": "demo@example.com"}
    identity |= {"GIT_COMMITTER_NAME": "demo", "GIT_COMMITTER_EMAIL": "demo@example.com"}
    shell = Shell({**os.environ, **identity})
    for argv in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-q", "-m", "Greet"]):
        shell.run("git", *argv, cwd=folder)
    return folder


def events(shell: Shell, kind: str, name: str, namespace: str = "default") -> list[Any]:
    """Return the Events about an object."""
    selector = f"involvedObject.kind={kind},involvedObject.name={name}"
    return shell.items("events", "-n", namespace, "--field-selector", selector)
