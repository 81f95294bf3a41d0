"""A new pair of credentials is tried beside the session that stands, which goes on until the pair proved good.

A second connection under the session's own client id would end the first one, good or bad: so the trial has an id of
its own, a session that the broker forgets, and no will. It connects and subscribes, which is all that a session needs,
and takes no notice of what it is sent. Used by `app.agent.pools`.
"""

from collections.abc import Callable

from app.agent.credentials import PoolCredentials
from app.agent.link import AckToken, Connect, ConnectionSettings, ConnectionState
from app.agent.pool_state import PoolView
from protocol.topics import pool_subscription

SUFFIX = "-trial"
"""What the trial's client id has behind the pool object's UID; a broker's policy must allow both."""


class Trial:
    """Tries one pair of credentials until it proved good or is stopped; `changed` is called at each news."""

    def __init__(
        self,
        pool: PoolView,
        credentials: PoolCredentials,
        connect: Connect,
        changed: Callable[[], None],
        allowed: Callable[[], bool] = lambda: True,
    ) -> None:
        self.credentials = credentials
        self._changed = changed
        token = credentials.token
        settings = ConnectionSettings(
            host=credentials.host,
            port=credentials.port,
            client_id=f"{pool.uid}{SUFFIX}",
            subscription=pool_subscription(token.topic_namespace, token.pool_ulid),
            tls=credentials.tls_context(),
            will_topic="",
            will_payload=b"",
            farewell=lambda: ("", b""),
            session_expiry=0,
            may_connect=allowed,
        )
        self._link = connect(settings, self)

    def start(self) -> None:
        """Connect, and keep trying."""
        self._link.start()

    def stop(self, deadline: float) -> bool:
        """End; return whether that was done in time."""
        return self._link.stop(deadline, farewell=False)

    @property
    def alive(self) -> bool:
        """Whether its thread lives."""
        return self._link.alive

    @property
    def good(self) -> bool:
        """Whether the broker let the pair in and granted its subscription."""
        return self._link.state.ready

    @property
    def state(self) -> ConnectionState:
        """The connection's state."""
        return self._link.state

    # Sink: called from the connection's thread

    def on_message(self, topic: str, payload: bytes, token: AckToken) -> None:  # noqa: ARG002
        """Take this copy off the broker's hands; the session that stands gets one of its own, and answers it."""
        self._link.ack(token)

    def on_ready(self) -> None:
        """Pass on that the pair proved good."""
        self._changed()

    def on_lost(self) -> None:
        """Pass on that a try failed."""
        self._changed()
