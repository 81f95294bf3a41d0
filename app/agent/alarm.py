"""Tells when messages of the mothership wait for their effect too long; docs/mqtt.md, row 6.

The broker is answered within seconds whatever happens, so its own patience is never the measure: what counts is how
long the oldest message has waited for its effect in the Kubernetes API. Called by the agent's keeper.
"""

import structlog

from app.agent.inbox import Inbox

LIMIT = 60.0
"""Seconds that a message may wait before somebody is told."""

_log = structlog.get_logger(__name__)


class MailAlarm:
    """Logs once when the oldest message has waited for too long, and once when that is over."""

    def __init__(self, inbox: Inbox, limit: float = LIMIT) -> None:
        self._inbox, self._limit = inbox, limit
        self.ringing = False

    def look(self, now: float) -> float:
        """Return for how many seconds the oldest message has waited; `now` is monotonic."""
        oldest = self._inbox.oldest(now)
        ringing = oldest > self._limit
        if ringing and not self.ringing:
            _log.error("mqtt_messages_wait", oldest_seconds=round(oldest, 1), workers=len(self._inbox))
        elif self.ringing and not ringing:
            _log.info("mqtt_messages_wait_no_longer")
        self.ringing = ringing
        return oldest
