"""What only a kubelet and containers show: each test provokes it and reads what mothership, Worker and kubectl say."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from devcluster.cluster import Cluster
from devcluster.realnode import cgroups
from tests.e2e.harness import Pool, Shell, apply, make_pool, remove_pool, until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(600)]

NAMESPACE = "restricted"
SLOW = 180.0
"""Seconds for what takes a few on an idle machine: real containers start on two shared cores here."""
Json = dict[str, Any]
MakePool = Callable[..., Pool]


@pytest.fixture(scope="module")
def namespace(shell: Shell) -> str:
    """Return a namespace that admits Pods of the restricted profile alone."""
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    apply(shell, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE, "labels": labels}})
    return NAMESPACE


@pytest.fixture
def pools(shell: Shell, namespace: str, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[MakePool]:
    """Return what makes a pool of one Worker, with settings of its Pods; it goes after the test."""
    made: list[Pool] = []

    def make(**pod: object) -> Pool:
        words = re.sub(r"[^a-z]+", "-", str(request.node.name).removeprefix("test_"))
        name = f"{words[:32].strip('-')}-{zlib.crc32(words.encode()):x}"
        made.append(make_pool(shell, name, tmp_path, 1, namespace, {"pod": pod}))
        return made[-1]

    yield make
    for pool in made:
        remove_pool(pool)


def _outcome(pool: Pool, run: str, state: str = "failed") -> Json:
    pool.await_state(run, state, SLOW)
    found: Json = pool.run(run)["outcome"]
    return found


def _log(pool: Pool, run: str) -> str:
    return pool.shell.mothership("run", "logs", run)


def _running(pool: Pool, run: str) -> Json:
    """Return the run's Pod once its worker container runs."""

    def found() -> Json | None:
        for pod in pool.pods(run):
            for each in pod["status"].get("containerStatuses", ()):
                if each["name"] == "worker" and "running" in each["state"]:
                    whole: Json = pod
                    return whole
        return None

    pod: Json = until(found, "the worker container runs", SLOW)
    return pod


def test_everything_of_ours_runs_in_the_cluster(cluster: Cluster, shell: Shell) -> None:
    """Operator, mothership and broker are Pods on the one node, as user 1983, and answer from outside."""
    pods = shell.items("pods", "-A")
    names = [pod["metadata"]["name"] for pod in pods if pod["status"]["phase"] == "Running"]
    for part in ("mothership-", "mosquitto-", "spacelift-workerpool-controller-controller-manager-"):
        assert any(name.startswith(part) for name in names), names
    assert {pod["spec"]["nodeName"] for pod in pods} == {cluster.site.node_name}
    who = shell.kubectl("exec", "-n", "mothership", "deployment/mosquitto", "--", "id", "-u")
    assert who.strip() == "1983"


def test_a_run_in_a_restricted_namespace(pools: MakePool) -> None:
    """The API server admits the run's Pod under the restricted profile; it sees a root it can't write, and its logs."""
    pool = pools()
    run = pool.trigger(
        "id -u",
        "touch /forbidden && echo WROTE || echo read-only",
        "echo to-stderr >&2",
        "pwd > here && cat here",
    )
    assert _outcome(pool, run, "succeeded")["result"] == "succeeded"
    log = _log(pool, run)
    assert "1983" in log.split()
    assert "to-stderr" in log
    assert "/mnt/workspace" in log


def test_kubectl_logs_and_exec_reach_a_running_container(pools: MakePool, shell: Shell) -> None:
    """`kubectl logs` and `kubectl exec` go through API server and kubelet into the run's container."""
    pool = pools()
    run = pool.trigger("echo the-run-says-so; while [ ! -e go ]; do sleep 0.2; done")
    name = _running(pool, run)["metadata"]["name"]
    logs = ("logs", name, "-n", NAMESPACE, "-c", "worker")
    until(lambda: "the-run-says-so" in shell.kubectl(*logs), "kubectl logs shows the run's output", SLOW)
    shell.kubectl("exec", name, "-n", NAMESPACE, "-c", "worker", "--", "touch", "/mnt/workspace/go")
    _outcome(pool, run, "succeeded")


def test_no_packet_has_a_way_out(pools: MakePool) -> None:
    """A Pod has routes to its own bridge and the Services, and none to anywhere else."""
    pool = pools()
    run = pool.trigger("cat /proc/net/route | while read -r device to rest; do echo route=$to; done")
    _outcome(pool, run, "succeeded")
    # The log shows the command as well.
    routes = {word for word in _log(pool, run).split() if re.fullmatch(r"route=\w+", word)}
    # 10.244.0.0 and 10.96.0.0, as the kernel writes them; 00000000 would be the default route.
    assert routes == {"route=Destination", "route=0000F40A", "route=0000600A"}


def test_out_of_memory(pools: MakePool) -> None:
    """The kernel ends a container at its memory limit, and the run says so."""
    limit = {"limits": {"memory": "64Mi"}, "requests": {"memory": "32Mi"}}
    pool = pools(workerContainer={"resources": limit})
    outcome = _outcome(pool, pool.trigger("tail /dev/zero"))
    assert (outcome["reason"], outcome["exitCodes"]["worker"]) == ("OOMKilled", 137), outcome


def test_an_image_that_nobody_has(pools: MakePool) -> None:
    """The kubelet can't pull it; the attempt is given up with the kubelet's own word."""
    pool = pools()
    outcome = _outcome(pool, pool.trigger("true", image="registry.invalid/nobody/has-this:1"))
    assert outcome["reason"] == "ImagePull", outcome
    assert "registry.invalid/nobody/has-this:1" in outcome["message"]


def test_the_deadline(pools: MakePool) -> None:
    """The kubelet ends a Pod at its deadline."""
    pool = pools(activeDeadlineSeconds=20, terminationGracePeriodSeconds=5)
    outcome = _outcome(pool, pool.trigger("sleep 600"))
    assert outcome["reason"] == "DeadlineExceeded", outcome


def test_eviction(pools: MakePool) -> None:
    """A run that fills its workspace beyond the volume's limit is evicted, and the run says so."""
    small = {"name": "workspace", "emptyDir": {"sizeLimit": "20Mi"}}
    pool = pools(workspaceVolume=small, terminationGracePeriodSeconds=5)
    run = pool.trigger("head -c 100000000 /dev/zero > big; sleep 600")
    outcome = _outcome(pool, run)
    assert outcome["reason"] == "Evicted", outcome


def test_a_native_sidecar_ends_with_the_run(pools: MakePool) -> None:
    """A sidecar that would run for ever runs beside the run, shares its network, and ends with it."""
    serve = "import http.server as h; h.test(h.SimpleHTTPRequestHandler, port=8099, bind='127.0.0.1')"
    sidecar = {
        "name": "helper",
        "image": "spacelift.local/runner:dev",
        "command": ["python3", "-c", serve],
        "workingDir": "/usr/share",
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "runAsNonRoot": True,
            "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }
    pool = pools(additionalSidecarContainers=[sidecar])
    ask = (
        "import time, urllib.request as u\n"
        "for n in range(100):\n"
        "    try: print('answered', u.urlopen('http://127.0.0.1:8099/').status); break\n"
        "    except OSError: time.sleep(0.2)\n"
    )
    run = pool.trigger(f'python3 -c "{ask}"')
    _outcome(pool, run, "succeeded")
    assert "answered 200" in _log(pool, run)
    until(lambda: not pool.pods(run), "its Pod is gone", SLOW)


def test_a_service_account_of_the_runs_own(pools: MakePool, shell: Shell) -> None:
    """A run reaches the API server by its Service's name with the token of its account, and has that account's rights."""
    account: Json = {"kind": "ServiceAccount", "name": "reader", "namespace": NAMESPACE}
    group = "rbac.authorization.k8s.io"
    apply(
        shell,
        {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": "reader", "namespace": NAMESPACE},
        },
        {
            "apiVersion": f"{group}/v1",
            "kind": "RoleBinding",
            "metadata": {"name": "reader", "namespace": NAMESPACE},
            "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": "view"},
            "subjects": [account],
        },
    )
    pool = pools(serviceAccountName="reader", automountServiceAccountToken=True)
    ask = """
import ssl, sys, urllib.error, urllib.request
home = '/var/run/secrets/kubernetes.io/serviceaccount/'
token, trust = open(home + 'token').read(), ssl.create_default_context(cafile=home + 'ca.crt')
for where in ('restricted/configmaps', 'restricted/secrets'):
    url = 'https://kubernetes.default.svc/api/v1/namespaces/' + where
    try:
        status = urllib.request.urlopen(urllib.request.Request(url, headers={'Authorization': 'Bearer ' + token}), context=trust).status
    except urllib.error.HTTPError as error:
        status = error.code
    print(where, status)
"""
    run = pool.trigger(f'python3 -c "{ask}"')
    _outcome(pool, run, "succeeded")
    log = _log(pool, run)
    assert "restricted/configmaps 200" in log
    assert "restricted/secrets 403" in log


def test_volumes_of_every_kind(pools: MakePool, shell: Shell, tmp_path: Path) -> None:
    """The kubelet mounts them for the run's user: keys of a ConfigMap and a Secret, memory, the Pod's own labels, a claim.

    What one run writes to the claim, the next one reads.
    """
    disk = tmp_path / "disk"
    disk.mkdir()
    disk.chmod(0o777)
    apply(shell, *_claim(disk), *_settings())
    volumes: list[Json] = [
        {"name": "settings", "configMap": {"name": "settings"}},
        {"name": "password", "secret": {"secretName": "password", "defaultMode": 0o440}},
        {"name": "memory", "emptyDir": {"medium": "Memory", "sizeLimit": "16Mi"}},
        {
            "name": "about",
            "downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]},
        },
        {"name": "cache", "persistentVolumeClaim": {"claimName": "cache"}},
    ]
    mounts = [
        {"name": "settings", "mountPath": "/settings/region", "subPath": "region"},
        {"name": "password", "mountPath": "/password", "readOnly": True},
        {"name": "memory", "mountPath": "/memory"},
        {"name": "about", "mountPath": "/about"},
        {"name": "cache", "mountPath": "/cache"},
    ]
    pool = pools(volumes=volumes, workerContainer={"volumeMounts": mounts}, securityContext={"fsGroup": 1983})
    first = pool.trigger(
        "echo region=$(cat /settings/region)",
        "echo length=$(wc -c < /password/word)",
        "touch /password/other 2> /dev/null && echo WROTE || echo unwritable",
        "echo here > /memory/it && echo memory=$(stat -f -c %T /memory)",
        "grep -o run-id /about/labels",
        "echo written by the first > /cache/file",
    )
    _outcome(pool, first, "succeeded")
    words = _log(pool, first).split()
    assert {"region=north", "length=7", "unwritable", "memory=tmpfs", "run-id"} <= set(words)
    second = pool.trigger("cat /cache/file")
    _outcome(pool, second, "succeeded")
    assert "written by the first" in _log(pool, second).splitlines()
    assert (disk / "file").stat().st_uid == 1983


def _claim(folder: Path) -> list[Json]:
    """Return a volume on this machine's disk and a claim to it."""
    size = {"storage": "10Mi"}
    common: Json = {"accessModes": ["ReadWriteMany"], "storageClassName": ""}
    volume = {**common, "capacity": size, "hostPath": {"path": str(folder), "type": "Directory"}}
    claim = {**common, "volumeName": "disk", "resources": {"requests": size}}
    return [
        {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": "disk"}, "spec": volume},
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "cache", "namespace": NAMESPACE},
            "spec": claim,
        },
    ]


def _settings() -> list[Json]:
    """Return a ConfigMap and a Secret."""
    return [
        {
            "apiVersion": "v1",
            "kind": kind,
            "metadata": {"name": name, "namespace": NAMESPACE},
            field: values,
        }
        for kind, name, field, values in (
            ("ConfigMap", "settings", "data", {"region": "north"}),
            ("Secret", "password", "stringData", {"word": "unheard"}),
        )
    ]


@pytest.mark.parametrize("part", ["node", "containerd"])
def test_a_run_outlives_its_nodes_programs(
    cluster: Cluster, pools: MakePool, shell: Shell, part: str
) -> None:
    """While the kubelet, or containerd, is killed and started again, a run goes on, and is executed once."""
    pool = pools()
    run = pool.trigger("echo began; while [ ! -e go ]; do sleep 0.2; done; echo ended")
    before = _running(pool, run)
    cluster.component(part).kill(signal.SIGKILL)
    time.sleep(2)
    cluster.component(part).start()
    name = before["metadata"]["name"]
    go = ("exec", name, "-n", NAMESPACE, "-c", "worker", "--", "touch", "/mnt/workspace/go")
    until(lambda: [shell.kubectl(*go)], "exec works again", SLOW)
    _outcome(pool, run, "succeeded")
    lines = _log(pool, run).splitlines()
    assert (lines.count("began"), lines.count("ended")) == (1, 1)
    assert len(pool.run(run)["attempts"]) == 1


def test_a_node_that_loses_its_power(cluster: Cluster, pools: MakePool) -> None:
    """Everything on it dies in one moment and comes back: the run failed and isn't executed again, the next one runs."""
    pool = pools()
    run = pool.trigger("echo began; sleep 600")
    _running(pool, run)
    for part in ("node", "containerd"):
        cluster.component(part).kill(signal.SIGKILL)
    _lose_power(cluster)
    for part in ("containerd", "node"):
        cluster.component(part).start()
    until(lambda: pool.run(run)["state"] == "failed", "the mothership is back and knows of the end", SLOW)
    outcome = _outcome(pool, run)
    assert outcome["reason"] in {"NodeLost", "NonZeroExit"}, outcome
    assert len(pool.run(run)["attempts"]) == 1
    again = pool.trigger("echo served")
    _outcome(pool, again, "succeeded")
    assert "served" in _log(pool, again).splitlines()


def _lose_power(cluster: Cluster) -> None:
    """Kill every container of the node, and first what would tell containerd how they ended."""
    for shim in _shims(cluster):
        os.kill(shim, signal.SIGKILL)
    group = cgroups.PREFIX + cluster.site.node_name
    for top in cgroups.hierarchies():
        for file in (top / group / "kubepods").rglob("cgroup.procs"):
            for pid in file.read_text().split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
    until(lambda: not _shims(cluster), "the node is dark")


def _shims(cluster: Cluster) -> list[int]:
    """Return the processes that stand between containerd and the node's containers."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            words = (folder / "cmdline").read_bytes()
            if b"containerd-shim" in words and str(cluster.directory) in (folder / "mountinfo").read_text():
                found.append(int(folder.name))
    return found


@pytest.mark.parametrize("part", ["operator", "mothership", "mosquitto"])
def test_a_run_outlives_our_own_parts(cluster: Cluster, pools: MakePool, part: str) -> None:
    """While one of our own Deployments is killed and started again, a run goes on, and is executed once."""
    pool = pools()
    run = pool.trigger("echo began; sleep 10; echo ended")
    _running(pool, run)
    cluster.component(part).kill(signal.SIGKILL)
    cluster.component(part).start()
    _outcome(pool, run, "succeeded")
    lines = _log(pool, run).splitlines()
    assert (lines.count("began"), lines.count("ended")) == (1, 1)
    assert len(pool.run(run)["attempts"]) == 1


def test_the_operator_stays_within_its_memory(shell: Shell) -> None:
    """The manifest's limit holds in a real container: nothing was killed for want of memory."""
    selector = "app.kubernetes.io/name=spacelift-workerpool-controller"
    for pod in json.loads(shell.kubectl("get", "pods", "-A", "-l", selector, "-o", "json"))["items"]:
        for each in pod["status"]["containerStatuses"]:
            ended = each.get("lastState", {}).get("terminated", {})
            assert ended.get("reason") != "OOMKilled", each
