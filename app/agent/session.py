"""One pool's session with the mothership: its credentials, its connection, and what may be published now."""

import threading
from collections.abc import Callable
from typing import Protocol

import structlog

from app.agent.credentials import PoolCredentials
from app.agent.decisions.pacing import publish_rate
from app.agent.inbox import Letter
from app.agent.link import AckToken, Connect, ConnectionSettings, ConnectionState, LinkFigures
from app.agent.pool_state import PoolView
from app.agent.runtime import AgentSettings, Clock, Counters, Key, encoded
from protocol import MAX_PAYLOAD_BYTES
from protocol.messages import Message, Offline, Online
from protocol.topics import Topic, from_worker, pool_subscription

_log = structlog.get_logger(__name__)


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
        counters: Counters,
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
        self._clock, self._counters, self._listener, self._allowed = clock, counters, listener, allowed
        self._link = connect(self._connection_settings(settings), self)

    def start(self) -> None:
        """Connect, and keep connecting."""
        self._link.start()

    def stop(self, deadline: float, *, farewell: bool = True) -> bool:
        """End, with a goodbye or, when another session goes on in its place, without; return whether in time."""
        return self._link.stop(deadline, farewell=farewell)

    @property
    def state(self) -> ConnectionState:
        """The connection's state."""
        return self._link.state

    @property
    def alive(self) -> bool:
        """Whether the connection's thread lives and makes progress."""
        return self._link.alive

    @property
    def trouble(self) -> str:
        """Why there is no connection, with what the certificate's dates and our clock have to do with it."""
        error, hint = self._link.state.error, self.credentials.clock_hint(self._clock.now())
        return f"{error}; {hint}" if error and hint else error

    @property
    def connection(self) -> tuple[int, int]:
        """Which connection of which session this is: what was sent holds for one of them only."""
        return self._number, self._link.state.epoch

    def oldest_unacknowledged(self) -> float:
        """Return how long the oldest received message has waited for its acknowledgement."""
        return self._link.oldest_unacknowledged()

    def figures(self) -> LinkFigures:
        """Return what waits in the connection."""
        return self._link.figures()

    def publish(self, worker_ulid: str, key: str, message: Message) -> bool:
        """Publish on a Worker's topic; `key` is what a newer message replaces an unsent older one by.

        Return False, having done nothing, when it has to be tried again later or the pool isn't this replica's.
        What no broker would take is told and dropped.
        """
        if not self._allowed():
            return False
        topic = from_worker(self.credentials.token.topic_namespace, self.pool_ulid, worker_ulid)
        payload = encoded(message, self._clock)
        if len(payload) > MAX_PAYLOAD_BYTES:
            self._counters.add("mqtt_messages_oversized")
            _log.error("mqtt_message_too_large", type=message.type, bytes=len(payload), topic=topic)
            return True
        return self._link.publish((worker_ulid, key), topic, payload)

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
            payload,
            self.pool_uid,
            self.pool_key[1],
            parsed.worker,
            lambda: self._link.ack(token),
            self._clock.monotonic(),
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

    def _connection_settings(self, settings: AgentSettings) -> ConnectionSettings:
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
            publish_rate=publish_rate(self.credentials.host, settings.publish_rate),
            may_connect=self._allowed,
            count=self._counters.add,
        )
