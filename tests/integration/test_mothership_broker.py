"""The mothership with a real broker: TLS, the ACL, the way of a run, bad payloads, kill -9.

The operator is played by a small paho client that knows nothing but the protocol, and the launcher by HTTPS calls.
"""

import contextlib
import gzip
import os
import queue
import shutil
import signal
import socket
import ssl
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import pytest
import requests
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID
from paho.mqtt import client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from mothership.client import Client, Connection
from mothership.clock import new_ulid, rfc3339
from protocol import messages
from protocol.messages import Message, Received
from protocol.runs import Outcome, Reason, Rejection, Result
from protocol.sealing import OpeningKey, RunPayload
from protocol.token import PoolToken, decode_token
from protocol.topics import from_worker, pool_subscription

ROOT = Path(__file__).resolve().parents[2]
MOSQUITTO = shutil.which("mosquitto", path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
DEADLINE = 30.0

pytestmark = pytest.mark.skipif(
    MOSQUITTO is None, reason="mosquitto is not installed: apt-get install mosquitto"
)
_T = TypeVar("_T")


def wait_for(what: str, condition: Callable[[], _T | None], seconds: float = DEADLINE) -> _T:
    """Return the first true result of `condition`; fail, naming what was waited for, after `seconds`."""
    until = time.monotonic() + seconds
    while True:
        result = condition()
        if result:
            return result
        if time.monotonic() > until:
            pytest.fail(f"waited {seconds:g} s in vain for {what}")
        time.sleep(0.02)


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def python(*arguments: str) -> list[str]:
    """Return the command line of the mothership."""
    return [sys.executable, "-m", "mothership", *arguments]


class Site:
    """A broker and a mothership on loopback, each of which can be killed and started again."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.data = directory / "data"
        self.broker_port, self.http_port = free_port(), free_port()
        self.endpoint = f"https://127.0.0.1:{self.http_port}"
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self.serve_flags: list[str] = []
        self._run("ca", "init", "--data-dir", str(self.data), "--host", "127.0.0.1")
        listen = f"127.0.0.1:{self.broker_port}"
        self._run(
            "broker-config", "--data-dir", str(self.data), "--listen", listen, "--out", str(directory / "mq")
        )

    def _run(self, *arguments: str) -> None:
        subprocess.run(python(*arguments), cwd=ROOT, check=True, stdout=subprocess.DEVNULL)

    def start_broker(self) -> None:
        """Start Mosquitto and wait until it listens."""
        self._start("broker", [MOSQUITTO or "", "-c", str(self.directory / "mq/mosquitto.conf")])
        wait_for("broker", lambda: self._listens(self.broker_port))

    def start_mothership(self) -> None:
        """Start the mothership and wait until it is connected."""
        flags = ["--data-dir", str(self.data), "--listen", f"127.0.0.1:{self.http_port}"]
        flags += ["--broker", f"mqtts://127.0.0.1:{self.broker_port}", "--public-endpoint", self.endpoint]
        self._start("mothership", python("serve", *flags, *self.serve_flags))
        wait_for("mothership", lambda: self.health().get("broker") == "connected")

    def kill(self, name: str, number: int = signal.SIGKILL) -> int:
        """End one of our processes with a signal; return its exit status."""
        process = self.processes.pop(name)
        process.send_signal(number)
        return process.wait(DEADLINE)

    def close(self) -> None:
        """End everything that was started."""
        for name in list(self.processes):
            self.kill(name)

    def health(self) -> dict[str, Any]:
        """Return the health page, empty while nobody answers."""
        with contextlib.suppress(requests.RequestException):
            answer: dict[str, Any] = requests.get(
                f"{self.endpoint}/healthz", verify=self.ca, timeout=5
            ).json()
            return answer
        return {}

    @property
    def ca(self) -> str:
        """The CA's file."""
        return str(self.data / "ca.crt")

    @property
    def environment(self) -> dict[str, str]:
        """What the command line needs."""
        return {
            "MOTHERSHIP_ENDPOINT": self.endpoint,
            "MOTHERSHIP_CA": self.ca,
            "MOTHERSHIP_ADMIN_TOKEN_FILE": str(self.data / "admin-token"),
        }

    def cli(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command of the mothership as a user does."""
        environment = os.environ | self.environment
        return subprocess.run(
            python(*arguments),
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def client(self) -> Client:
        """Return a client of the admin API."""
        return Client(Connection.from_environment(self.environment))

    def create_pool(self, name: str) -> "PoolFiles":
        """Create a pool with a fresh key."""
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "whatever")])
        request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
        csr = self.directory / f"{name}.csr"
        csr.write_bytes(request.public_bytes(serialization.Encoding.PEM))
        config = self.directory / f"{name}.config"
        done = self.cli("pool", "create", "--name", name, "--csr", str(csr), "--out", str(config))
        assert done.returncode == 0, done.stderr
        pem = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return PoolFiles(self.directory, decode_token(config.read_text()), pem)

    def log(self, name: str) -> str:
        """Return what a process wrote."""
        return (self.directory / f"{name}.log").read_text(errors="replace")

    def _start(self, name: str, command: list[str]) -> None:
        with (self.directory / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(command, cwd=ROOT, stdout=log, stderr=log)

    def _listens(self, port: int) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0


@dataclass
class PoolFiles:
    """A pool's token and private key, as its user has them."""

    directory: Path
    token: PoolToken
    private_key: bytes = field(repr=False)

    def tls(self) -> ssl.SSLContext:
        """Return the TLS context of the pool's client certificate."""
        base = self.directory / self.token.pool_ulid
        base.with_suffix(".crt").write_text(self.token.certificate)
        base.with_suffix(".key").write_bytes(self.private_key)
        context = ssl.create_default_context(cadata=self.token.ca)
        context.load_cert_chain(base.with_suffix(".crt"), base.with_suffix(".key"))
        return context


class Operator:
    """The operator's side of the protocol for one pool, reduced to sending and hearing."""

    def __init__(self, pool: PoolFiles) -> None:
        self.pool = pool.token.pool_ulid
        self.uid = str(uuid.uuid4())
        self.opening = OpeningKey(pool.private_key)
        self.heard: queue.Queue[tuple[str, Received]] = queue.Queue()
        self.disconnects: queue.Queue[object] = queue.Queue()
        self.publish_answers: dict[int, int] = {}
        self.past: list[tuple[str, Received]] = []
        host, port = pool.token.broker_endpoint.removeprefix("mqtts://").split(":")
        self.mqtt = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=self.uid, protocol=mqtt.MQTTv5)
        self.mqtt.tls_set_context(pool.tls())
        self.mqtt.on_message = lambda _c, _d, m: self.heard.put((m.topic, messages.parse(bytes(m.payload))))
        self.mqtt.on_publish = lambda _c, _d, mid, reason, _p: self.publish_answers.update(
            {mid: reason.value}
        )
        self.subscribed: dict[int, list[int]] = {}
        # On every connect: a broker that was killed may have forgotten the session.
        self.mqtt.on_connect = lambda client, *_: client.subscribe(
            pool_subscription("spacelift", self.pool), qos=1
        )
        self.mqtt.on_subscribe = lambda _c, _d, mid, codes, _p: self.subscribed.update(
            {mid: [code.value for code in codes]}
        )
        self.mqtt.will_set(from_worker("spacelift", self.pool, self.pool), self.encode(self.offline()), qos=1)
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = 3600
        self.mqtt.connect(host, int(port), clean_start=False, properties=properties)
        self.mqtt.loop_start()
        wait_for("SUBACK", lambda: self.subscribed)

    def close(self) -> None:
        """Leave."""
        self.mqtt.disconnect()
        self.mqtt.loop_stop()

    def offline(self) -> messages.Offline:
        """Return the last will."""
        return messages.Offline(pool_uid=self.uid, replica="test")

    def subscribe(self, topic: str) -> list[int]:
        """Subscribe and return the broker's reason codes."""
        _, mid = self.mqtt.subscribe(topic, qos=1)
        return wait_for("SUBACK", lambda: self.subscribed.get(mid or 0))

    def encode(self, message: Message) -> bytes:
        """Return the payload."""
        return messages.encode(message, id=new_ulid(), time=rfc3339(time.time()))

    def raw(self, pool: str, worker: str, payload: bytes) -> int:
        """Publish bytes and return the broker's reason code."""
        info = self.mqtt.publish(from_worker("spacelift", pool, worker), payload, qos=1)
        wait_for("PUBACK", lambda: info.mid in self.publish_answers)
        return self.publish_answers[info.mid]

    def send(self, worker: str, message: Message) -> None:
        """Publish a message of a worker (or of the pool)."""
        assert self.raw(self.pool, worker, self.encode(message)) < 0x80

    def post(self, worker: str, message: Message) -> None:
        """Publish a message without waiting for the broker."""
        self.mqtt.publish(from_worker("spacelift", self.pool, worker), self.encode(message), qos=1)

    def expect(self, kind: type[_T], worker: str | None = None, seconds: float = DEADLINE) -> _T:
        """Return the next message of this type, for this worker if it is named; keep the others for later."""
        until = time.monotonic() + seconds
        kept, self.past = self.past, []
        while True:
            item = kept.pop(0) if kept else self._next(until, kind)
            topic, received = item
            if isinstance(received.message, kind) and worker in (None, topic.rsplit("/", 1)[1]):
                self.past += kept
                return received.message
            self.past.append(item)

    def _next(self, until: float, kind: type[object]) -> tuple[str, Received]:
        try:
            return self.heard.get(timeout=max(until - time.monotonic(), 0.01))
        except queue.Empty:
            seen = [received.message.type for _, received in self.past]
            pytest.fail(f"no {kind.__name__} came; came: {seen}")


class PlayedWorker:
    """One Worker of an operator."""

    def __init__(self, operator: Operator) -> None:
        self.operator = operator
        self.id = new_ulid()
        self.uid = str(uuid.uuid4())

    def register(self) -> messages.Registered:
        """Register and return the answer."""
        self.send(messages.Register, metadata={"k8s-native": "true"}, controller_version="test", protocol=1)
        return self.operator.expect(messages.Registered, self.id)

    def send(self, kind: Callable[..., Message], **fields: Any) -> None:  # noqa: ANN401
        """Send a message about this worker."""
        self.operator.send(self.id, kind(pool_uid=self.operator.uid, worker_uid=self.uid, **fields))

    def answer(self, kind: Callable[..., Message], scheduled: messages.RunScheduled, **fields: Any) -> None:  # noqa: ANN401
        """Send a message about the attempt that was scheduled."""
        self.send(
            kind,
            run=scheduled.run,
            stage=scheduled.stage,
            sequence=scheduled.sequence,
            assignment=scheduled.assignment,
            **fields,
        )

    def scheduled(self) -> messages.RunScheduled:
        """Return the next run_scheduled."""
        return self.operator.expect(messages.RunScheduled, self.id)


class Launcher:
    """The launcher's calls of one attempt."""

    def __init__(self, site: Site, operator: Operator, scheduled: messages.RunScheduled) -> None:
        self.payload: RunPayload = operator.opening.open(scheduled.payload)
        self._site = site
        self._base = f"{self.payload.api_endpoint}/v1/runs/{scheduled.run}/stages/{scheduled.sequence}"

    def call(self, method: str, path: str, **options: Any) -> requests.Response:  # noqa: ANN401
        """Make a call with the run token."""
        headers = {"Authorization": f"Bearer {self.payload.run_token}"} | options.pop("headers", {})
        return requests.request(
            method, self._base + path, headers=headers, verify=self._site.ca, timeout=10, **options
        )

    def claim(self, pod_uid: str) -> int:
        """Claim the start; return the status."""
        return self.call("POST", "/claim", json={"podUID": pod_uid}).status_code


SUCCEEDED = Outcome(Result.SUCCEEDED, Reason.COMPLETED, "", {"worker": 0})


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    """Give a broker and a mothership."""
    place = Site(tmp_path)
    try:
        place.start_broker()
        place.start_mothership()
        yield place
    finally:
        place.close()


@pytest.fixture
def operator(site: Site) -> Iterator[Operator]:
    """Give an operator of a fresh pool `alpha`."""
    player = Operator(site.create_pool("alpha"))
    yield player
    player.close()


def trigger(site: Site, **extra: Any) -> str:  # noqa: ANN401
    """Trigger a run in pool alpha; return its id."""
    with site.client() as client:
        run: str = client.post("/v1/runs", {"pool": "alpha", "commands": ["true"], **extra})["id"]
        return run


def state(site: Site, run: str) -> str:
    """Return a run's state."""
    with site.client() as client:
        text: str = client.get(f"/v1/runs/{run}")["state"]
        return text


def test_a_run_goes_from_triggered_to_released(site: Site, operator: Operator) -> None:
    """Register, schedule, accept, Pod, claim, details, lease, logs, result, finished, released."""
    worker = PlayedWorker(operator)
    assert worker.register().assignment == 0
    source = {"type": "git", "url": "https://git.example/demo.git", "ref": "main"}
    run = trigger(site, source=source, environment={"COLOUR": "blue"})
    scheduled = worker.scheduled()
    assert (scheduled.run, scheduled.sequence, scheduled.stage, scheduled.assignment) == (
        run,
        2,
        "preparing",
        1,
    )
    launcher = Launcher(site, operator, scheduled)
    assert len(launcher.payload.workspace_key) == 32
    worker.answer(messages.RunAccepted, scheduled)
    wait_for("accepted", lambda: state(site, run) == "accepted")
    assert launcher.claim("pod-1") == 425
    worker.answer(messages.RunPod, scheduled, pod_uid="pod-1")
    wait_for("grant", lambda: launcher.claim("pod-1") == 200)
    assert launcher.claim("pod-1") == 200
    assert launcher.claim("pod-2") == 409
    details = launcher.call("GET", "/details").json()
    assert details["source"]["url"] == source["url"]
    assert details["environment"] == {"COLOUR": "blue"}
    assert launcher.call("POST", "/lease").json()["action"] == "continue"
    packed = gzip.compress(b"hello from the run\n")
    assert launcher.call(
        "POST", "/logs?offset=0", data=packed, headers={"Content-Encoding": "gzip"}
    ).json() == {"offset": 19}
    assert (
        launcher.call("POST", "/result", json={"outcome": SUCCEEDED.to_json(), "phases": []}).status_code
        == 200
    )
    worker.answer(messages.RunFinished, scheduled, pod_uid="pod-1", outcome=SUCCEEDED)
    released = operator.expect(messages.RunReleased, worker.id)
    assert (released.run, released.sequence) == (run, 2)
    assert state(site, run) == "succeeded"
    assert launcher.call("POST", "/lease").json()["action"] == "gone"
    followed = site.cli("run", "logs", run, "--follow")
    assert followed.stdout == f"hello from the run\nrun {run} succeeded (Completed)\n"
    log = site.log("mothership")
    assert launcher.payload.run_token not in log
    assert (site.data / "admin-token").read_text() not in log


def test_stop_cancels_before_the_grant_and_asks_after_it(site: Site, operator: Operator) -> None:
    """A canceled attempt is closed before the worker hears of it; a granted one gets `stop` with its lease."""
    worker = PlayedWorker(operator)
    worker.register()
    first = trigger(site)
    scheduled = worker.scheduled()
    worker.answer(messages.RunPod, scheduled, pod_uid="pod-1")
    wait_for("accepted", lambda: state(site, first) == "accepted")
    assert site.cli("run", "stop", first).stdout == f"run {first} canceled\n"
    assert Launcher(site, operator, scheduled).claim("pod-1") == 409
    assert operator.expect(messages.RunCanceled, worker.id).run == first
    canceled = Outcome(Result.CANCELED, Reason.CANCELED)
    worker.answer(messages.RunFinished, scheduled, pod_uid="pod-1", outcome=canceled)
    operator.expect(messages.RunReleased, worker.id)
    second = trigger(site)
    scheduled = worker.scheduled()
    assert scheduled.assignment == 2
    worker.answer(messages.RunPod, scheduled, pod_uid="pod-2")
    launcher = Launcher(site, operator, scheduled)
    wait_for("grant", lambda: launcher.claim("pod-2") == 200)
    site.cli("run", "stop", second)
    assert launcher.call("POST", "/lease").json()["action"] == "stop"


def test_a_pool_reads_and_writes_its_own_topics_only(site: Site, operator: Operator) -> None:
    """The broker refuses another pool's topics in both directions, and the mothership's direction."""
    beta = Operator(site.create_pool("beta"))
    try:
        victim = PlayedWorker(operator)
        victim.register()
        forged = messages.Unregister(pool_uid=operator.uid, worker_uid=victim.uid)
        assert operator.subscribe(pool_subscription("spacelift", operator.pool)) == [1]
        assert beta.raw(operator.pool, victim.id, beta.encode(forged)) == 0x87
        # Mosquitto grants a subscription that overlaps nothing allowed, but filters what it would deliver.
        beta.subscribe(f"spacelift/readonly/{operator.pool}/+")
        beta.subscribe(f"spacelift/writeonly/{operator.pool}/+")
        beta.subscribe("spacelift/#")
        run = trigger(site)
        assert victim.scheduled().run == run
        own = PlayedWorker(beta)
        own.register()
        foreign = [
            topic for topic, _ in [*beta.past, *list(beta.heard.queue)] if f"/{beta.pool}/" not in topic
        ]
        assert foreign == []
        assert "alpha" in site.cli("worker", "list", "--pool", "alpha").stdout
    finally:
        beta.close()


def test_a_client_without_a_certificate_is_not_let_in(site: Site) -> None:
    """The broker ends the TLS handshake of a client that shows no certificate."""
    context = ssl.create_default_context(cafile=site.ca)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with (
        socket.create_connection(("127.0.0.1", site.broker_port)) as plain,
        pytest.raises((ssl.SSLError, ConnectionResetError)),
    ):
        context.wrap_socket(plain, server_hostname="127.0.0.1")


def test_bad_payloads_are_counted_and_dropped(site: Site, operator: Operator) -> None:
    """Nothing that a pool can publish stops the mothership, and each kind is logged once."""
    worker = PlayedWorker(operator)
    for _ in range(2):
        operator.raw(operator.pool, worker.id, b"\xff not json")
        operator.raw(operator.pool, worker.id, b'{"type": "no_such_type"}')
        operator.raw(operator.pool, worker.id, b'{"type": "register"}')
        operator.raw(operator.pool, operator.pool, operator.encode(_registration(operator, worker)))
        operator.raw(operator.pool, worker.id, b"x" * (129 * 1024))
    assert worker.register().assignment == 0
    dropped = site.health()["droppedMessages"]
    assert dropped == {"not_json": 2, "unknown_type": 2, "invalid": 2, "misplaced": 2, "oversized": 2}
    assert site.log("mothership").count('"kind": "not_json"') == 1


def _registration(operator: Operator, worker: PlayedWorker) -> Message:
    return messages.Register(
        pool_uid=operator.uid, worker_uid=worker.uid, controller_version="test", protocol=1
    )


def test_a_mothership_killed_at_any_moment_goes_on(site: Site, operator: Operator) -> None:
    """Kill -9 after scheduling, with a message under way, and after the grant: nothing is lost or started twice."""
    worker = PlayedWorker(operator)
    worker.register()
    run = trigger(site)
    scheduled = worker.scheduled()
    launcher = Launcher(site, operator, scheduled)
    site.kill("mothership")
    worker.answer(messages.RunPod, scheduled, pod_uid="pod-1")
    site.start_mothership()
    assert operator.expect(messages.InventoryRequested).pool_uid == operator.uid
    wait_for("grant", lambda: launcher.claim("pod-1") == 200)
    site.kill("mothership")
    site.start_mothership()
    assert launcher.claim("pod-2") == 409
    assert launcher.claim("pod-1") == 200
    site.kill("mothership")
    worker.answer(messages.RunFinished, scheduled, pod_uid="pod-1", outcome=SUCCEEDED)
    site.start_mothership()
    assert operator.expect(messages.RunReleased, worker.id).run == run
    assert state(site, run) == "succeeded"


def test_a_broker_killed_and_started_again_is_used_again(site: Site, operator: Operator) -> None:
    """The mothership reconnects, asks for an inventory, and schedules what was queued meanwhile."""
    worker = PlayedWorker(operator)
    worker.register()
    site.kill("broker")
    wait_for("disconnect", lambda: site.health().get("broker") == "disconnected")
    run = trigger(site)
    site.start_broker()
    wait_for("reconnect", lambda: site.health().get("broker") == "connected")
    assert worker.scheduled().run == run


def test_rejections_queue_again_or_fail(site: Site, operator: Operator) -> None:
    """An unknown worker is forgotten and its run goes elsewhere; a refused image fails the run."""
    gone, here = PlayedWorker(operator), PlayedWorker(operator)
    here.register()
    gone.register()
    run = trigger(site)
    scheduled = gone.scheduled()
    gone.answer(messages.RunRejected, scheduled, reason=Rejection.UNKNOWN)
    again = here.scheduled()
    assert (again.run, again.sequence) == (run, 5)
    here.answer(
        messages.RunRejected, again, reason=Rejection.IMAGE_NOT_ALLOWED, message="image x is not allowed"
    )
    wait_for("failure", lambda: state(site, run) == "failed")
    assert gone.id not in site.cli("worker", "list").stdout


def test_sigterm_ends_it_in_good_order(site: Site) -> None:
    """SIGTERM ends with status 0, soon."""
    started = time.monotonic()
    assert site.kill("mothership", signal.SIGTERM) == 0
    assert time.monotonic() - started < 10


def _draining(operator: Operator, worker: PlayedWorker, *, draining: bool) -> Message:
    return messages.WorkerState(
        pool_uid=operator.uid, worker_uid=worker.uid, draining=draining, drained=False
    )


def test_a_thousand_workers_and_runs_take_seconds(site: Site, operator: Operator) -> None:
    """A thousand registrations at once are answered, and a thousand queued runs scheduled, within 15 s each."""
    count = 1000
    workers = [PlayedWorker(operator) for _ in range(count)]
    started = time.monotonic()
    for worker in workers:
        operator.post(worker.id, _registration(operator, worker))
    for _ in range(count):
        operator.expect(messages.Registered)
    registered = time.monotonic() - started
    for worker in workers:
        operator.post(worker.id, _draining(operator, worker, draining=True))
    with site.client() as client:
        wait_for(
            "drain", lambda: {item["state"] for item in client.get("/v1/workers")["workers"]} == {"DRAINED"}
        )
        for _ in range(count):
            client.post("/v1/runs", {"pool": "alpha", "commands": ["true"]})
    started = time.monotonic()
    for worker in workers:
        operator.post(worker.id, _draining(operator, worker, draining=False))
    runs: set[str] = set()
    # Nobody answers, so some come twice.
    while len(runs) < count:
        runs.add(operator.expect(messages.RunScheduled).run)
    scheduled = time.monotonic() - started
    assert max(registered, scheduled) < 15, f"{registered:.1f} s, {scheduled:.1f} s"
