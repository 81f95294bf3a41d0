"""Every troubleshooting command of the documents, as a user types it, gives the documented shape of answer."""

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from devcluster.cluster import Cluster
from tests.e2e.harness import (
    CommandError,
    Journal,
    Pool,
    Shell,
    apply,
    make_credentials,
    make_pool,
    manifest,
    remove_pool,
    secret,
    until,
)

RUN, WORKER = "workers.spacelift.io/run-id", "workers.spacelift.io/worker"
UNKNOWN_IMAGE = "someone/non-existent-image:1234"


def _columns(text: str) -> list[dict[str, str]]:
    """Return the rows of a kubectl table by heading; a cell lies where its heading does, and may be empty.

    Where there is nothing to show kubectl prints no heading either.
    """
    header, *lines = text.splitlines() or [""]
    headings = [(each.group().strip(), each.start()) for each in re.finditer(r"\S+(?: \S+)*", header)]
    ends = [start for _, start in headings[1:]] + [None]
    return [
        {name: line[start:end].strip() for (name, start), end in zip(headings, ends, strict=True)}
        for line in lines
    ]


def _row(text: str, name: str) -> dict[str, str]:
    """Return the row of an object."""
    return next(row for row in _columns(text) if row["NAME"] == name)


def _busy_worker(pool: Pool) -> str:
    """Return the name of the Worker that carries out a run."""
    found: str = until(
        lambda: [
            each["metadata"]["name"]
            for each in pool.workers()
            if each.get("status", {}).get("state") == "BUSY"
        ],
        "a busy Worker",
    )[0]
    return found


@pytest.fixture
def in_flight(pool: Pool, journal: Journal, outside: Path) -> Iterator[str]:
    """Return a run of the pool that runs until the test is over."""
    gate = outside / f"{pool.name}.gate"
    run = pool.trigger(
        "echo hello from the run", *journal.commands("it", f"until [ -e {gate} ]; do sleep 0.1; done")
    )
    until(lambda: journal.counts("start")["it"], "the run is in flight")
    yield run
    gate.touch()
    pool.await_state(run, "succeeded")


@pytest.fixture
def broken(shell: Shell, tmp_path: Path, pool_name: str) -> Iterator[Pool]:
    """Return a pool whose private key is no base64 at byte 1364."""
    ulid, token, key = make_credentials(shell, pool_name, tmp_path)
    bad = f"{key[:1364]}!{key[1365:]}"
    apply(shell, secret(pool_name, "default", token, bad), manifest(pool_name, "default", 2))
    pool = Pool(shell, pool_name, "default", ulid, token, key, tmp_path)
    until(
        lambda: "WorkerPoolCannotRegister" in shell.kubectl("describe", "workerpool", pool_name), "its Event"
    )
    yield pool
    remove_pool(pool)


@pytest.mark.parametrize("name", ["workerpools", "workerpool", "wp"])
def test_get_workerpools_lists_desired_and_actual_size(shell: Shell, pool: Pool, name: str) -> None:
    """Three columns come first, as documented; the short name is as good."""
    text = shell.kubectl("get", name)
    assert re.match(r"NAME +DESIRED POOL SIZE +ACTUAL POOL SIZE", text)
    row = _row(text, pool.name)
    assert (row["DESIRED POOL SIZE"], row["ACTUAL POOL SIZE"]) == ("2", "2")


def test_the_actual_size_is_empty_with_bad_credentials(shell: Shell, broken: Pool) -> None:
    """Not 0: nobody knows how many there would be."""
    row = _row(shell.kubectl("get", "workerpools"), broken.name)
    assert (row["DESIRED POOL SIZE"], row["ACTUAL POOL SIZE"]) == ("2", "")


def _assert_says_why(text: str, pool: Pool) -> None:
    """Assert that a description has the documented parts: name, API version, kind and the Event with the exact text."""
    assert re.search(rf"^Name: +{pool.name}$", text, re.MULTILINE)
    assert re.search(r"^Namespace: +default$", text, re.MULTILINE)
    assert re.search(r"^API Version: +workers\.spacelift\.io/v1beta1$", text, re.MULTILINE)
    assert re.search(r"^Kind: +WorkerPool$", text, re.MULTILINE)
    events = text.split("\nEvents:\n")[1]
    assert re.match(r" +Type +Reason +Age +From +Message\n +-+", events)
    message = (
        "Unable to register worker pool: cannot retrieve workerpool token: "
        "unable to base64 decode privateKey: illegal base64 data at input byte 1364"
    )
    age = r"\S+(?: \(x\d+ over \S+\))?"
    line = rf"^ +Warning +WorkerPoolCannotRegister +{age} +workerpool-controller +{re.escape(message)}$"
    assert re.search(line, events, re.MULTILINE)


def test_describe_shows_why_a_pool_cannot_register(shell: Shell, broken: Pool) -> None:
    """For a pool that never had good credentials."""
    _assert_says_why(shell.kubectl("describe", "workerpool", broken.name), broken)


def test_describe_shows_the_id_of_a_pool_whose_key_was_broken_later(shell: Shell, pool: Pool) -> None:
    """The ULID that the pool got with its first registration stays on it as a label."""
    label = rf"^(Labels:)? +workers\.spacelift\.io/ulid={pool.ulid}$"
    assert re.search(label, shell.kubectl("describe", "workerpool", pool.name), re.MULTILINE)

    def text() -> str:
        return shell.kubectl("describe", "workerpool", pool.name)

    def give(key: str) -> None:
        apply(shell, secret(pool.name, "default", pool.token, key))
        # Secrets are read once a minute; a change of the pool has them read at once.
        change = json.dumps({"spec": {"description": f"key of {len(key)} characters, {key[1364]}"}})
        shell.kubectl("patch", "workerpool", pool.name, "--type=merge", "-p", change)

    give(f"{pool.key_base64[:1364]}!{pool.key_base64[1365:]}")

    until(lambda: "WorkerPoolCannotRegister" in text(), "its Event", 60)
    _assert_says_why(text(), pool)
    assert re.search(label, text(), re.MULTILINE)
    give(pool.key_base64)
    shell.kubectl("wait", "--for=condition=Ready", f"workerpool/{pool.name}", "--timeout=50s")


def test_the_operators_log_says_why_a_pool_cannot_register(cluster: Cluster, broken: Pool) -> None:
    """Who has no access to the pool's Events finds the same text there, with the pool's name."""
    lines = cluster.component("operator").log_path.read_text().splitlines()
    text = "unable to base64 decode privateKey: illegal base64 data at input byte 1364"
    assert [line for line in lines if text in line and broken.name in line]


@pytest.mark.parametrize("name", ["workers", "wkr"])
def test_get_workers_lists_those_of_one_pool_by_its_id(shell: Shell, pool: Pool, name: str) -> None:
    """All of them without a selector, those of a pool with its label."""
    every = {row["NAME"] for row in _columns(shell.kubectl("get", name))}
    rows = _columns(shell.kubectl("get", name, "-l", f"workers.spacelift.io/workerpool={pool.ulid}"))
    assert {row["NAME"] for row in rows} == {each["metadata"]["name"] for each in pool.workers()}
    assert {row["NAME"] for row in rows} <= every
    assert {(row["POOL"], row["REGISTERED"], row["STATUS"], row["RUN ID"]) for row in rows} == {
        (pool.name, "true", "IDLE", "")
    }


def test_the_category_lists_pools_and_workers(shell: Shell, pool: Pool) -> None:
    """`kubectl get spacelift` is for who doesn't know the kinds."""
    text = shell.kubectl("get", "spacelift")
    assert f"workerpool.workers.spacelift.io/{pool.name} " in text
    assert all(f"worker.workers.spacelift.io/{each['metadata']['name']} " in text for each in pool.workers())


def test_the_pod_of_a_run_is_found_by_run_and_by_worker(shell: Shell, pool: Pool, in_flight: str) -> None:
    """One row with the documented columns, and the documented name."""
    worker = shell.get("worker", _busy_worker(pool))
    ulid = worker["metadata"]["labels"]["workers.spacelift.io/ulid"]
    by_run = until(
        lambda: _columns(shell.kubectl("get", "pods", "-l", f"{RUN}={in_flight}")), "a Pod of the run"
    )
    by_worker = _columns(shell.kubectl("get", "pods", "-l", f"{WORKER}={ulid}"))
    for (row,) in (by_run, by_worker):
        assert list(row) == ["NAME", "READY", "STATUS", "RESTARTS", "AGE"]
        assert row["NAME"] == f"{in_flight.lower()}-preparing-2"
        assert (row["READY"], row["STATUS"], row["RESTARTS"]) == ("2/2", "Running", "0")


def test_describe_shows_the_pod_of_a_run(shell: Shell, pool: Pool, in_flight: str) -> None:
    """Labels, controller and containers are where the documents show them."""
    worker = shell.get("worker", _busy_worker(pool))
    ulid = worker["metadata"]["labels"]["workers.spacelift.io/ulid"]
    text = shell.kubectl("describe", "pods", "-l", f"{RUN}={in_flight}")
    assert re.search(rf"^Name: +{in_flight.lower()}-preparing-2$", text, re.MULTILINE)
    assert re.search(rf"^(Labels:)? +{RUN}={in_flight}$", text, re.MULTILINE)
    assert re.search(rf"^(Labels:)? +{WORKER}={ulid}$", text, re.MULTILINE)
    assert re.search(rf"^Controlled By: +Worker/{worker['metadata']['name']}$", text, re.MULTILINE)
    inits, containers = text.split("\nInit Containers:\n")[1].split("\nContainers:\n")
    assert re.match(r"  init:\n", inits)
    assert re.search(
        r"^    Command:\n      /usr/bin/spacelift-launcher\n    Args:\n      init$", inits, re.MULTILINE
    )
    assert re.search(r"^    State: +Terminated\n      Reason: +Completed$", inits, re.MULTILINE)
    assert re.findall(r"^  (launcher-grpc|worker):$", containers, re.MULTILINE) == ["launcher-grpc", "worker"]
    started = re.findall(r"^  Normal +Started +\S+ +kubelet +", text, re.MULTILINE)
    assert len(started) == 3


def test_the_logs_of_a_run_are_shown_with_container_and_time(shell: Shell, in_flight: str) -> None:
    """The command that support asks for prints every container's lines."""
    command = ["logs", "--namespace", "default", "-l", f"{RUN}={in_flight}"]
    shape = r"^\[pod/\S+-preparing-2/worker\] \d{4}-\d\d-\d\dT\S+Z hello from the run$"

    def text() -> str:
        return shell.kubectl(*command, "--all-containers", "--prefix", "--timestamps")

    until(lambda: re.search(shape, text(), re.MULTILINE), "the run's line")
    assert f"[pod/{in_flight.lower()}-preparing-2/init] " in text()


def test_logs_since_a_time_are_shown(shell: Shell, in_flight: str) -> None:
    """The form that support asks for with the operator's logs."""
    options = ["--all-containers", "--prefix", "--timestamps"]

    def since(when: datetime) -> str:
        stamp = when.strftime("%Y-%m-%dT%H:%M:%SZ")
        return shell.kubectl("logs", "-l", f"{RUN}={in_flight}", f"--since-time={stamp}", *options)

    now = datetime.now(UTC)
    until(lambda: "hello from the run" in since(now - timedelta(minutes=10)), "the run's line")
    assert "hello from the run" not in since(now + timedelta(minutes=10))


def test_the_events_of_a_worker_are_shown(shell: Shell, pool: Pool, in_flight: str) -> None:
    """Real kubectl ignores the object in the documents' form and lists the whole namespace; --for chooses it."""
    worker = _busy_worker(pool)
    command = ["events", "--namespace", "default"]

    def found(*argv: str) -> list[Any]:
        items: list[Any] = json.loads(shell.kubectl(*command, *argv, "-o", "json"))["items"]
        return items

    def reasons() -> set[str]:
        items = found("--for", f"workers/{worker}")
        assert {item["source"]["component"] for item in items} <= {"workerpool-controller"}
        return {item["reason"] for item in items if in_flight in item["message"]}

    until(lambda: {"RunScheduled", "RunStarted"} <= reasons(), "the Events of a run in flight")
    as_documented = found(f"workers/{worker}")
    assert {item["involvedObject"]["kind"] for item in as_documented} >= {"Worker", "WorkerPool", "Pod"}
    assert [item for item in as_documented if item["involvedObject"]["name"] == worker]
    table = _columns(shell.kubectl("events", "--for", f"worker/{worker}"))
    assert {"RunScheduled", "RunStarted"} <= {row["REASON"] for row in table}
    assert {row["OBJECT"] for row in table} == {f"Worker/{worker}"}


def test_an_image_that_cannot_be_pulled_is_seen_in_get_and_describe(
    shell: Shell, tmp_path: Path, pool_name: str
) -> None:
    """The documents' example: 1/2 ImagePullBackOff, and the kubelet's Events about the image."""
    pool = make_pool(shell, pool_name, tmp_path, size=1)
    run = pool.trigger("true", image=UNKNOWN_IMAGE)
    selector = ("-l", f"{RUN}={run}")

    def rows() -> list[tuple[str, str]]:
        return [(each["READY"], each["STATUS"]) for each in _columns(shell.kubectl("get", "pods", *selector))]

    until(lambda: rows() == [("1/2", "ImagePullBackOff")], "1/2 ImagePullBackOff", 60)
    about = r"kubelet +(?:spec\.containers\{worker\}: )?"
    # The kubelet leaves the code out that says nothing (Unknown), as when a registry can't be reached at all.
    cause = (
        rf'(?:rpc error: code = \w+ desc = )?failed to pull and unpack image "docker\.io/{UNKNOWN_IMAGE}": .*'
    )
    lines = [
        rf'Normal +Pulling +.* {about}Pulling image "{UNKNOWN_IMAGE}"',
        rf'Warning +Failed +.* {about}Failed to pull image "{UNKNOWN_IMAGE}": {cause}',
        rf"Warning +Failed +.* {about}Error: ErrImagePull",
        rf'Normal +BackOff +.* {about}Back-off pulling image "{UNKNOWN_IMAGE}"',
        rf"Warning +Failed +.* {about}Error: ImagePullBackOff",
    ]

    def described() -> str:
        said = shell.kubectl("describe", "pods", *selector)
        missing = [line for line in lines if not re.search(f"^  {line}$", said, re.MULTILINE)]
        if missing:
            raise CommandError(f"not in it: {missing}\n{said}")
        return said

    text = until(described, "the kubelet's Events about the image", 8)
    assert re.search(r"^  Normal +Scheduled +.* default-scheduler +Successfully assigned", text, re.MULTILINE)
    pool.await_state(run, "failed")
    remove_pool(pool)


def test_an_init_container_out_of_memory_is_seen_in_get_and_describe(
    shell: Shell, tmp_path: Path, pool_name: str
) -> None:
    """The documents' example: 0/2 Init:OOMKilled, and exit code 137 of a Pod that failed."""
    limits = {"initContainer": {"resources": {"limits": {"memory": "8Mi"}}}}
    pool = make_pool(shell, pool_name, tmp_path, size=1, spec={"pod": limits})
    run = pool.trigger("true")
    selector = ("-l", f"{RUN}={run}")
    # The first attempt's Pod goes when there is a second one, whose Pod is kept.
    pool.await_state(run, "failed")

    def killed() -> str:
        rows = _columns(shell.kubectl("get", "pods", *selector))
        return next((row["NAME"] for row in rows if row["STATUS"] == "Init:OOMKilled"), "")

    name = until(killed, "Init:OOMKilled", 60)
    until(lambda: shell.get("pod", name)["status"]["phase"] == "Failed", "the kubelet gives the Pod up")
    assert _row(shell.kubectl("get", "pods", *selector), name)["READY"] == "0/2"
    text = shell.kubectl("describe", "pod", name)
    assert re.search(r"^Status: +Failed$", text, re.MULTILINE)
    assert re.search(rf"^Controlled By: +Worker/{pool.name}-", text, re.MULTILINE)
    init = text.split("\nInit Containers:\n")[1].split("\nContainers:\n")[0]
    shape = r"State: +Terminated\n +Reason: +OOMKilled\n(?: +Message: .*\n)? +Exit Code: +137\n +Started: .*\n +Finished: "
    assert re.search(shape, init)
    remove_pool(pool)


def test_a_pool_can_be_waited_for_and_scaled(shell: Shell, pool: Pool) -> None:
    """`kubectl wait` and `kubectl scale`, by plural and by singular."""
    assert "condition met" in shell.kubectl(
        "wait", "--for=condition=Ready", f"workerpool/{pool.name}", "--timeout=30s"
    )
    assert "scaled" in shell.kubectl("scale", "workerpools", pool.name, "--replicas=3")
    pool.await_registered(3)
    assert "scaled" in shell.kubectl("scale", f"workerpool/{pool.name}", "--replicas", "1")
    until(lambda: _row(shell.kubectl("get", "workerpools"), pool.name)["ACTUAL POOL SIZE"] == "1", "one left")


def test_workers_can_be_waited_for(shell: Shell, pool: Pool) -> None:
    """Each says that it is Ready."""
    selector = f"workers.spacelift.io/workerpool={pool.ulid}"
    text = shell.kubectl("wait", "--for=condition=Ready", "workers", "-l", selector, "--timeout=30s")
    assert text.count("condition met") == 2


def test_a_successful_pod_is_kept_for_a_look_where_the_pool_says_so(
    shell: Shell, tmp_path: Path, pool_name: str
) -> None:
    """With keepSuccessfulPods the Pod stays, Completed."""
    pool = make_pool(shell, pool_name, tmp_path, size=1, spec={"keepSuccessfulPods": True})
    run = pool.trigger("true")
    pool.await_state(run, "succeeded")
    until(lambda: {each["status"]["state"] for each in pool.workers()} == {"IDLE"}, "the Worker is IDLE")
    (row,) = _columns(shell.kubectl("get", "pods", "-l", f"{RUN}={run}"))
    assert (row["READY"], row["STATUS"]) == ("0/2", "Completed")
    remove_pool(pool)


def test_explain_teaches_the_pod_of_a_pool(shell: Shell) -> None:
    """Fields of the Pod come with the Kubernetes API's own descriptions, nested ones too."""
    text = shell.kubectl("explain", "workerpool.spec.pod.affinity", "--recursive")
    assert "requiredDuringSchedulingIgnoredDuringExecution" in text
    assert "Deadline" in shell.kubectl("explain", "workerpool.spec.pod.activeDeadlineSeconds")
