"""Reading of the letters for Workers: bytes become a message for us, or are counted and dropped.

Called by the engine. Nothing that comes over MQTT stops the agent.
"""

import threading

import structlog

from app.agent.inbox import Letter
from app.agent.runtime import Counters
from protocol.messages import FROM_MOTHERSHIP, MessageError, WorkerMessage, parse

_log = structlog.get_logger(__name__)


class LetterReader:
    """Reads letters; what it drops is counted each time and logged once per kind. Thread-safe."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._kinds_logged: set[str] = set()
        self._lock = threading.Lock()

    def read(self, letter: Letter, owner: str = "") -> WorkerMessage | None:
        """Return the message in a letter, None when there is nothing for us in it.

        `owner` is the UID of the pool object that the addressed Worker was made for: an orphan's is not the session's.
        """
        try:
            message = parse(letter.payload).message
        except MessageError as error:
            self._drop(error.kind, error.detail)
            return None
        if message.pool_uid not in (letter.pool_uid, owner):
            # Another cluster holds the same token; the message is for its pool object.
            self._drop("foreign_pool", "the message names another pool object")
            return None
        if not isinstance(message, FROM_MOTHERSHIP) or not isinstance(message, WorkerMessage):
            self._drop("misplaced", message.type)
            return None
        return message

    def _drop(self, kind: str, detail: str) -> None:
        self._counters.add(f"messages_dropped_{kind}")
        with self._lock:
            first = kind not in self._kinds_logged
            self._kinds_logged.add(kind)
        if first:
            _log.warning("mqtt_message_dropped", kind=kind, detail=detail, note="logged once per kind")
