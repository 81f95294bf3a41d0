"""A mothership without network: real database, real rules, real Flask application, a clock that tests move."""

import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from flask.testing import FlaskClient

from mothership import ca, outgoing
from mothership.api.application import create_app
from mothership.api.services import Health, Services
from mothership.clock import new_ulid
from mothership.decisions.states import Case, Rules
from mothership.desk import Desk
from mothership.files import DataFiles
from mothership.inventories import Inventories
from mothership.outgoing import Outgoing
from mothership.scheduler import assign_queued
from mothership.sealer import Sealer
from mothership.settings import Settings
from mothership.storage import runs
from mothership.storage.database import Database
from mothership.storage.logs import LogStore
from mothership.storage.workspaces import WorkspaceStore
from protocol import messages
from protocol.messages import Message
from protocol.sealing import OpeningKey
from protocol.token import decode_token
from protocol.topics import Direction, Topic

ADMIN = "admin-token-of-the-tests"


@dataclass
class HandClock:
    """A clock that stands until it is moved."""

    time: float = 1_800_000_000.0

    def now(self) -> float:
        """Return the time."""
        return self.time

    def move(self, seconds: float) -> None:
        """Let time pass."""
        self.time += seconds


def make_csr(key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> str:
    """Return a signing request in PEM."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "anything")])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, hashes.SHA256())
    return request.public_bytes(serialization.Encoding.PEM).decode()


@pytest.fixture(scope="session")
def rsa_key() -> rsa.RSAPrivateKey:
    """Give one RSA key to all tests: making one takes a second."""
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@dataclass
class Player:
    """A worker of the tests; messages carry its UIDs."""

    pool: str
    pool_uid: str
    id: str = field(default_factory=new_ulid)
    uid: str = field(default_factory=lambda: str(uuid.uuid4()))


class Mothership:
    """Desk, scheduler and API over one database, driven by hand."""

    def __init__(self, root: Path, key: rsa.RSAPrivateKey, **settings: Any) -> None:  # noqa: ANN401
        self.files = DataFiles(root / "data")
        ca.initialise(self.files, ["127.0.0.1"])
        self.clock = HandClock()
        self.rules = Rules()
        self.settings = Settings(
            self.files.root, "mqtts://127.0.0.1:1", "https://127.0.0.1:2", log_limit=1000, **settings
        )
        self.database = Database(self.files.database)
        self.desk = Desk(self.rules, Inventories(self.rules))
        self.sealer = Sealer(self.settings.public_endpoint, self.rules)
        self.opening = OpeningKey(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        self.csr = make_csr(key)
        self.http: FlaskClient = create_app(self._services()).test_client()
        created = self.admin("POST", "/v1/pools", json={"name": "alpha", "csr": self.csr}).get_json()
        self.pool: str = created["id"]
        self.token = decode_token(created["token"])

    def _services(self) -> Services:
        return Services(
            database=self.database,
            settings=self.settings,
            clock=self.clock,
            authority=ca.Authority.load(self.files),
            logs=LogStore(self.files.logs, self.settings.log_limit),
            workspaces=WorkspaceStore(self.files.workspaces, 1000),
            wake=lambda: None,
            health=lambda: Health(broker_connected=True, idle_seconds=0.0, dropped={}),
            admin_token=ADMIN,
        )

    def admin(self, method: str, path: str, **options: Any) -> Any:  # noqa: ANN401 - werkzeug's test response
        """Call the admin API."""
        headers = {"Authorization": f"Bearer {ADMIN}"} | options.pop("headers", {})
        return self.http.open(path, method=method, headers=headers, **options)

    def player(self, pool_uid: str = "pool-uid") -> Player:
        """Return a worker that has registered."""
        worker = Player(self.pool, pool_uid)
        self.say(worker, messages.Register, controller_version="test", protocol=1)
        return worker

    def say(self, worker: Player, kind: Callable[..., Message], **fields: Any) -> list[Message]:  # noqa: ANN401
        """Let a worker say something; return the answers."""
        message = kind(pool_uid=worker.pool_uid, worker_uid=worker.uid, **fields)
        return self.deliver(worker.id, message)

    def deliver(self, worker: str, message: Message) -> list[Message]:
        """Handle one message; return the answers."""
        topic = Topic("spacelift", Direction.FROM_WORKER, self.pool, worker)
        with self.database.write() as conn:
            answers = self.desk.handle(conn, topic, message, self.clock.now())
        return [answer.message for answer in answers]

    def trigger(self, **fields: Any) -> str:  # noqa: ANN401
        """Queue a run; return its id."""
        body = {"pool": "alpha", "commands": ["true"], **fields}
        run: str = self.admin("POST", "/v1/runs", json=body).get_json()["id"]
        return run

    def schedule(self) -> list[messages.RunScheduled]:
        """Assign what can be assigned, and return the new run_scheduled."""
        with self.database.write() as conn:
            assign_queued(conn, self.sealer, self.clock.now())
        return [item.message for item in self.due() if isinstance(item.message, messages.RunScheduled)]

    def due(self) -> list[Outgoing]:
        """Return what would be sent now."""
        with self.database.write() as conn:
            taken = runs.take_due(conn, self.clock.now(), 1000)
        return [message for item in taken if (message := outgoing.due_message(item)) is not None]

    def answer(
        self,
        worker: Player,
        kind: Callable[..., Message],
        scheduled: messages.RunScheduled,
        **fields: Any,  # noqa: ANN401
    ) -> list[Message]:
        """Let a worker say something about an attempt."""
        attempt = {
            "run": scheduled.run,
            "stage": scheduled.stage,
            "sequence": scheduled.sequence,
            "assignment": scheduled.assignment,
        }
        return self.say(worker, kind, **attempt, **fields)

    def case(self, scheduled: messages.RunScheduled) -> Case:
        """Return what is stored of an attempt."""
        with self.database.read() as conn:
            case = runs.load_case(conn, scheduled.run, scheduled.sequence)
        assert case is not None
        return case

    def state(self, run: str) -> str:
        """Return a run's state."""
        text: str = self.admin("GET", f"/v1/runs/{run}").get_json()["state"]
        return text

    def launcher(
        self,
        scheduled: messages.RunScheduled,
        method: str,
        path: str,
        **options: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401 - werkzeug's test response
        """Make a launcher's call with the attempt's run token."""
        token = self.opening.open(scheduled.payload).run_token
        headers = {"Authorization": f"Bearer {token}"} | options.pop("headers", {})
        base = f"/v1/runs/{scheduled.run}/stages/{scheduled.sequence}"
        return self.http.open(base + path, method=method, headers=headers, **options)

    def granted(self) -> tuple[Player, messages.RunScheduled]:
        """Return a worker whose attempt was granted to `pod-1`."""
        worker = self.player()
        self.trigger()
        (scheduled,) = self.schedule()
        self.answer(worker, messages.RunPod, scheduled, pod_uid="pod-1")
        assert self.launcher(scheduled, "POST", "/claim", json={"podUID": "pod-1"}).status_code == 200
        return worker, scheduled

    def rows(self, statement: sa.Select[Any]) -> list[Any]:
        """Read the database."""
        with self.database.read() as conn:
            return list(conn.execute(statement))


@pytest.fixture
def mothership(tmp_path: Path, rsa_key: rsa.RSAPrivateKey) -> Iterator[Mothership]:
    """Give a mothership with one pool, `alpha`."""
    made = Mothership(tmp_path, rsa_key)
    yield made
    made.database.close()
