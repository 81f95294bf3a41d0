"""The mothership of a scenario: its real database, desk, dispatcher and API, driven by hand, behind a broker that loses."""

from __future__ import annotations

import queue
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from cryptography.hazmat.primitives.asymmetric import rsa

from mothership.broker_link import Arrived, BrokerLink, Event, Up
from mothership.counters import Counters
from mothership.dispatcher import Dispatcher, Parts
from mothership.inbox import Inbox
from protocol.messages import Message, encode, parse
from protocol.topics import Topic
from tests.unit.mothership.conftest import Mothership

Json = dict[str, Any]
_MESSAGE_ID = "01HPS6XB76J1JB3EHSK4AWE5AB"
MOST_FAILURES = 10_000
_MESSAGE_TIME = "2026-01-01T00:00:00Z"


@dataclass
class Broker:
    """Messages on their way; `loses` is asked about each and may let it vanish. `down` remembers what went out."""

    loses: Callable[[Message], bool] = lambda _: False
    to_workers: list[tuple[str, Message]] = field(default_factory=list)
    to_mothership: list[tuple[str, Message]] = field(default_factory=list)
    down: list[tuple[str, Message]] = field(default_factory=list)
    up: list[tuple[str, Message]] = field(default_factory=list)

    def send_down(self, worker: str, message: Message) -> None:
        """Take a message for a worker."""
        self.down.append((worker, message))
        if not self.loses(message):
            self.to_workers.append((worker, message))

    def send_up(self, topic: str, message: Message) -> None:
        """Take a message for the mothership."""
        self.up.append((topic, message))
        if not self.loses(message):
            self.to_mothership.append((topic, message))


class _Link:
    """What the dispatcher publishes through."""

    def __init__(self, broker: Broker, published: Callable[[], None]) -> None:
        self._broker, self._published = broker, published

    def publish(self, topic: str, payload: bytes) -> bool:
        self._broker.send_down(Topic.parse(topic).worker, parse(payload).message)
        self._published()
        return True


class _Acknowledged:
    """The connection that a message came on."""

    def acknowledge(self, _mid: int) -> None:
        """Nothing waits for it here."""


class Control:
    """The mothership, as far as a scenario moves it."""

    def __init__(self, folder: Path, key: rsa.RSAPrivateKey, broker: Broker) -> None:
        self.mothership = Mothership(folder, key)
        self._broker = broker
        events: queue.SimpleQueue[Event] = queue.SimpleQueue()
        self._dispatcher = Dispatcher(
            Parts(
                database=self.mothership.database,
                link=cast("BrokerLink", _Link(broker, lambda: None)),
                events=events,
                inbox=Inbox(
                    self.mothership.database, self.mothership.desk, self.mothership.clock, Counters()
                ),
                desk=self.mothership.desk,
                sealer=self.mothership.sealer,
                rules=self.mothership.rules,
                clock=self.mothership.clock,
                namespace="spacelift",
            )
        )
        self._dispatcher._note(Up(session_present=True, window=10**9), [])
        self.running = True
        self._news = True
        self._failures = 0

    def step(self) -> None:
        """Handle what came, and send what is due; without news there is nothing to do, which saves most of the time."""
        if not self.running or not (self._news or self._broker.to_mothership):
            return
        self._news = False
        arrived, self._broker.to_mothership = self._broker.to_mothership, []
        connection = cast("Any", _Acknowledged())
        answers = self._dispatcher._handle(
            [
                Arrived(topic, encode(message, id=_MESSAGE_ID, time=_MESSAGE_TIME), number, connection)
                for number, (topic, message) in enumerate(arrived)
            ]
        )
        self._dispatcher._look = True
        try:
            self._dispatcher._pass(answers)
        except Exception as error:
            self._failures, self._news = self._failures + 1, True
            if self._failures > MOST_FAILURES:
                raise AssertionError("the dispatcher fails for ever") from error

    def move(self, seconds: float) -> None:
        """Let time pass."""
        self.mothership.clock.move(seconds)
        self._news = True

    def ask(self, run: str, sequence: int, call: str, token: str, body: Json) -> tuple[int, Json]:
        """Make a launcher's call."""
        if not self.running:
            return 0, {}
        self._news = True
        path = f"/v1/runs/{run}/stages/{sequence}/{call}"
        headers = {"Authorization": f"Bearer {token}"}
        answer = self.mothership.http.post(path, json=body, headers=headers)
        return answer.status_code, answer.get_json(silent=True) or {}

    def state(self, run: str) -> str:
        """Return a run's state."""
        return self.mothership.state(run)

    def stop(self, run: str) -> None:
        """Cancel or stop a run, as a user does."""
        self.mothership.admin("POST", f"/v1/runs/{run}/stop")
        self._news = True

    def trigger(self) -> str:
        """Queue a run; return its id."""
        self._news = True
        return self.mothership.trigger()

    def close(self) -> None:
        """Close the database."""
        self.mothership.database.close()
