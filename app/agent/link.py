"""The seam between a pool's session and what carries its messages: no transport, no vendor, no I/O.

`app.agent.connection` is the one transport there is, MQTT. Another one, HTTP long polling for example, is a class with
the methods of `Link` and a function of the type `Connect`; docs/mqtt.md says what it has to promise.
"""

import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol


def _uncounted(_name: str, _number: int = 1) -> object:
    return None


def _always() -> bool:
    return True


@dataclass(frozen=True, slots=True)
class ConnectionSettings:
    """Where and as whom to connect; times in seconds.

    `session_expiry` is how long the broker keeps the session of a stopped operator, 0: not at all. `in_flight` bounds
    unconfirmed publishes and `publish_rate` how many go out in a second, 0: as many as there are. A message not
    acknowledged by its handler within `ack_deadline` is acknowledged all the same, so that a stalled Kubernetes API
    never blocks the messages behind it. A publish that isn't confirmed within `confirm_timeout` shows a dead link.
    Only a connection that stood for `stable_after` begins the pauses anew: a broker that closes each one at once (an
    authorisation error, or another client of the same id) must not be asked every second for ever. A topic that the
    broker refuses is left alone for `refused_first`, doubled each time up to `refused_most`.

    `may_connect` is asked before each attempt, `count` is told of what happened. Without a `will_topic` there is
    neither a will nor a farewell.
    """

    host: str
    port: int
    client_id: str
    subscription: str
    tls: ssl.SSLContext = field(repr=False)
    will_topic: str
    will_payload: bytes
    farewell: Callable[[], tuple[str, bytes]]
    keepalive: int = 30
    session_expiry: int = 86400
    will_delay: int = 10
    in_flight: int = 20
    publish_rate: float = 0.0
    queue_limit: int = 20000
    ack_deadline: float = 5.0
    confirm_timeout: float = 30.0
    connect_timeout: float = 5.0
    backoff_first: float = 1.0
    backoff_most: float = 60.0
    taken_over_pause: float = 15.0
    stable_after: float = 10.0
    instant: float = 2.0
    refused_first: float = 60.0
    refused_most: float = 3600.0
    stall_limit: float = 90.0
    may_connect: Callable[[], bool] = _always
    count: Callable[[str, int], object] = _uncounted


@dataclass(frozen=True, slots=True)
class AckToken:
    """A received message, to be acknowledged once its effect is stored. Worthless on another connection."""

    epoch: int
    mid: int


@dataclass(frozen=True, slots=True)
class ConnectionState:
    """What can be told of the connection right now; times are monotonic seconds.

    `failures` counts the tries in a row that failed; one that stood for a while begins a new row. `limited` says what
    the other side can't do, empty: nothing; `refused` names the topic that it last refused, with its reason.
    """

    ready: bool = False
    epoch: int = 0
    session_present: bool = False
    since: float = 0.0
    last_traffic: float = 0.0
    error: str = ""
    taken_over: bool = False
    failures: int = 0
    limited: str = ""
    refused: str = ""


@dataclass(frozen=True, slots=True)
class LinkFigures:
    """What waits in a link right now: messages, and seconds of the oldest unacknowledged one."""

    queued: int = 0
    in_flight: int = 0
    unacknowledged: int = 0
    oldest_unacknowledged: float = 0.0


class Sink(Protocol):
    """Who is told; each call comes from the connection's thread and must return at once."""

    def on_message(self, topic: str, payload: bytes, token: AckToken) -> None:
        """Take a message; acknowledge it later."""

    def on_ready(self) -> None:
        """Learn that the subscription was granted: publishing makes sense from now on."""

    def on_lost(self) -> None:
        """Learn that the connection broke or could not be made; the state's `error` says why."""


class Link(Protocol):
    """What a session needs of a connection."""

    def start(self) -> None:
        """Connect, and keep connecting."""

    def stop(self, deadline: float = 5.0, *, farewell: bool = True) -> bool:
        """End within the deadline, with or without a farewell; return whether that was in time."""

    def publish(self, key: object, topic: str, payload: bytes) -> bool:
        """Hand a message over; a newer one of the same key replaces an unsent older one. False: not now."""

    def ack(self, token: AckToken) -> None:
        """Acknowledge a message."""

    def oldest_unacknowledged(self) -> float:
        """Return how long the oldest message has waited."""

    def figures(self) -> LinkFigures:
        """Return what waits."""

    @property
    def state(self) -> ConnectionState:
        """What can be told right now."""

    @property
    def alive(self) -> bool:
        """Whether its thread lives and makes progress."""


Connect = Callable[[ConnectionSettings, Sink], Link]
"""Makes a connection that is not started yet."""
