"""The process node on a real API server: real Pods, judged by what the API and kubectl show."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest

from devcluster.cluster import Cluster
from devcluster.node.api import ApiClient, NotFound, load_access
from devcluster.node.times import parse

pytestmark = pytest.mark.e2e

Json = dict[str, Any]
T = TypeVar("T")
IMAGE = "spacelift.local/runner:dev"
PODS = "/api/v1/namespaces/default/pods"
SECRETS = "/api/v1/namespaces/default/secrets"


def eventually(look: Callable[[], T | None], what: str, seconds: float = 30.0) -> T:
    """Return what `look` finds, as soon as it finds something."""
    until = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > until:
            pytest.fail(f"not within {seconds:.0f} s: {what}")
        time.sleep(0.05)


@dataclass
class Bench:
    """A control plane, a node that tests may kill, and the hands to use them."""

    client: ApiClient
    kubeconfig: Path
    bin: Path
    state: Path
    shared: Path
    log: Path
    node: subprocess.Popen[bytes] | None = None

    def node_argv(self, name: str, state: Path) -> list[str]:
        """Return the command line of a node."""
        serving = self.kubeconfig.parent / "certs" / "node-serving"
        argv = [sys.executable, "-m", "devcluster.node", f"--name={name}", f"--state-dir={state}"]
        argv += [f"--kubeconfig={self.kubeconfig}", f"--allow-path={self.shared}"]
        return [*argv, f"--tls-cert-file={serving}.crt", f"--tls-private-key-file={serving}.key"]

    def start_node(self) -> None:
        """Start the node and wait until it is Ready."""
        argv = self.node_argv("test-node", self.state)
        with self.log.open("ab") as log:
            self.node = subprocess.Popen(argv, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
        eventually(lambda: b"node is ready" in self.log.read_bytes(), f"node ready, see {self.log}")

    def kill_node(self, number: signal.Signals) -> None:
        """End the node."""
        assert self.node is not None
        self.node.send_signal(number)
        self.node.wait(15)
        self.log.unlink()

    def kubectl(self, *words: str) -> str:
        """Run kubectl and return what it printed, errors included."""
        argv = [str(self.bin / "kubectl"), f"--kubeconfig={self.kubeconfig}", *words]
        done = subprocess.run(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
        return done.stdout

    def create(self, pod: Json) -> Json:
        """Create a Pod as soon as the namespace's ServiceAccount is there."""
        return self.client.post(PODS, pod)

    def get(self, name: str) -> Json | None:
        """Return a Pod, None when it doesn't exist."""
        try:
            return self.client.get(f"{PODS}/{name}")
        except NotFound:
            return None

    def when(self, name: str, condition: Callable[[Json], object], what: str, seconds: float = 30.0) -> Json:
        """Return a Pod as soon as it meets a condition."""

        def look() -> Json | None:
            pod = self.get(name)
            return pod if pod is not None and condition(pod) else None

        return eventually(look, f"{name}: {what}", seconds)

    def ended(self, name: str, seconds: float = 30.0) -> Json:
        """Return a Pod's status once it is over."""
        pod = self.when(name, lambda pod: pod["status"]["phase"] in {"Succeeded", "Failed"}, "over", seconds)
        status: Json = pod["status"]
        return status

    def gone(self, name: str, seconds: float = 30.0) -> None:
        """Wait until a Pod doesn't exist."""
        eventually(lambda: self.get(name) is None, f"{name} gone", seconds)

    def catching(self, name: str, reaction: str) -> str:
        """Return a script that says when it is ready for SIGTERM, and what it does then."""
        return f"trap '{reaction}' TERM; touch {self.shared}/{name}-ready; while :; do sleep 0.1; done"

    def caught_up(self, name: str) -> None:
        """Wait until that script is ready: before, SIGTERM is lost on it, as in any container."""
        eventually((self.shared / f"{name}-ready").exists, f"{name} ready for SIGTERM")

    def events(self, name: str) -> dict[str, str]:
        """Return the messages of a Pod's Events by reason."""
        answer = self.client.get(
            "/api/v1/namespaces/default/events", fieldSelector=f"involvedObject.name={name}"
        )
        return {item["reason"]: item["message"] for item in answer["items"]}

    def told(self, name: str, reason: str) -> str:
        """Return the message of a Pod's Event with a reason, as soon as there is one.

        A node reports a status first and its Event after it, as a kubelet does.
        """
        return eventually(lambda: self.events(name).get(reason), f"{name}: an Event {reason}")

    def messages(self, name: str) -> set[str]:
        """Return the messages of a Pod's Events."""
        answer = self.client.get(
            "/api/v1/namespaces/default/events", fieldSelector=f"involvedObject.name={name}"
        )
        return {item["message"] for item in answer["items"]}


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """Start a control plane and a node of this module's own."""
    folder = tmp_path_factory.mktemp("node")
    shared = folder / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    cluster = Cluster(folder / "c", components={"controlplane"})
    try:
        cluster.up()
        env = cluster.env()
        kubeconfig = Path(env["KUBECONFIG"])
        client = ApiClient(load_access(kubeconfig), "tests")
        made = Bench(
            client, kubeconfig, Path(env["DEVCLUSTER_BIN"]), folder / "state", shared, folder / "node.log"
        )
        account = "/api/v1/namespaces/default/serviceaccounts"
        eventually(lambda: client.get(account)["items"], "the default ServiceAccount", 60)
        made.start_node()
        yield made
    finally:
        if made.node is not None:
            made.node.terminate()
            made.node.wait(15)
        cluster.down()


def container(script: str, name: str = "main", **fields: object) -> Json:
    """Return a container that runs a shell script."""
    return {"name": name, "image": IMAGE, "command": ["sh", "-c", script], **fields}


def pod(name: str, *containers: Json, **fields: object) -> Json:
    """Return a Pod that is never restarted."""
    return {
        "metadata": {"name": name},
        "spec": {"restartPolicy": "Never", "containers": list(containers), **fields},
    }


def ended_state(status: Json, name: str = "main") -> Json:
    """Return how a container ended."""
    entries = [*(status.get("initContainerStatuses") or []), *status["containerStatuses"]]
    state: Json = next(entry for entry in entries if entry["name"] == name)["state"]["terminated"]
    return state


def running(pod: Json) -> bool:
    """Return whether every container of a Pod runs."""
    entries = pod["status"].get("containerStatuses") or []
    return bool(entries) and all("running" in entry["state"] for entry in entries)


def test_a_pod_that_succeeds_is_reported_as_a_kubelet_reports_it(bench: Bench) -> None:
    """Phase, conditions, addresses and container states are those of a completed Pod; kubectl says Completed."""
    bench.create(pod("succeeds", container("echo one; exit 0")))
    status = bench.ended("succeeds")
    assert status["phase"] == "Succeeded"
    assert ended_state(status)["reason"] == "Completed"
    conditions = {each["type"]: (each["status"], each.get("reason")) for each in status["conditions"]}
    assert conditions == {
        "PodScheduled": ("True", None),
        "Initialized": ("True", "PodCompleted"),
        "Ready": ("False", "PodCompleted"),
        "ContainersReady": ("False", "PodCompleted"),
        "PodReadyToStartContainers": ("False", None),
    }
    assert (status["hostIP"], status["qosClass"]) == ("127.0.0.1", "BestEffort")
    assert "Completed" in bench.kubectl("get", "pod", "succeeds")
    eventually(
        lambda: {"Scheduled", "Pulled", "Created", "Started"} <= bench.events("succeeds").keys(), "its Events"
    )


def test_exit_code_signal_and_termination_message_are_reported(bench: Bench) -> None:
    """A failing container keeps its exit code and own message; one killed by a signal ends with 128+n."""
    killed = container("sh -c 'kill -9 $$$$'; exit $?", "killed")
    last_word = container("echo noise; printf 'why it failed' > /dev/termination-log; exit 3")
    from_logs = container(
        "echo the end of the log; exit 4", "logs", terminationMessagePolicy="FallbackToLogsOnError"
    )
    bench.create(pod("fails", last_word, from_logs, killed))
    status = bench.ended("fails")
    assert status["phase"] == "Failed"
    assert (ended_state(status)["exitCode"], ended_state(status)["message"]) == (3, "why it failed")
    assert ended_state(status, "logs")["message"] == "the end of the log\n"
    assert ended_state(status, "killed")["exitCode"] == 137
    assert bench.kubectl("get", "pod", "fails").split()[-3] == "Error"


def test_a_failing_init_container_ends_the_pod(bench: Bench) -> None:
    """Init containers run in order; when one fails nothing after it starts, and kubectl says Init:Error."""
    steps = [container("exit 0", "first"), container("exit 5", "second"), container("exit 0", "third")]
    bench.create(pod("init-fails", container("exit 0"), initContainers=steps))
    status = bench.ended("init-fails")
    assert ended_state(status, "first")["exitCode"] == 0
    assert ended_state(status, "second")["exitCode"] == 5
    third = status["initContainerStatuses"][2]["state"]
    assert third == {"waiting": {"reason": "PodInitializing"}}
    assert status["containerStatuses"][0]["state"] == {"waiting": {"reason": "PodInitializing"}}
    assert "Init:Error" in bench.kubectl("get", "pod", "init-fails")


def test_the_deadline_stops_containers_and_fails_the_pod(bench: Bench) -> None:
    """activeDeadlineSeconds: TERM, then KILL after the grace; Failed only once nothing runs any more."""
    stubborn = container("trap '' TERM; while :; do sleep 0.2; done")
    polite = container(bench.catching("polite", "exit 7"), "polite")
    bench.create(pod("late", stubborn, polite, activeDeadlineSeconds=2, terminationGracePeriodSeconds=1))
    status = bench.ended("late")
    assert (status["phase"], status["reason"]) == ("Failed", "DeadlineExceeded")
    assert status["message"] == "Pod was active on the node longer than the specified deadline"
    assert ended_state(status)["exitCode"] == 137
    assert ended_state(status, "polite")["exitCode"] == 7


def test_deletion_waits_for_the_grace(bench: Bench) -> None:
    """A deleted Pod's containers get SIGTERM and may use their grace; then the object goes."""
    witness = bench.shared / "finished"
    script = bench.catching("graceful", f"sleep 1; echo finished > {witness}; exit 0")
    bench.create(pod("graceful", container(script), terminationGracePeriodSeconds=20))
    bench.caught_up("graceful")
    bench.client.delete(f"{PODS}/graceful", {})
    bench.gone("graceful", 10)
    assert witness.read_text() == "finished\n"


def test_forced_deletion_kills_at_once(bench: Bench) -> None:
    """A Pod deleted without grace leaves no process behind."""
    beat = bench.shared / "beat"
    bench.create(pod("forced", container(f"trap '' TERM; while :; do date +%s%N > {beat}; sleep 0.05; done")))
    bench.when("forced", running, "running")
    eventually(beat.exists, "a first beat")
    bench.client.delete(f"{PODS}/forced", {"gracePeriodSeconds": 0})
    bench.gone("forced", 5)
    eventually(lambda: time.time() - beat.stat().st_mtime > 1.0, "the beat has stopped", 10)


def test_a_finalizer_keeps_the_object_with_its_final_statuses(bench: Bench) -> None:
    """Of a deleted Pod with a finalizer the object stays, with exit codes, until the finalizer goes."""
    body = pod("held", container(bench.catching("held", "exit 9")))
    body["metadata"]["finalizers"] = ["tests.local/hold"]
    bench.create(body)
    bench.caught_up("held")
    bench.client.delete(f"{PODS}/held", {})
    kept = bench.when("held", lambda pod: pod["metadata"].get("deletionGracePeriodSeconds") == 0, "let go")
    assert kept["status"]["phase"] == "Failed"
    assert ended_state(kept["status"])["exitCode"] == 9
    bench.client.patch(f"{PODS}/held", {"metadata": {"finalizers": None}})
    bench.gone("held", 5)


def test_a_finished_pod_can_be_deleted(bench: Bench) -> None:
    """Deleting a Pod that is over removes its object without waiting."""
    bench.create(pod("finished", container("exit 0")))
    bench.ended("finished")
    bench.client.delete(f"{PODS}/finished", {})
    bench.gone("finished", 5)


def test_a_missing_secret_holds_the_pod_until_it_is_there(bench: Bench) -> None:
    """The Pod stays in ContainerCreating with a FailedMount Event and goes on by itself."""
    mount = [{"name": "s", "mountPath": "/opt/secret", "readOnly": True}]
    volume = {
        "name": "s",
        "secret": {"secretName": "late", "defaultMode": 0o440, "items": [{"key": "k", "path": "d/k"}]},
    }
    script = "cat /opt/secret/d/k; ls -lnL /opt/secret/d/k; id -u; touch /opt/secret/x || exit 0; exit 1"
    ids = {"runAsUser": 1983, "runAsGroup": 1983, "fsGroup": 1983}
    bench.create(pod("waits", container(script, volumeMounts=mount), volumes=[volume], securityContext=ids))
    failure = 'MountVolume.SetUp failed for volume "s" : secret "late" not found'
    assert bench.told("waits", "FailedMount") == failure
    assert "ContainerCreating" in bench.kubectl("get", "pod", "waits")
    bench.client.post(SECRETS, {"metadata": {"name": "late"}, "stringData": {"k": "the-value\n"}})
    assert bench.ended("waits")["phase"] == "Succeeded"
    first, listing, uid, *_ = bench.kubectl("logs", "waits").splitlines()
    assert (first, listing.split()[0], listing.split()[3], uid) == ("the-value", "-r--r-----", "1983", "1983")


def test_sub_paths_share_an_empty_dir_between_containers(bench: Bench) -> None:
    """An init container fills a volume of which containers see only parts, at paths the image doesn't have."""
    ids = {"runAsUser": 1983, "runAsGroup": 1983, "fsGroup": 1983, "runAsNonRoot": True}
    fill = container(
        "mkdir -p /opt/all/project && echo hi > /opt/all/project/file && cp /bin/true /opt/all/binaries/tool",
        "fill",
        volumeMounts=[
            {"name": "w", "mountPath": "/opt/all"},
            {"name": "w", "mountPath": "/usr/local/deep/er", "subPath": "binaries"},
        ],
    )
    use = container(
        "cat file && /opt/bin/tool && ! touch /opt/bin/x 2>/dev/null && touch /mnt/w/new && ls /usr/bin/env",
        workingDir="/mnt/w",
        volumeMounts=[
            {"name": "w", "mountPath": "/mnt/w", "subPath": "project"},
            {"name": "w", "mountPath": "/opt/bin", "subPath": "binaries", "readOnly": True},
            {"name": "w", "mountPath": "/usr/bin/inside-the-image", "subPath": "project"},
        ],
    )
    body = pod(
        "parts", use, initContainers=[fill], volumes=[{"name": "w", "emptyDir": {}}], securityContext=ids
    )
    bench.create(body)
    assert bench.ended("parts")["phase"] == "Succeeded", bench.kubectl("logs", "parts", "--all-containers")
    assert bench.kubectl("logs", "parts", "-c", "main").split() == ["hi", "/usr/bin/env"]


def test_environment_comes_from_fields_secrets_and_config_maps(bench: Bench) -> None:
    """valueFrom, envFrom and $(NAME) work; a missing key keeps the container in CreateContainerConfigError."""
    bench.client.post(SECRETS, {"metadata": {"name": "env"}, "stringData": {"TOKEN": "t", "OTHER": "o"}})
    maps = "/api/v1/namespaces/default/configmaps"
    bench.client.post(maps, {"metadata": {"name": "env"}, "data": {"FROM_MAP": "m"}})
    variables: list[Json] = [
        {"name": "NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "LABEL", "valueFrom": {"fieldRef": {"fieldPath": "metadata.labels['tests/kind']"}}},
        {"name": "SECRET", "valueFrom": {"secretKeyRef": {"name": "env", "key": "TOKEN"}}},
        {"name": "BOTH", "value": "$(NAME)-$(SECRET)-$$(NAME)"},
    ]
    sources = [{"configMapRef": {"name": "env"}}, {"prefix": "P_", "secretRef": {"name": "env"}}]
    body = pod(
        "env", container("echo $NAME $LABEL $SECRET $BOTH $FROM_MAP $P_OTHER", env=variables, envFrom=sources)
    )
    body["metadata"]["labels"] = {"tests/kind": "labelled"}
    bench.create(body)
    assert bench.ended("env")["phase"] == "Succeeded"
    assert bench.kubectl("logs", "env").split() == ["env", "labelled", "t", "env-t-$(NAME)", "m", "o"]
    missing = {"name": "X", "valueFrom": {"secretKeyRef": {"name": "nope", "key": "k"}}}
    bench.create(pod("env-missing", container("exit 0", env=[missing])))
    held = bench.when("env-missing", lambda pod: waiting(pod) != "ContainerCreating", "held")
    assert waiting(held) == "CreateContainerConfigError"
    eventually(lambda: 'Error: secret "nope" not found' in bench.messages("env-missing"), "its Event")
    bench.client.post(SECRETS, {"metadata": {"name": "nope"}, "stringData": {"other": "o"}})
    without_key = "couldn't find key k in Secret default/nope"
    bench.when("env-missing", lambda pod: without_key in str(pod["status"]), "the missing key is named")
    bench.client.patch(f"{SECRETS}/nope", {"stringData": {"k": "v"}})
    assert bench.ended("env-missing")["phase"] == "Succeeded"


def waiting(pod: Json, kind: str = "") -> str:
    """Return what the first container of a Pod waits for, of its init containers if `kind` is `init`."""
    key = "initContainerStatuses" if kind else "containerStatuses"
    entries = pod["status"].get(key) or [{"state": {}}]
    reason: str = entries[0]["state"].get("waiting", {}).get("reason", "ContainerCreating")
    return reason


def test_unknown_and_malformed_images_are_reported_as_a_kubelet_does(bench: Bench) -> None:
    """ErrImagePull, then ImagePullBackOff, with Events; a name no image can have is InvalidImageName."""
    bench.create(pod("unknown", container("exit 0", image="nowhere.local/unknown:1")))
    bench.when("unknown", lambda pod: waiting(pod) == "ErrImagePull", "ErrImagePull")
    bench.when("unknown", lambda pod: waiting(pod) == "ImagePullBackOff", "ImagePullBackOff")
    assert bench.told("unknown", "BackOff") == 'Back-off pulling image "nowhere.local/unknown:1"'
    eventually(lambda: "Error: ImagePullBackOff" in bench.messages("unknown"), "its last Event")
    messages = bench.messages("unknown")
    assert 'Pulling image "nowhere.local/unknown:1"' in messages
    assert {"Error: ErrImagePull", "Error: ImagePullBackOff"} <= messages
    (pulling,) = [each for each in messages if each.startswith("Failed to pull image")]
    assert pulling.startswith(
        'Failed to pull image "nowhere.local/unknown:1": rpc error: code = NotFound desc = '
        'failed to pull and unpack image "nowhere.local/unknown:1": '
    )
    assert "ImagePullBackOff" in bench.kubectl("get", "pod", "unknown")
    bench.create(pod("malformed", container("exit 0", image="Not An Image")))
    bench.when("malformed", lambda pod: waiting(pod) == "InvalidImageName", "InvalidImageName")
    eventually(lambda: "Error: InvalidImageName" in bench.messages("malformed"), "its Events")
    assert "couldn't parse image name" in bench.told("malformed", "InspectFailed")
    bench.client.delete(f"{PODS}/malformed", {})
    bench.gone("malformed", 5)
    bench.client.delete(f"{PODS}/unknown", {})
    bench.gone("unknown", 5)


def test_a_command_that_cannot_run_is_a_start_error(bench: Bench) -> None:
    """A program that isn't there ends its container with 128 and StartError."""
    bench.create(pod("no-program", container("", command=["/opt/no/such-program"])))
    ended = ended_state(bench.ended("no-program"))
    assert (ended["exitCode"], ended["reason"]) == (128, "StartError")
    assert "no such file or directory" in ended["message"]


def test_the_service_account_token_is_readable_and_good(bench: Bench) -> None:
    """The projected volume that admission adds holds a token that the API server knows as the Pod's."""
    folder = "/var/run/secrets/kubernetes.io/serviceaccount"
    ids = {"runAsUser": 1983, "fsGroup": 1983}
    bench.create(
        pod("token", container(f"cat {folder}/token; echo; cat {folder}/namespace"), securityContext=ids)
    )
    assert bench.ended("token")["phase"] == "Succeeded"
    token, namespace = bench.kubectl("logs", "token").splitlines()
    assert namespace == "default"
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}}
    answer = bench.client.post("/apis/authentication.k8s.io/v1/tokenreviews", review)
    assert answer["status"]["user"]["username"] == "system:serviceaccount:default:default"
    assert answer["status"]["user"]["extra"]["authentication.kubernetes.io/pod-name"] == ["token"]


def test_two_pods_use_the_same_paths_at_the_same_time(bench: Bench) -> None:
    """Mount paths, /tmp and processes of one Pod are invisible to another."""
    mount = [{"name": "w", "mountPath": "/mnt/workspace"}]
    volumes = [{"name": "w", "emptyDir": {}}]
    for name in ("twin-a", "twin-b"):
        meet = f"touch {bench.shared}/{name}; while ! [ -e {bench.shared}/twin-a -a -e {bench.shared}/twin-b ]; do sleep 0.1; done"
        write = f"echo {name} > /mnt/workspace/who; echo {name} > /tmp/who; {meet}"
        script = f"{write}; cat /mnt/workspace/who /tmp/who; ls -d /proc/[0-9]* | wc -l"
        bench.create(pod(name, container(script, volumeMounts=mount), volumes=volumes))
    for name in ("twin-a", "twin-b"):
        assert bench.ended(name)["phase"] == "Succeeded"
        workspace, own_tmp, processes = bench.kubectl("logs", name).split()
        assert (workspace, own_tmp) == (name, name)
        assert int(processes) <= 4


def test_the_host_is_hidden(bench: Bench) -> None:
    """A container sees neither the user's home, nor the node's state, nor the host's accounts."""
    home = Path.home()
    hidden = [bench.state, bench.kubeconfig, home / ".cache", Path("/etc/shadow"), Path("/var/lib/dpkg")]
    script = "; ".join(f"[ -e {path} ] && echo visible: {path}" for path in hidden)
    bench.create(pod("hidden", container(f"{script}; true")))
    assert bench.ended("hidden")["phase"] == "Succeeded"
    assert bench.kubectl("logs", "hidden") == ""


def test_logs_can_be_followed_and_cut(bench: Bench) -> None:
    """`kubectl logs` knows -f, --tail, --timestamps, -c and --all-containers."""
    gate = bench.shared / "gate"
    script = f"echo one; echo two >&2; while ! [ -e {gate} ]; do sleep 0.1; done; echo three"
    bench.create(pod("talks", container(script), container("echo from the other", "other")))
    eventually(lambda: "two" in bench.kubectl("logs", "talks", "-c", "main"), "the first lines")
    argv = [
        str(bench.bin / "kubectl"),
        f"--kubeconfig={bench.kubeconfig}",
        "logs",
        "-f",
        "talks",
        "-c",
        "main",
    ]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as follower:
        assert follower.stdout is not None
        assert follower.stdout.readline() == "one\n"
        gate.touch()
        assert follower.stdout.read() == "two\nthree\n"
    bench.ended("talks")
    assert bench.kubectl("logs", "talks", "-c", "main", "--tail=1") == "three\n"
    stamp, _, text = bench.kubectl("logs", "talks", "-c", "other", "--timestamps").partition(" ")
    assert text == "from the other\n"
    assert abs(parse(stamp) - time.time()) < 120
    everything = bench.kubectl("logs", "talks", "--all-containers", "--prefix")
    assert "[pod/talks/main] three" in everything
    assert "[pod/talks/other] from the other" in everything


def test_the_kubelet_api_wants_a_client_certificate(bench: Bench) -> None:
    """Nobody reads logs from the node without a certificate of the cluster's CA."""
    node = bench.client.get("/api/v1/nodes/test-node")
    port = node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"]
    answer = subprocess.run(
        ["curl", "-sk", "--max-time", "5", f"https://127.0.0.1:{port}/pods"], capture_output=True, text=True
    )
    assert answer.returncode != 0
    assert answer.stdout == ""


def test_a_sidecar_runs_beside_the_containers_and_ends_after_them(bench: Bench) -> None:
    """An init container with restartPolicy Always starts first, doesn't hold the Pod up and is stopped at the end."""
    flag = bench.shared / "sidecar-up"
    sidecar = container(
        f"trap 'exit 0' TERM; touch {flag}; while :; do sleep 0.1; done", "sidecar", restartPolicy="Always"
    )
    main = container(f"while ! [ -e {flag} ]; do sleep 0.1; done; exit 0")
    bench.create(pod("with-sidecar", main, initContainers=[sidecar]))
    status = bench.ended("with-sidecar")
    assert status["phase"] == "Succeeded"
    assert ended_state(status, "sidecar")["exitCode"] == 0


def test_sidecars_start_in_order_and_end_in_reverse_after_the_containers(bench: Bench) -> None:
    """The Pod succeeded by its container alone: how a sidecar ends doesn't count."""
    diary = bench.shared / "diary"

    def noting(name: str) -> str:
        stop = f"echo stop {name} >> {diary}; exit 3"
        return f"trap '{stop}' TERM; echo start {name} >> {diary}; while :; do sleep 0.1; done"

    sidecars = [container(noting(name), name, restartPolicy="Always") for name in ("first", "second")]
    ready = f"until [ $(grep -c start {diary}) = 2 ]; do sleep 0.1; done"
    main = container(f"{ready}; echo main >> {diary}")
    bench.create(pod("ordered", main, initContainers=sidecars))
    status = bench.ended("ordered")
    assert status["phase"] == "Succeeded"
    assert [ended_state(status, name)["exitCode"] for name in ("first", "second")] == [3, 3]
    lines = diary.read_text().splitlines()
    assert lines[2:] == ["main", "stop second", "stop first"]


def test_a_crashing_sidecar_is_restarted_and_does_not_end_the_pod(bench: Bench) -> None:
    """At once the first time, then with CrashLoopBackOff; the container goes on beside it."""
    crashes, gate = bench.shared / "crashes", bench.shared / "crash-gate"
    sidecar = container(f"echo crash >> {crashes}; exit 1", "sidecar", restartPolicy="Always")
    main = container(f"until [ -e {gate} ]; do sleep 0.1; done")
    bench.create(pod("crashing", main, initContainers=[sidecar]))
    held = bench.when("crashing", lambda pod: waiting(pod, "init") == "CrashLoopBackOff", "CrashLoopBackOff")
    assert held["status"]["initContainerStatuses"][0]["restartCount"] == 2
    assert crashes.read_text() == "crash\ncrash\n"
    assert "Back-off restarting failed container sidecar" in bench.told("crashing", "BackOff")
    gate.touch()
    assert bench.ended("crashing")["phase"] == "Succeeded"


def test_a_container_that_is_restarted_keeps_its_count(bench: Bench) -> None:
    """With OnFailure, a node starts a failed container again: at once, then after a pause."""
    tries = bench.shared / "tries"
    script = f"echo try >> {tries}; [ $(wc -l < {tries}) = 3 ] && exit 0; exit 1"
    body = pod("retries", container(script))
    body["spec"]["restartPolicy"] = "OnFailure"
    bench.create(body)
    held = bench.when("retries", lambda pod: waiting(pod) == "CrashLoopBackOff", "CrashLoopBackOff")
    assert held["status"]["phase"] == "Running"
    status = bench.ended("retries", 40)
    assert (status["phase"], status["containerStatuses"][0]["restartCount"]) == ("Succeeded", 2)


@pytest.mark.skipif(os.geteuid() != 0, reason="control groups need root")
def test_a_memory_limit_is_enforced(bench: Bench) -> None:
    """A container over its memory limit is killed and says OOMKilled."""
    limits = {"limits": {"memory": "32Mi"}}
    bench.create(pod("hungry", container("", command=["tail", "/dev/zero"], resources=limits)))
    ended = ended_state(bench.ended("hungry"))
    assert (ended["exitCode"], ended["reason"]) == (137, "OOMKilled")


@pytest.mark.skipif(os.geteuid() != 0, reason="control groups need root")
def test_out_of_memory_ends_the_whole_container(bench: Bench) -> None:
    """Not just the process that asked for too much: kubectl says OOMKilled, for an init container Init:OOMKilled."""
    limits = {"limits": {"memory": "32Mi"}}
    parent = container("tail /dev/zero; exit 5", resources=limits)
    bench.create(pod("parent", parent))
    ended = ended_state(bench.ended("parent"))
    assert (ended["exitCode"], ended["reason"]) == (137, "OOMKilled")
    assert "OOMKilled" in bench.kubectl("get", "pod", "parent")
    bench.create(pod("init-hungry", container("exit 0"), initContainers=[{**parent, "name": "init"}]))
    bench.ended("init-hungry")
    assert "Init:OOMKilled" in bench.kubectl("get", "pod", "init-hungry")


def test_memory_is_watched_over_where_control_groups_cannot_be_had(bench: Bench, tmp_path: Path) -> None:
    """The status is the same as with control groups."""
    argv = [*bench.node_argv("watching-node", tmp_path), "--memory-limits=watch", "--no-scheduler"]
    limits = {"limits": {"memory": "64Mi"}}
    hungry = container("tail /dev/zero; exit 5", resources=limits)
    modest = container("exit 6", "modest", resources=limits)
    node = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        bench.create(pod("watched", hungry, modest, nodeName="watching-node"))
        status = bench.ended("watched", 60)
        assert (ended_state(status)["exitCode"], ended_state(status)["reason"]) == (137, "OOMKilled")
        assert (ended_state(status, "modest")["exitCode"], ended_state(status, "modest")["reason"]) == (
            6,
            "Error",
        )
    finally:
        node.terminate()
        node.wait(15)


def test_a_pod_this_node_cannot_run_fails_with_the_reason(bench: Bench) -> None:
    """A hostPath volume is refused in words."""
    body = pod("refused", container("exit 0"), volumes=[{"name": "host", "hostPath": {"path": "/"}}])
    bench.create(body)
    status = bench.ended("refused")
    assert status["reason"] == "UnsupportedPodSpec"
    assert "volume host is a hostPath" in status["message"]


NO_DEAL = "no new claims to deallocate, preemption: 0/1 nodes are available: 1"


def unscheduled(pod: Json) -> str:
    """Return the scheduler's text in a Pod's conditions, empty without one."""
    conditions = pod["status"].get("conditions") or []
    scheduled: Json = next((each for each in conditions if each["type"] == "PodScheduled"), {})
    message: str = scheduled.get("message", "")
    return message if (scheduled.get("status"), scheduled.get("reason")) == ("False", "Unschedulable") else ""


def asking(cpu: str) -> Json:
    """Return requests."""
    return {"requests": {"cpu": cpu}}


def test_a_pod_that_fits_no_node_is_unschedulable(bench: Bench) -> None:
    """A node selector or requests that don't fit are a condition and an Event, not a start."""
    bench.create(pod("misfit", container("exit 0"), nodeSelector={"disk": "gold"}))
    found = bench.when("misfit", unscheduled, "unschedulable")
    text = f"node(s) didn't match Pod's node affinity/selector. {NO_DEAL} Preemption is not helpful for scheduling."
    assert unscheduled(found) == f"0/1 nodes are available: 1 {text}"
    assert bench.told("misfit", "FailedScheduling") == unscheduled(found)
    assert found["status"]["phase"] == "Pending"
    bench.create(pod("greedy", container("exit 0", resources=asking("640"))))
    found = bench.when("greedy", unscheduled, "unschedulable")
    assert unscheduled(found).startswith("0/1 nodes are available: 1 Insufficient cpu. ")
    for name in ("misfit", "greedy"):
        bench.client.delete(f"{PODS}/{name}", {})
        bench.gone(name, 5)


def test_a_pod_waits_for_room_and_takes_it(bench: Bench) -> None:
    """What is asked for counts, not what is used; an ended Pod frees its share."""
    count = os.cpu_count() or 1
    gate = bench.shared / "room-gate"
    holder = container(f"until [ -e {gate} ]; do sleep 0.1; done", resources=asking(str(count)))
    bench.create(pod("holder", holder))
    bench.when("holder", running, "running")
    bench.create(pod("late-comer", container("exit 0", resources=asking("500m"))))
    found = bench.when("late-comer", unscheduled, "unschedulable")
    text = f"0/1 nodes are available: 1 Insufficient cpu. {NO_DEAL} No preemption victims found for incoming pod."
    assert unscheduled(found) == text
    gate.touch()
    assert bench.ended("late-comer")["phase"] == "Succeeded"


def test_taints_and_cordons_keep_pods_off_until_they_go(bench: Bench) -> None:
    """The node follows what people do to its Node object."""
    bench.kubectl("taint", "node", "test-node", "only=others:NoSchedule")
    try:
        bench.create(pod("tainted", container("exit 0")))
        found = bench.when("tainted", unscheduled, "unschedulable")
        assert "1 node(s) had untolerated taint(s)." in unscheduled(found)
        toleration = {"key": "only", "operator": "Exists"}
        bench.create(pod("tolerant", container("exit 0"), tolerations=[toleration]))
        assert bench.ended("tolerant")["phase"] == "Succeeded"
    finally:
        bench.kubectl("taint", "node", "test-node", "only-")
    assert bench.ended("tainted")["phase"] == "Succeeded"
    bench.kubectl("cordon", "test-node")
    try:
        bench.create(pod("cordoned", container("exit 0")))
        found = bench.when("cordoned", unscheduled, "unschedulable")
        assert "1 node(s) were unschedulable." in unscheduled(found)
    finally:
        bench.kubectl("uncordon", "test-node")
    assert bench.ended("cordoned")["phase"] == "Succeeded"


def test_a_pod_bound_past_the_scheduler_is_rejected_if_it_does_not_fit(bench: Bench) -> None:
    """As a kubelet does at admission: Failed with the reason, and no container state at all."""
    bench.create(pod("forced-in", container("exit 0", resources=asking("640")), nodeName="test-node"))
    status = bench.ended("forced-in")
    assert status["reason"] == "OutOfcpu"
    assert status["message"].startswith(
        "Pod was rejected: Node didn't have enough resource: cpu, requested: 640000"
    )
    assert "containerStatuses" not in status


def test_the_eviction_api_leaves_its_condition_in_the_final_status(bench: Bench) -> None:
    """DisruptionTarget says EvictionByEvictionAPI, also in the last status that the node writes."""
    body = pod("evicted", container(bench.catching("evicted", "exit 9")))
    body["metadata"]["finalizers"] = ["tests.local/hold"]
    bench.create(body)
    bench.caught_up("evicted")
    eviction = {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": {"name": "evicted"}}
    bench.client.post(f"{PODS}/evicted/eviction", eviction)
    kept = bench.when("evicted", lambda pod: pod["metadata"].get("deletionGracePeriodSeconds") == 0, "let go")
    conditions = {each["type"]: each for each in kept["status"]["conditions"]}
    assert conditions["DisruptionTarget"]["reason"] == "EvictionByEvictionAPI"
    assert ended_state(kept["status"])["exitCode"] == 9
    bench.client.patch(f"{PODS}/evicted", {"metadata": {"finalizers": None}})
    bench.gone("evicted", 5)


def test_a_volume_over_its_size_limit_evicts_the_pod(bench: Bench) -> None:
    """Failed with reason Evicted and the kubelet's text."""
    volume = {"name": "work", "emptyDir": {"sizeLimit": "1Mi"}}
    mount = [{"name": "work", "mountPath": "/work"}]
    script = "head -c 4000000 /dev/zero > /work/big; while :; do sleep 0.1; done"
    bench.create(pod("bulky", container(script, volumeMounts=mount), volumes=[volume]))
    status = bench.ended("bulky", 40)
    assert (status["phase"], status["reason"]) == ("Failed", "Evicted")
    assert status["message"] == 'Usage of EmptyDir volume "work" exceeds the limit "1Mi". '
    assert bench.told("bulky", "Evicted") == status["message"]


@pytest.mark.skipif(shutil.which("proot") is None, reason="the fallback needs proot")
def test_proot_stands_in_where_user_namespaces_are_refused(bench: Bench, tmp_path: Path) -> None:
    """Volumes, ids, the image's own paths, exit codes and deletion work without bubblewrap too."""
    argv = [*bench.node_argv("proot-node", tmp_path), "--sandbox=proot", "--no-scheduler"]
    mounts = [
        {"name": "w", "mountPath": "/opt/deep/er"},
        {"name": "w", "mountPath": "/usr/bin/new", "subPath": "sub"},
    ]
    script = f"id -u; echo x > /opt/deep/er/sub/f; cat /usr/bin/new/f; ls /var/run/secrets/*; [ -e {bench.state} ] || echo hidden; exit 7"
    body = pod(
        "other-way",
        container(script, volumeMounts=mounts),
        volumes=[{"name": "w", "emptyDir": {}}],
        securityContext={"runAsUser": 1983},
        nodeName="proot-node",
    )
    node = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        bench.create(body)
        status = bench.ended("other-way", 60)
        said = bench.kubectl("logs", "other-way")
        assert ended_state(status)["exitCode"] == 7, said
        assert said.split() == ["1983", "x", "serviceaccount", "hidden"]
        bench.create(
            pod("other-end", container(bench.catching("other-end", "exit 5")), nodeName="proot-node")
        )
        bench.caught_up("other-end")
        bench.client.delete(f"{PODS}/other-end", {})
        bench.gone("other-end", 10)
    finally:
        node.terminate()
        node.wait(15)


def test_containers_die_with_the_node_and_are_reported_lost(bench: Bench) -> None:
    """After kill -9 of the node nothing of its Pods runs; started again, it fails them and starts nothing twice."""
    beats, starts = bench.shared / "node-beats", bench.shared / "starts"
    script = f"echo start >> {starts}; trap '' TERM; while :; do date +%s%N > {beats}; sleep 0.05; done"
    bench.create(pod("orphan", container(script), container("exit 6", "done-before")))
    bench.when("orphan", lambda pod: states(pod) == ["running", "terminated"], "one running, one ended")
    eventually(beats.exists, "a first beat")
    bench.kill_node(signal.SIGKILL)
    eventually(lambda: time.time() - beats.stat().st_mtime > 1.0, "the beat has stopped", 10)
    bench.start_node()
    status = bench.ended("orphan")
    assert (status["phase"], status["reason"]) == ("Failed", "NodeRestarted")
    lost = ended_state(status)
    assert (lost["exitCode"], lost["reason"]) == (137, "ContainerStatusUnknown")
    assert ended_state(status, "done-before")["exitCode"] == 6
    assert starts.read_text() == "start\n"
    bench.create(pod("after", container("exit 0")))
    assert bench.ended("after")["phase"] == "Succeeded"


def states(pod: Json) -> list[str]:
    """Return the kinds of state of a Pod's containers."""
    return [kind for entry in pod["status"].get("containerStatuses") or [] for kind in entry["state"]]
