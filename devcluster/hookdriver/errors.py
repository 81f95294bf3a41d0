"""Everything that can go wrong, as types: what is done next reads the type, never the text.

DriverError
+-- ConfigError            the controller object asks for something that isn't there
+-- SyncError              this sync failed: an Event, then again with back-off
|   +-- HookError          the hook couldn't be called, or its answer isn't one
|   +-- ApiError           the API server refused or couldn't be reached
|       +-- NotFound, AlreadyExists, Conflict, Gone
+-- TooManyRequests        the hook asked for a pause
+-- RelatedNotSynced       a related resource's cache is still being filled
"""


class DriverError(Exception):
    """The root of all errors of the stand-in."""


class ConfigError(DriverError):
    """A controller object that can't be served as it is written."""


class SyncError(DriverError):
    """One sync of one parent failed and is tried again with back-off."""


class HookError(SyncError):
    """A hook couldn't be called, or answered with something that isn't a response."""


class ApiError(SyncError):
    """The API server refused a request, or wasn't reached (status 0)."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class NotFound(ApiError):  # noqa: N818  # named after the API's reason
    """The object, or this incarnation of it, isn't there."""


class AlreadyExists(ApiError):  # noqa: N818  # named after the API's reason
    """An object of that name is there already."""


class Conflict(ApiError):  # noqa: N818  # named after the API's reason
    """The object was changed since it was read."""


class Gone(ApiError):  # noqa: N818  # named after the API's reason
    """The resource version is too old to watch from."""


class TooManyRequests(DriverError):  # noqa: N818  # named after the HTTP status
    """The hook asked to be called again after some seconds."""

    def __init__(self, after_seconds: int) -> None:
        super().__init__(f"too many requests, to be called again after {after_seconds} s")
        self.after_seconds = after_seconds


class RelatedNotSynced(DriverError):  # noqa: N818  # a state, not a failure
    """A related resource's cache isn't filled yet; nothing is wrong."""
