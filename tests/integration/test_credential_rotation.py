"""A pool's credentials change while it works: the agent's own pools, sessions and connections on a real Mosquitto."""

import base64
from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from app.agent.connection import Connection
from app.agent.link import ConnectionSettings, Link, Sink
from app.cluster.resources import SECRETS, WORKERPOOLS
from protocol.messages import RunCanceled, encode
from protocol.token import PoolToken
from tests.mqtt_parts import HOST, Broker, Maker, Pki, eventually
from tests.unit.agent import builders as a
from tests.unit.agent.conftest import secret_data
from tests.unit.agent.world import World

KEY = (a.NAMESPACE, a.POOL)
TOPIC = f"spacelift/readonly/{a.POOL_ULID}/{a.WORKER_ULID}"


class LiveWorld(World):
    """A world whose connections are real."""

    def __init__(self, credentials: dict[str, str]) -> None:
        self.made: list[Connection] = []
        super().__init__(credentials)

    def _connect(self, settings: ConnectionSettings, sink: Sink) -> Link:  # type: ignore[override]
        self.made.append(Connection(settings, sink))
        return self.made[-1]

    def change(self, credentials: dict[str, str]) -> None:
        """Put other credentials into the Secret, and have the pool looked at as after a minute."""
        self.secret["data"] = credentials
        self.api.put(SECRETS, self.secret)
        self.time += 61
        self.pools.reconcile(KEY)

    def state(self) -> str:
        """Return the state of the pool's connection annotation, after everything that was woken is done."""
        self.settle()
        return str(self.connection().get("state"))


def credentials_of(pki: Pki, port: int, subject: str = a.POOL_ULID) -> dict[str, str]:
    """Return a Secret's data with a new key and a certificate of the broker's CA."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    token = PoolToken(
        pool_ulid=a.POOL_ULID,
        pool_name="pool",
        broker_endpoint=f"mqtts://{HOST}:{port}",
        api_endpoint="https://mothership.example:8443",
        certificate=pki.signed(key.public_key(), subject).decode(),
        ca=pki.ca.decode(),
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return secret_data(token.encode(), base64.b64encode(pem).decode())


@pytest.fixture
def world(pki: Pki, broker: Broker) -> Iterator[LiveWorld]:
    """Give a pool that is connected."""
    found = LiveWorld(credentials_of(pki, broker.port))
    found.api.put(SECRETS, found.secret)
    found.api.put(WORKERPOOLS, a.pool_object())
    eventually(lambda: found.state() == "Ready")
    yield found
    for connection in found.made:
        connection.stop(3.0)
        assert not connection.alive


def ready(world: LiveWorld) -> bool:
    """Return whether the pool's session stands."""
    world.settle()
    session = world.pools.session(KEY)
    return session is not None and session.state.ready


def test_a_good_new_pair_takes_over_and_nothing_is_lost(world: LiveWorld, broker: Broker, pki: Pki) -> None:
    """Three connections in all: the old one, the trial, the new one; the session at the broker is the same."""
    maker = Maker(pki)
    boss, heard = maker(broker.port, "mothership", subscription="spacelift/writeonly/#")
    heard.acknowledge = boss.ack
    eventually(lambda: boss.state.ready)
    before = world.pools.session(KEY)
    world.change(credentials_of(pki, broker.port))
    sent = 0
    while not ready(world) or world.pools.session(KEY) is before:
        sent += 1
        message = RunCanceled(pool_uid=a.POOL_UID, worker_uid=f"worker-{sent}", run=a.RUN, sequence=1)
        boss.publish(sent, TOPIC, encode(message, id=a.RUN, time="2026-01-01T00:00:00Z"))
        eventually(lambda: boss.backlog == 0)
    session = world.pools.session(KEY)
    assert session is not None
    assert session.state.session_present
    assert [each.alive for each in world.made] == [False, False, True]
    # Each is answered for a Worker that doesn't exist, whichever connection it came through.
    eventually(lambda: len(answered(heard.bodies(), world)) == sent)
    assert not any(b'"offline"' in body for body in heard.bodies()), "a handover is no loss"
    maker.close()


def answered(bodies: list[bytes], world: LiveWorld) -> set[bytes]:
    """Return which Workers were unregistered, once the agent has worked on its letters."""
    world.settle()
    return {body.split(b'"workerUID":"')[1].split(b'"')[0] for body in bodies if b'"unregister"' in body}


def test_a_bad_new_pair_leaves_the_old_one_in_use(
    world: LiveWorld, broker: Broker, pki: Pki, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Refused in TLS: told, tried on, and the session never breaks; the former pair ends the trial."""
    former = dict(world.secret["data"])
    stranger = Pki(tmp_path_factory.mktemp("other"))
    stranger.ca = pki.ca
    world.change(credentials_of(stranger, broker.port))
    eventually(lambda: world.state() == "CredentialsInvalid")
    assert "the former ones stay in use" in world.connection()["message"]
    world.change(former)
    eventually(lambda: world.state() == "Ready" and ready(world))
    assert [each.alive for each in world.made] == [True, False]
    assert world.made[0].state.epoch == 1


def test_a_deleted_secret_breaks_nothing_that_stands(world: LiveWorld) -> None:
    """It is told, and the session goes on."""
    world.api.remove(SECRETS, "creds")
    world.time += 61
    world.pools.reconcile(KEY)
    assert world.state() == "CredentialsInvalid"
    assert ready(world)
    assert world.made[0].state.epoch == 1
