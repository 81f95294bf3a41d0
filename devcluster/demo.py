"""`make demo`: the way of a run, shown command by command on a cluster of its own, and checked.

Every command is one that a user could type; what it prints is printed. After each step the demo compares what
the cluster shows with what it should show and stops with an error when they differ. ``KEEP=1`` leaves the
cluster running and prints what to try next.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from devcluster import clusters
from devcluster.background import BackgroundCluster
from devcluster.cluster import Options
from devcluster.paths import REPOSITORY
from devcluster.progress import ClusterError

_BOLD, _DIM, _GREEN, _RESET = (
    ("\033[1m", "\033[2m", "\033[32m", "\033[0m") if sys.stdout.isatty() else ("",) * 4
)
_WAIT_SECONDS = 60.0
"""How long a step may take to show what it should, in seconds."""

_POOL_MANIFEST = """
apiVersion: workers.spacelift.io/v1beta1
kind: WorkerPool
metadata:
  name: {name}
spec:
  poolSize: 2
  token:
    secretKeyRef:
      name: {name}
      key: token
  privateKey:
    secretKeyRef:
      name: {name}
      key: privateKey
"""


class DemoError(RuntimeError):
    """The cluster doesn't show what it should; the text says what was expected."""


class Stage:
    """Where the demo plays: a working folder and the cluster's environment, and the words for the audience."""

    def __init__(self, folder: Path, env: Mapping[str, str]) -> None:
        self.folder = folder
        self._env = {**os.environ, **env, "PYTHONPATH": str(REPOSITORY)}
        self._env["PATH"] = f"{Path(sys.executable).parent}:{self._env['PATH']}"

    def say(self, text: str) -> None:
        """Announce a step."""
        print(f"\n{_BOLD}== {text}{_RESET}", flush=True)

    def sh(self, command: str, *, show: bool = True, check: bool = True) -> str:
        """Run a command as typed into a shell, show it with its output, and return the output."""
        if show:
            print(f"{_BOLD}$ {command.strip()}{_RESET}", flush=True)
        done = subprocess.run(
            ["bash", "-o", "pipefail", "-c", command],
            cwd=self.folder,
            env=self._env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
        )
        if show and done.stdout.strip():
            print(done.stdout.rstrip(), flush=True)
        if check and done.returncode:
            raise DemoError(f"`{command.strip()}` exited with {done.returncode}: {done.stdout}")
        return done.stdout

    def expect(self, what: str, condition: Callable[[], bool]) -> None:
        """Wait until the condition holds, and say so; raise `DemoError` when it doesn't in time."""
        started = time.monotonic()
        while not condition():
            if time.monotonic() - started > _WAIT_SECONDS:
                raise DemoError(f"expected within {_WAIT_SECONDS:.0f} s: {what}")
            time.sleep(0.1)
        print(f"{_GREEN}ok{_RESET} {_DIM}{what} ({time.monotonic() - started:.1f} s){_RESET}", flush=True)

    def workers(self) -> list[dict[str, object]]:
        """Return the status of each Worker of the demo's pool, with its name."""
        listed = json.loads(self.sh("kubectl get workers -o json", show=False))["items"]
        return [
            {"name": item["metadata"]["name"], **item.get("status", {})}
            for item in listed
            if item["metadata"]["name"].startswith("demo-pool-")
        ]

    def states(self) -> list[str]:
        """Return the Workers' states, sorted."""
        return sorted(str(worker.get("state")) for worker in self.workers())


def main() -> int:
    """Play the demo; return the exit code."""
    keep = bool(os.environ.get("KEEP"))
    started = time.monotonic()
    work = Path(tempfile.mkdtemp(prefix="workerpool-demo-"))
    work.chmod(0o755)
    name, options = os.environ.get("NAME", "demo"), Options(allow_paths=(work,))
    cluster = BackgroundCluster(name, options) if keep else clusters.make(name, options)
    try:
        cluster.up()
        _play(Stage(work, cluster.env()))
        print(f"\n{_GREEN}Every step showed what it should ({time.monotonic() - started:.0f} s).{_RESET}")
    except (DemoError, ClusterError, subprocess.TimeoutExpired) as error:
        print(
            f"\nThe demo failed: {error}\n{_where_logs_are(cluster.logs_dir, work, keep=keep)}",
            file=sys.stderr,
        )
        return 1
    finally:
        if keep:
            print(_what_next(name, cluster.logs_dir, work), flush=True)
        else:
            cluster.down()
            shutil.rmtree(work)
    return 0


def _where_logs_are(logs: Path, work: Path, *, keep: bool) -> str:
    """Return where to look; the logs of a cluster that goes away are saved first."""
    if keep:
        return f"The logs of all parts are in {logs}"
    saved = work.with_name(work.name + "-logs")
    if logs.is_dir():
        shutil.copytree(logs, saved)
    return f"The logs of all parts were saved in {saved}"


def _play(stage: Stage) -> None:
    pool = _create_pool(stage)
    run = _first_run(stage)
    _follow(stage, run)
    _scale(stage)
    _scale_to_zero_while_busy(stage)
    _broken_key(stage)
    stage.say(f"What is left: the pool {pool} with no worker, and no run Pod")
    stage.sh("kubectl get workerpools,workers,pods")


def _create_pool(stage: Stage) -> str:
    stage.say("A private key and a certificate signing request, made by you: the key never leaves your hands")
    stage.sh(
        "openssl req -new -newkey rsa:4096 -nodes -keyout spacelift.key -out spacelift.csr -subj /CN=demo 2>/dev/null && ls spacelift.*"
    )
    stage.say("A worker pool at the mothership: the CSR goes in, the token file comes out")
    stage.sh("python -m mothership pool create --name demo-pool --csr spacelift.csr --out demo-pool.config")
    ulid = str(json.loads(stage.sh("python -m mothership pool list -o json", show=False))[0]["id"])
    stage.say("A Secret with both, as the documents say")
    stage.sh(
        "kubectl create secret generic demo-pool --from-file=token=demo-pool.config "
        '--from-literal=privateKey="$(base64 -w 0 spacelift.key)"'
    )
    stage.say("A WorkerPool of 2")
    stage.sh(f"kubectl apply -f - <<'EOF'{_POOL_MANIFEST.format(name='demo-pool')}EOF")
    stage.expect(
        "two workers are registered and IDLE",
        lambda: stage.states() == ["IDLE", "IDLE"] and _registered(stage) == 2,
    )
    stage.sh("kubectl get workerpools")
    stage.sh("kubectl get workers")
    stage.expect(
        "the mothership lists them",
        lambda: len(json.loads(stage.sh("python -m mothership worker list -o json", show=False))) == 2,
    )
    stage.sh("python -m mothership worker list")
    return ulid


def _first_run(stage: Stage) -> str:
    stage.say("A small git repository, and a run of it")
    stage.sh(
        "git init -q -b main repository && cd repository && cat > plan.sh <<'EOF'\n"
        'echo "planning in $(pwd) with run $SPACELIFT_RUN_ID"\n'
        'for n in 1 2 3 4 5; do echo "step $n of 5"; sleep 1; done\n'
        "EOF\n"
        "git add . && git -c user.name=demo -c user.email=demo@example.com commit -q -m 'Add a plan' && git log --oneline"
    )
    return _trigger(
        stage, "--repo file://$PWD/repository --command 'git log --oneline -1' --command 'sh plan.sh'"
    )


def _follow(stage: Stage, run: str) -> None:
    stage.expect(
        "one worker is BUSY with this run",
        lambda: any(
            worker.get("state") == "BUSY" and worker.get("currentRunID") == run for worker in stage.workers()
        ),
    )
    stage.sh("kubectl get workers")
    selector = f'-l "workers.spacelift.io/run-id={run}"'
    stage.expect("its Pod runs", lambda: "Running" in stage.sh(f"kubectl get pods {selector}", show=False))
    stage.sh(f"kubectl get pods {selector}")
    stage.sh(f"python -m mothership run logs {run} --follow")
    if "step 5 of 5" not in stage.sh(f"python -m mothership run logs {run}", show=False):
        raise DemoError("the mothership's log of the run lacks its last line, 'step 5 of 5'")
    stage.expect("the run succeeded", lambda: _state(stage, run) == "succeeded")
    stage.expect(
        "the Pod is gone", lambda: "No resources" in stage.sh(f"kubectl get pods {selector}", show=False)
    )
    stage.expect("both workers are IDLE again", lambda: stage.states() == ["IDLE", "IDLE"])
    stage.sh("kubectl get workers")
    stage.sh("python -m mothership run list")


def _scale(stage: Stage) -> None:
    stage.say("Scaling is kubectl scale")
    stage.sh("kubectl scale workerpool demo-pool --replicas=5")
    stage.expect(
        "five workers are registered and IDLE",
        lambda: stage.states() == ["IDLE"] * 5 and _registered(stage) == 5,
    )
    stage.sh("kubectl get workers")


def _scale_to_zero_while_busy(stage: Stage) -> None:
    stage.say("Scaling to 0 while a run is in flight: the busy worker stays until the run is done")
    gate = stage.folder / "finish"
    run = _trigger(stage, f"--command 'echo a long run; until [ -e {gate} ]; do sleep 0.2; done; echo done'")
    stage.expect(
        "a worker is BUSY and its run has started",
        lambda: "BUSY" in stage.states() and _state(stage, run) == "started",
    )
    stage.sh("kubectl scale workerpool demo-pool --replicas=0")
    stage.expect("only the busy worker is left", lambda: stage.states() == ["BUSY"])
    stage.sh("kubectl get workers")
    stage.sh(f"touch {gate}")
    stage.expect("the run succeeded all the same", lambda: _state(stage, run) == "succeeded")
    stage.expect("now the last worker is gone", lambda: stage.workers() == [])
    stage.sh("kubectl get workerpools")


def _broken_key(stage: Stage) -> None:
    stage.say("A pool with a broken private key says what is wrong with it")
    stage.sh(
        "kubectl create secret generic broken-pool --from-file=token=demo-pool.config "
        '--from-literal=privateKey="$(base64 -w 0 spacelift.key)!"'
    )
    stage.sh(f"kubectl apply -f - <<'EOF'{_POOL_MANIFEST.format(name='broken-pool')}EOF")
    length = len(stage.sh("base64 -w 0 spacelift.key", show=False))
    wanted = (
        "Unable to register worker pool: cannot retrieve workerpool token: "
        f"unable to base64 decode privateKey: illegal base64 data at input byte {length}"
    )
    stage.expect(
        "the documented Event is there",
        lambda: wanted in stage.sh("kubectl events --for workerpool/broken-pool", show=False),
    )
    stage.sh("kubectl events --for workerpool/broken-pool")
    stage.expect("its actual pool size is empty", lambda: _actual_size(stage, "broken-pool") == "")
    stage.sh("kubectl get workerpools")
    stage.sh("kubectl delete workerpool broken-pool")


def _trigger(stage: Stage, arguments: str) -> str:
    answer = stage.sh(f"python -m mothership run trigger --pool demo-pool {arguments} -o json")
    return str(json.loads(answer)["id"])


def _state(stage: Stage, run: str) -> str:
    return str(json.loads(stage.sh(f"python -m mothership run show {run} -o json", show=False))["state"])


def _registered(stage: Stage) -> int:
    return sum(1 for worker in stage.workers() if worker.get("registered"))


def _actual_size(stage: Stage, name: str) -> str:
    return stage.sh(f"kubectl get workerpool {name} -o jsonpath={{.status.actualPoolSize}}", show=False)


def _what_next(name: str, logs: Path, work: Path) -> str:
    return f"""
The cluster keeps running, for 12 hours at most. In a shell:
  eval "$(make -s cluster-env NAME={name})"
  kubectl get workerpools,workers,pods
  kubectl scale workerpool demo-pool --replicas=3
  kubectl explain workerpool.spec
  .venv/bin/python -m mothership run trigger --pool demo-pool --command 'echo hello' --follow
  tail -f {logs}/operator.log
Stop it with:
  make cluster-down NAME={name}; rm -r {work}"""


if __name__ == "__main__":
    sys.exit(main())
