"""One pool's session with the mothership: its credentials, its connection, and what may be published now."""

import threading
from collections.abc import Callable
from typing import Protocol

from app.agent.connection import AckToken, ConnectionSettings, ConnectionState, Sink
from app.agent.credentials import PoolCredentials
from app.agent.inbox import Letter
from app.agent.pool_state import PoolView
from app.agent.runtime import AgentSettings, Clock, Key, encoded
from protocol.messages import Message, Offline, Online
from protocol.topics import Topic, from_worker, pool_subscription


class Link(Protocol):
    """What a session needs of a connection."""

    def start(self) -> None:
        """Connect, and keep connecting."""

    def stop(self, deadline: float = 5.0) -> bool:
        """End within the deadline."""

    def publish(self, key: object, topic: str, payload: bytes) -> bool:
        """Hand a message over."""

    def ack(self, token: AckToken) -> None:
        """Acknowledge a message."""

    def oldest_unacknowledged(self) -> float:
        """Return how long the oldest message has waited."""

    @property
    def state(self) -> ConnectionState:
        """What can be told right now."""

    @property
    def alive(self) -> bool:
        """Whether its thread lives."""


Connect = Callable[[ConnectionSettings, Sink], Link]
"""Makes a connection that is not started yet."""


class Listener(Protocol):
    """Who is told what comes through a session; calls come from its connection's thread."""

    def on_worker_letter(self, session: "Session", letter: Letter) -> None:
        """Take a message for a Worker."""

    def on_pool_letter(self, session: "Session", letter: Letter) -> None:
        """Take a message for the pool."""

    def on_session_ready(self, session: "Session") -> None:
        """Learn that publishing makes sense from now on."""

    def on_session_lost(self, session: "Session") -> None:
        """Learn that it doesn't any more."""


class Session:
    """Holds for one pool object and one pair of credentials; a new pair is a new session."""

    _numbers = 0
    _numbering = threading.Lock()

    def __init__(
        self,
        pool: PoolView,
        credentials: PoolCredentials,
        settings: AgentSettings,
        clock: Clock,
        listener: Listener,
        connect: Connect,
        allowed: Callable[[], bool] = lambda: True,
    ) -> None:
        with Session._numbering:
            Session._numbers += 1
            self._number = Session._numbers
        self.pool_key: Key = (pool.namespace, pool.name)
        self.pool_uid, self.pool_ulid = pool.uid, credentials.token.pool_ulid
        self.credentials = credentials
        self.replica = settings.replica
        self._clock, self._listener, self._allowed = clock, listener, allowed
        self._link = connect(self._connection_settings(), self)

    def start(self) -> None:
        """Connect, and keep connecting."""
        self._link.start()

    def stop(self, deadline: float) -> bool:
        """Say goodbye; return whether that was done in time."""
        return self._link.stop(deadline)

    @property
    def state(self) -> ConnectionState:
        """The connection's state."""
        return self._link.state

    @property
    def alive(self) -> bool:
        """Whether the connection's thread lives."""
        return self._link.alive

    @property
    def connection(self) -> tuple[int, int]:
        """Which connection of which session this is: what was sent holds for one of them only."""
        return self._number, self._link.state.epoch

    def oldest_unacknowledged(self) -> float:
        """Return how long the oldest received message has waited for its acknowledgement."""
        return self._link.oldest_unacknowledged()

    def publish(self, worker_ulid: str, key: str, message: Message) -> bool:
        """Publish on a Worker's topic; `key` is what a newer message replaces an unsent older one by.

        Return False, having done nothing, when that can't be done now or the pool isn't this replica's.
        """
        if not self._allowed():
            return False
        topic = from_worker(self.credentials.token.topic_namespace, self.pool_ulid, worker_ulid)
        return self._link.publish((worker_ulid, key), topic, encoded(message, self._clock))

    def publish_for_pool(self, key: str, message: Message) -> bool:
        """Publish on the pool's own topic."""
        return self.publish(self.pool_ulid, key, message)

    # Sink: called from the connection's thread

    def on_message(self, topic: str, payload: bytes, token: AckToken) -> None:
        """Pass a message on, unread."""
        try:
            parsed = Topic.parse(topic)
        except ValueError:
            self._link.ack(token)
            return
        letter = Letter(
            payload, self.pool_uid, self.pool_key[1], parsed.worker, lambda: self._link.ack(token)
        )
        if parsed.is_pool_level:
            self._listener.on_pool_letter(self, letter)
        else:
            self._listener.on_worker_letter(self, letter)

    def on_ready(self) -> None:
        """Announce this replica, and pass on that publishing makes sense."""
        self.publish_for_pool("online", Online(pool_uid=self.pool_uid, replica=self.replica))
        self._listener.on_session_ready(self)

    def on_lost(self) -> None:
        """Pass on that the connection broke."""
        self._listener.on_session_lost(self)

    def _connection_settings(self) -> ConnectionSettings:
        token = self.credentials.token
        will_topic = from_worker(token.topic_namespace, self.pool_ulid, self.pool_ulid)
        offline = Offline(pool_uid=self.pool_uid, replica=self.replica)
        return ConnectionSettings(
            host=self.credentials.host,
            port=self.credentials.port,
            client_id=self.pool_uid,
            subscription=pool_subscription(token.topic_namespace, self.pool_ulid),
            tls=self.credentials.tls_context(),
            will_topic=will_topic,
            will_payload=encoded(offline, self._clock),
            farewell=lambda: (will_topic, encoded(offline, self._clock)),
        )
