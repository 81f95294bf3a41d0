"""A run that fails says why, with the same words at the mothership, on the Worker and in its Events."""

import datetime as dt
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.harness import (
    PATIENCE,
    Journal,
    Pool,
    Shell,
    apply,
    events,
    make_pool,
    remove_pool,
    until,
)

Json = dict[str, Any]


@dataclass(frozen=True)
class Stage:
    """Where a test provokes a failure: pools of one Worker, which go when the test is over."""

    shell: Shell
    folder: Path
    name: str
    pools: list[Pool]

    def pool(self, namespace: str = "default", **spec: object) -> Pool:
        """Return a registered pool with these fields in its spec."""
        made = make_pool(self.shell, self.name, self.folder, 1, namespace, spec)
        self.pools.append(made)
        return made


@pytest.fixture
def stage(shell: Shell, tmp_path: Path, pool_name: str) -> Iterator[Stage]:
    """Return a stage of the test's own."""
    pools: list[Pool] = []
    yield Stage(shell, tmp_path, pool_name, pools)
    for pool in pools:
        remove_pool(pool)


def _worker(pool: Pool) -> Json:
    (worker,) = pool.workers()
    found: Json = worker
    return found


def _condition(worker: Mapping[str, Any], kind: str) -> Json:
    conditions = worker.get("status", {}).get("conditions") or []
    return next((each for each in conditions if each["type"] == kind), {})


def _last_run(pool: Pool, run: str) -> Json:
    """Return the Worker's LastRunSucceeded once it is about the run, empty before."""
    found = _condition(_worker(pool), "LastRunSucceeded")
    return found if run in found.get("message", "") else {}


def _told(pool: Pool, run: str, reason: str) -> list[str]:
    """Return the texts of the Worker's Events with that reason about the run."""
    found = events(pool.shell, "Worker", _worker(pool)["metadata"]["name"], pool.namespace)
    return [item["message"] for item in found if item["reason"] == reason and run in item["message"]]


def _failed(pool: Pool, run: str, reason: str, *said: str, seconds: float = 60) -> str:
    """Assert that the run failed for `reason`, everywhere with one text that has `said` in it; return the message."""
    pool.await_state(run, "failed", seconds)
    outcome = pool.run(run)["outcome"]
    assert outcome["reason"] == reason, outcome
    report = f"Run {run} failed: {reason}: {outcome['message']}"
    condition = until(lambda: _last_run(pool, run), "LastRunSucceeded is about the run")
    assert (condition["status"], condition["reason"], condition["message"]) == ("False", reason, report)
    assert until(lambda: _told(pool, run, "RunFailed"), "an Event RunFailed") == [report]
    assert not [word for word in said if word not in report], report
    message: str = outcome["message"]
    return message


def _failed_in_a_try(pool: Pool, run: str, reason: str, *said: str) -> str:
    """Assert that an attempt which never started failed for `reason`, told with `said`; return the report."""
    condition = until(lambda: _last_run(pool, run), "LastRunSucceeded is about the run", 60)
    assert (condition["status"], condition["reason"]) == ("False", reason)
    assert not [word for word in said if word not in condition["message"]], condition
    assert condition["message"] in until(lambda: _told(pool, run, "RunFailed"), "an Event RunFailed")
    report: str = condition["message"]
    return report


def _failed_twice(pool: Pool, run: str, reason: str, *said: str) -> None:
    """Assert that the run was given up after two attempts which never started, both told with `said`."""
    report = _failed_in_a_try(pool, run, reason, *said)
    pool.await_state(run, "failed", 60)
    found = pool.run(run)
    assert [each["outcome"]["reason"] for each in found["attempts"]] == [reason, reason]
    assert found["outcome"]["reason"] == reason
    assert (
        report + " (given up after 2 attempts)"
        == f"Run {run} failed: {reason}: {found['outcome']['message']}"
    )
    assert len(until(lambda: pool.pods(run), "a Pod that is kept")) == 1


def _seconds_between(pool: Pool, run: str, first: str, second: str) -> float:
    """Return how long after the Event `first` about the run the Event `second` came."""
    found = events(pool.shell, "Worker", _worker(pool)["metadata"]["name"], pool.namespace)
    times = {
        item["reason"]: dt.datetime.fromisoformat(item["firstTimestamp"])
        for item in found
        if run in item["message"]
    }
    return (times[second] - times[first]).total_seconds()


def _takes_the_next(pool: Pool) -> None:
    """Assert that the Worker is free again and carries out a run that has nothing wrong with it."""
    name = _worker(pool)["metadata"]["name"]
    until(lambda: _worker(pool)["status"]["state"] == "IDLE", "the Worker is IDLE")
    run = pool.trigger("true")
    pool.await_state(run, "succeeded")
    condition = until(lambda: _last_run(pool, run), "LastRunSucceeded is about the next run")
    assert (condition["status"], condition["reason"]) == ("True", "Completed")
    assert condition["message"] == f"Run {run} succeeded: Completed"
    assert until(lambda: _told(pool, run, "RunFinished"), "an Event RunFinished") == [condition["message"]]
    assert _worker(pool)["metadata"]["name"] == name
    assert _condition(_worker(pool), "Ready")["status"] == "True"


def _mend(pool: Pool, *fields: str) -> None:
    """Take fields out of the pool's spec."""
    changes = [{"op": "remove", "path": f"/spec/{field}"} for field in fields]
    pool.shell.kubectl(
        "patch", "workerpool", pool.name, "-n", pool.namespace, "--type=json", "-p", json.dumps(changes)
    )


def _in_flight(pool: Pool, journal: Journal) -> tuple[str, str]:
    """Start a run that doesn't end by itself; return it and its Pod's name once it runs."""
    run = pool.trigger(*journal.commands("it", "while :; do sleep 0.1; done"))
    until(lambda: journal.counts("start")["it"], "the run is in flight")
    (pod,) = pool.pods(run)
    return run, pod["metadata"]["name"]


# --- the run itself ---


def test_a_command_that_fails(stage: Stage) -> None:
    """NonZeroExit with the exit code."""
    pool = stage.pool()
    run = pool.trigger("exit 3")
    _failed(pool, run, "NonZeroExit", "3")
    assert pool.run(run)["outcome"]["exitCodes"]["worker"] == 3
    _takes_the_next(pool)


def test_a_worker_container_out_of_memory(stage: Stage) -> None:
    """OOMKilled with the container, its limit and the field to raise, without waiting for a heartbeat to fail."""
    pool = stage.pool(pod={"workerContainer": {"resources": {"limits": {"memory": "48Mi"}}}})
    run = pool.trigger("echo the-last-line; tail /dev/zero")
    _failed(pool, run, "OOMKilled", "container worker", "48Mi", "spec.pod.workerContainer.resources")
    assert pool.run(run)["outcome"]["exitCodes"]["worker"] == 137
    assert _seconds_between(pool, run, "RunStarted", "RunFailed") < 15 * PATIENCE
    assert "\nthe-last-line\n" in pool.shell.mothership("run", "logs", run)
    assert len(pool.pods(run)) == 1
    _takes_the_next(pool)


def test_a_run_past_its_deadline(stage: Stage, journal: Journal) -> None:
    """DeadlineExceeded with the pool's own limit."""
    # The Pod's start counts as well.
    seconds = 8 * PATIENCE
    pool = stage.pool(pod={"activeDeadlineSeconds": seconds, "terminationGracePeriodSeconds": 5})
    run, _ = _in_flight(pool, journal)
    _failed(pool, run, "DeadlineExceeded", "spec.pod.activeDeadlineSeconds", f"{seconds} s")
    _takes_the_next(pool)


def test_an_evicted_run(stage: Stage, shell: Shell, journal: Journal) -> None:
    """Evicted, as `kubectl drain` does it."""
    pool = stage.pool(pod={"terminationGracePeriodSeconds": 5})
    run, pod = _in_flight(pool, journal)
    eviction = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": pod, "namespace": "default"},
    }
    path = f"/api/v1/namespaces/default/pods/{pod}/eviction"
    shell.kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(eviction))
    _failed(pool, run, "Evicted", "evicted")
    _takes_the_next(pool)


def test_a_run_whose_volume_outgrows_its_limit(stage: Stage) -> None:
    """Evicted with the kubelet's text."""
    volume = {"name": "workspace", "emptyDir": {"sizeLimit": "64Mi"}}
    pool = stage.pool(pod={"workspaceVolume": volume, "terminationGracePeriodSeconds": 5})
    run = pool.trigger("head -c 100000000 /dev/zero > big", "while :; do sleep 0.1; done")
    _failed(pool, run, "Evicted", 'EmptyDir volume "workspace" exceeds the limit "64Mi"')
    _takes_the_next(pool)


def test_a_run_whose_pod_somebody_deletes(stage: Stage, shell: Shell, journal: Journal) -> None:
    """PodDeleted; the run isn't started a second time."""
    pool = stage.pool(pod={"terminationGracePeriodSeconds": 5})
    run, pod = _in_flight(pool, journal)
    shell.kubectl("delete", "pod", pod, "--wait=false")
    _failed(pool, run, "PodDeleted", "deleted")
    assert journal.counts("start")["it"] == 1
    _takes_the_next(pool)


# --- images ---


def test_an_image_that_cannot_be_pulled(stage: Stage) -> None:
    """ImagePull with the image and the runtime's own text, after the grace."""
    pool = stage.pool()
    run = pool.trigger("true", image="someone/non-existent-image:1234")
    _failed(pool, run, "ImagePull", "container worker", "someone/non-existent-image:1234", "can't be pulled")
    _takes_the_next(pool)


def test_a_name_that_no_image_can_have(stage: Stage) -> None:
    """InvalidImage at once, with the kubelet's text: it never gets better."""
    # What the schema can tell is refused when the pool is applied; the length of a digest it doesn't know.
    image = f"someone/image@sha256:{'a' * 40}"
    pool = stage.pool(
        pod={"customInitContainers": [{"name": "prepare", "image": image, "command": ["true"]}]}
    )
    run = pool.trigger("true")
    _failed(pool, run, "InvalidImage", "container prepare", image, "invalid reference format")
    _mend(pool, "pod")
    _takes_the_next(pool)


def test_a_runner_image_whose_name_no_image_can_have(stage: Stage) -> None:
    """The Worker rejects the run before there is a Pod, and says what is wrong with the name."""
    pool = stage.pool()
    run = pool.trigger("true", image="someone/Upper-Case:1234")
    pool.await_state(run, "failed")
    (told,) = until(lambda: _told(pool, run, "RunRejected"), "an Event RunRejected")
    text = '"someone/Upper-Case:1234" is not an image reference: its path must be in lower case'
    assert text in told
    assert pool.run(run)["outcome"]["reason"] == "InvalidImage"
    assert text in pool.run(run)["outcome"]["message"]
    assert not pool.pods(run)
    _takes_the_next(pool)


def test_an_image_that_is_not_allowed(stage: Stage) -> None:
    """ImageNotAllowed without a Pod: the Worker rejects the run and says so in an Event."""
    pool = stage.pool(allowedRunnerImageHosts=["spacelift.local"])
    run = pool.trigger("true", image="registry.example.com/runner:1")
    pool.await_state(run, "failed")
    outcome = pool.run(run)["outcome"]
    assert outcome["reason"] == "ImageNotAllowed"
    (told,) = until(lambda: _told(pool, run, "RunRejected"), "an Event RunRejected")
    assert "registry.example.com" in outcome["message"]
    assert told == f"Refused run {run}: ImageNotAllowed: {outcome['message']}"
    condition = until(lambda: _last_run(pool, run), "LastRunSucceeded is about the run")
    assert condition["message"] == f"Run {run} failed: ImageNotAllowed: {outcome['message']}"
    assert not pool.pods(run)
    good = pool.trigger("true", image="spacelift.local/runner:dev")
    pool.await_state(good, "succeeded")


# --- the pool's settings ---


def test_a_missing_secret_of_the_worker_container(stage: Stage) -> None:
    """ConfigError with the Secret's name, after the grace."""
    variable = {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "not-there", "key": "token"}}}
    pool = stage.pool(pod={"workerContainer": {"env": [variable]}})
    run = pool.trigger("true")
    _failed(pool, run, "ConfigError", "container worker", 'secret "not-there" not found')
    _mend(pool, "pod")
    _takes_the_next(pool)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ({"configMap": {"name": "not-there"}}, 'volume "extra" : configmap "not-there" not found'),
        ({"secret": {"secretName": "not-there"}}, 'volume "extra" : secret "not-there" not found'),
        (
            {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "not-there", "path": "x"}]}},
            'volume "extra" : references non-existent config key: not-there',
        ),
    ],
    ids=["config map", "secret", "key"],
)
def test_a_volume_that_cannot_be_mounted(stage: Stage, source: Json, text: str) -> None:
    """ConfigError with the kubelet's text, which only its Events have; the Pod's status is silent."""
    mounts = {"volumeMounts": [{"name": "extra", "mountPath": "/extra"}]}
    pool = stage.pool(pod={"volumes": [{"name": "extra", **source}], "workerContainer": mounts})
    run = pool.trigger("true")
    _failed(pool, run, "ConfigError", "can't be mounted on node", text)
    assert len(pool.run(run)["attempts"]) == 1
    _mend(pool, "pod")
    _takes_the_next(pool)


def test_a_launcher_grpc_that_cannot_be_made(stage: Stage, journal: Journal) -> None:
    """ConfigError with the Secret's name although the worker container runs, long before its lease is over."""
    variable = {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "not-there", "key": "token"}}}
    pool = stage.pool(pod={"grpcServerContainer": {"env": [variable]}})
    run = pool.trigger(*journal.commands("it"))
    _failed(pool, run, "ConfigError", "container launcher-grpc", 'secret "not-there" not found')
    assert _told(pool, run, "RunStarted")
    assert not journal.counts("start")
    _mend(pool, "pod")
    _takes_the_next(pool)


def test_a_pod_that_no_node_takes(stage: Stage) -> None:
    """Unschedulable with the requests and the scheduler's text, after the grace."""
    resources = {"resources": {"requests": {"cpu": "500", "memory": "1Mi"}}}
    pool = stage.pool(pod={"workerContainer": resources})
    run = pool.trigger("true")
    _failed(pool, run, "Unschedulable", "cpu 500", "0/1 nodes are available: 1 Insufficient cpu.")
    _mend(pool, "pod")
    _takes_the_next(pool)


def test_a_pod_that_selects_no_node(stage: Stage) -> None:
    """The scheduler's text tells a selector from a lack of room."""
    pool = stage.pool(pod={"nodeSelector": {"disk": "gold"}})
    run = pool.trigger("true")
    _failed(pool, run, "Unschedulable", "didn't match Pod's node affinity/selector")
    _mend(pool, "pod")
    _takes_the_next(pool)


def test_a_node_that_refuses_the_pod(stage: Stage, shell: Shell) -> None:
    """Past the scheduler, the node itself says no and why; another might say yes, so the run is tried again."""
    (node,) = shell.items("nodes")
    resources = {"resources": {"requests": {"cpu": "500"}}}
    pool = stage.pool(pod={"nodeName": node["metadata"]["name"], "workerContainer": resources})
    run = pool.trigger("true")
    _failed_in_a_try(pool, run, "Evicted", "refused the Pod at admission", "OutOfcpu", "requested: 500000")
    until(lambda: len(pool.run(run)["attempts"]) > 2, "a third attempt", 60)
    pool.shell.mothership("run", "stop", run)
    pool.await_state(run, "canceled", 60)
    _mend(pool, "pod")
    _takes_the_next(pool)


def test_an_init_container_of_the_user_that_fails(stage: Stage) -> None:
    """InitFailed with container and exit code; the second attempt, as nothing has started yet, is the last."""
    init = {
        "name": "prepare",
        "image": "spacelift.local/runner:dev",
        "command": ["sh", "-c", "echo no luck > /dev/termination-log; exit 7"],
    }
    pool = stage.pool(pod={"customInitContainers": [init]})
    run = pool.trigger("true")
    _failed_twice(pool, run, "InitFailed", "init container prepare", "exit code 7", "no luck")
    _mend(pool, "pod")
    _takes_the_next(pool)


def test_sources_that_cannot_be_checked_out(stage: Stage, outside: Path) -> None:
    """A repository that isn't there fails the run in `init`, with git's own text."""
    pool = stage.pool()
    run = pool.trigger("true", repo=outside / "no-such-repository")
    _failed(pool, run, "InitFailed", "no-such-repository")
    _takes_the_next(pool)


# --- refused by the API server ---


def _namespace(shell: Shell, name: str, **labels: str) -> str:
    """Create a namespace; it goes with the cluster."""
    metadata = {"name": name, "labels": {key.replace("__", "/"): value for key, value in labels.items()}}
    apply(shell, {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})
    until(lambda: shell.items("serviceaccounts", "-n", name), "its default ServiceAccount")
    return name


def _refused(pool: Pool, run: str, reason: str, *said: str) -> None:
    """Assert the failure, and that no Pod was made and an Event tells of the refusal."""
    _failed(pool, run, reason, *said)
    assert not pool.pods(run)
    found = events(pool.shell, "Worker", _worker(pool)["metadata"]["name"], pool.namespace)
    refusals = [item["message"] for item in found if item["reason"] == "RunPodRefused"]
    assert [text for text in refusals if all(word in text for word in said)]
    assert len(refusals) == len(set(refusals))


def test_a_pod_over_the_quota(stage: Stage, shell: Shell) -> None:
    """Unschedulable with the quota's text, after the grace in which other Pods might have gone."""
    namespace = _namespace(shell, "quota-zero")
    quota = {"metadata": {"name": "no-pods", "namespace": namespace}, "spec": {"hard": {"pods": "0"}}}
    apply(shell, {"apiVersion": "v1", "kind": "ResourceQuota", **quota})
    until(
        lambda: shell.get("resourcequota", "no-pods", "-n", namespace).get("status", {}).get("hard"),
        "counted",
    )
    pool = stage.pool(namespace)
    run = pool.trigger("true")
    _refused(pool, run, "Unschedulable", "exceeded quota: no-pods", "used: pods=0, limited: pods=0")
    shell.kubectl("delete", "resourcequota", "no-pods", "-n", namespace)
    _takes_the_next(pool)


def test_a_pod_that_pod_security_does_not_admit(stage: Stage, shell: Shell) -> None:
    """PolicyDenied with the standard's text; without the pool's own wish the Pod passes `restricted`."""
    namespace = _namespace(shell, "guarded", **{"pod-security.kubernetes.io__enforce": "restricted"})
    pool = stage.pool(
        namespace, pod={"workerContainer": {"securityContext": {"allowPrivilegeEscalation": True}}}
    )
    run = pool.trigger("true")
    text = 'violates PodSecurity "restricted:latest": allowPrivilegeEscalation != false (container "worker"'
    _refused(pool, run, "PolicyDenied", text)
    _mend(pool, "pod")
    _takes_the_next(pool)
