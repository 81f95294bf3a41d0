"""Whether run Pods may have native sidecars: as the setting says, or as the API server's version does."""

import threading
from collections.abc import Callable
from typing import Final

import structlog

from app.cluster.errors import ApiError, Forbidden, Invalid, NotFound

FIRST_VERSION: Final = (1, 29)
"""The version in which the feature is on unless somebody turned it off (KEP-753: beta)."""

OK: Final = 200
"""Status of an answer that came, whatever is in it."""

_log = structlog.get_logger(__name__)


class NativeSidecars:
    """Holds the answer; nothing is claimed while there is none, for it is part of the settings that a run refers to.

    A server that doesn't let us see its version counts as one without them: ordinary containers work everywhere.
    """

    def __init__(self, setting: bool | None, server_version: Callable[[], tuple[int, int]]) -> None:
        self._setting, self._server_version = setting, server_version
        self._lock = threading.Lock()
        self._found: bool | None = None

    def known(self) -> bool | None:
        """Return whether there are native sidecars, None while that isn't known."""
        if self._setting is not None:
            return self._setting
        with self._lock:
            return self._found

    def refresh(self) -> bool:
        """Ask the API server; return whether the answer is a different one now. One that can't be asked changes nothing."""
        if self._setting is not None:
            return False
        try:
            found = self._server_version() >= FIRST_VERSION
        except ApiError as error:
            # A proxy's own page in the server's place is no reason to wait for ever either.
            if not isinstance(error, Forbidden | NotFound | Invalid) and error.status != OK:
                return False
            _log.warning("server_version_hidden", error=error.message, native_sidecars=False)
            found = False
        with self._lock:
            changed, self._found = found != self._found, found
        return changed
